"""The folder of one worker: its name says who owns it, so that what a killed process left can be removed safely.

`linnet-worker-PID-START-NAMESPACE-RANDOM`, numbers in base 16. Knows no worker.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

LONGEST_BASE = 40  # the path of a socket has at most 104 bytes on macOS, 108 on Linux
_NAME = re.compile(r"linnet-worker-([0-9a-f]+)-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]+")


def base_folder() -> Path:
    """Where the folders are: the user's run directory, or the one for temporary files, or /tmp."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    return base if len(str(base)) <= LONGEST_BASE and os.access(base, os.W_OK) else Path("/tmp")  # noqa: S108


def start_time(pid: int) -> int:
    """When a process began, in a unit of the system's: a number that comes again is another process's. 0: it is gone.

    Not psutil's on Linux: that moves when the clock is set.
    """
    try:
        # The name before it may hold spaces and brackets.
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        pass
    if Path("/proc/self/stat").exists():
        return 0
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0


def _namespace() -> int:
    """The container's process numbers mean nothing outside of it."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def new_folder() -> Path:
    """A name for a new folder of this process. Nothing is made yet: see `make`."""
    owner = f"{os.getpid():x}-{start_time(os.getpid()):x}-{_namespace():x}"
    return base_folder() / f"linnet-worker-{owner}-{secrets.token_hex(4)}"


def make(folder: Path) -> None:
    """Make the folder, which nobody else can enter, and an empty one in it. Raises OSError."""
    folder.mkdir(mode=0o700)
    (folder / "empty").mkdir(mode=0o700)


def sweep() -> None:
    """Remove the folders of this user's processes that are gone without having done so."""
    for folder in base_folder().glob("linnet-worker-*"):
        with contextlib.suppress(OSError):
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    named, found = _NAME.fullmatch(folder.name), folder.lstat()
    if named is None or not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return False
    pid, start, namespace = (int(number, 16) for number in named.groups())
    return namespace == _namespace() and start_time(pid) != start
