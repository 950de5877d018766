"""The version, and the fingerprint of the code that makes artefacts."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

__version__ = "0.1.0"


STAGE_ROOMS = ("core", "formats", "text", "metrics", "engines", "hub", "training", "stages")


@functools.cache
def code_version(*more_rooms: str) -> str:
    """Version plus a hash of every source file that can change what a stage writes, and of `more_rooms`.

    A stage is reused only under the code that made it: after an upgrade, or an edit in a checkout,
    it runs again instead of passing off an old result as a new one.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for room in (*STAGE_ROOMS, *more_rooms):
        for path in sorted(path for path in (root / room).rglob("*") if path.suffix in (".py", ".j2")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
