"""Open a file that somebody else made: only a regular one, and never waiting for a pipe."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from linnet.core.errors import ModelFileError


def open_regular(path: Path) -> tuple[BinaryIO, int]:
    """The open file and its size in bytes. Raises ModelFileError for a folder, pipe or device; OSError as it comes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ModelFileError("file", f"{path}: not a regular file.", "Give the file that holds the weights.")
    return os.fdopen(descriptor, "rb"), found.st_size
