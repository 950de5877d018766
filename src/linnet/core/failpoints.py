"""Named places where tests make the machine fail for real. Off unless LINNET_FAILPOINTS is set.

LINNET_FAILPOINTS="files.fsync=enospc,checkpoint.step:7=kill" makes the first fsync fail with a full disk
and kills the process at the seventh step. Modes: error, enospc, kill, term.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
from collections import Counter

NAMES = (
    "answer.kept",
    "blob.fsync",
    "blob.link",
    "blob.rename",
    "blob.write",
    "files.write",
    "files.fsync",
    "files.rename",
    "files.dirsync",
    "checkpoint.payload",
    "checkpoint.manifest",
    "checkpoint.publish",
    "convert.publish",
    "convert.tensor",
    "hub.receive",
    "import.copy",
    "record.write",
    "train.step",
    "upload.write",
    "view.publish",
)

_hits: Counter[str] = Counter()


@functools.cache
def _armed() -> dict[str, tuple[int, str]]:
    armed = {}
    for item in filter(None, os.environ.get("LINNET_FAILPOINTS", "").split(",")):
        place, _, mode = item.partition("=")
        name, _, count = place.partition(":")
        if name not in NAMES:
            raise SystemExit(f"LINNET_FAILPOINTS: unknown failpoint {name!r}; known: {', '.join(NAMES)}")
        armed[name] = (int(count or 1), mode)
    return armed


def failpoint(name: str) -> None:
    """Do nothing, unless a test armed this name and this is the hit it asked for."""
    if not _armed() or name not in _armed():
        return
    _hits[name] += 1
    count, mode = _armed()[name]
    if _hits[name] != count:
        return
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    elif mode == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
