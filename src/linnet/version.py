"""The version, and the fingerprint of the code that makes artefacts."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

__version__ = "0.1.0"


@functools.cache
def code_version() -> str:
    """Version plus a hash of every source file that can change what a stage writes.

    A stage is reused only under the code that made it: after an upgrade, or an edit in a checkout,
    it runs again instead of passing off an old result as a new one.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for room in ("core", "formats", "text", "metrics", "engines", "training", "stages", "build"):
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
