"""Files that are either whole or absent: written aside, hashed, fsynced, renamed, and the folder fsynced.

Knows nothing of the store's layout.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from linnet.core.errors import CorruptFile, DiskFull, os_errors
from linnet.core.failpoints import failpoint

CHUNK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash of a file's bytes, read in chunks. Raises NotFound or StoreError when it cannot be read."""
    with os_errors(path, "Reading"), path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical(value: Any) -> bytes:
    """One JSON text for one value: sorted keys, no spaces, no NaN. What hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fsync_folder(folder: Path) -> None:
    failpoint("files.dirsync")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that gets its name only when everything in it is on the disk.

    Raises DiskFull, ResourceMissing or StoreError; then `path` holds what it held before; only when
    the last sync of the folder fails, it may hold the whole new content.
    """
    with os_errors(path, "Writing"):
        make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                failpoint("files.write")
                yield handle
                handle.flush()
                failpoint("files.fsync")
                os.fsync(handle.fileno())
            failpoint("files.rename")
            partial.replace(path)
            fsync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_file(path) as handle:
        handle.write(data)


def write_json(path: Path, value: Any) -> None:
    """Readable JSON, atomically. NaN is refused: it is no JSON and no result."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """The JSON in a file. Raises NotFound, or CorruptFile when it is not JSON."""
    with os_errors(path, "Reading"):
        data = path.read_bytes()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} is not valid JSON: {error}.") from error


def make_folder(folder: Path) -> None:
    """Make a folder, and its parents, that only this account can read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def publish_folder(partial: Path, final: Path) -> None:
    """Give a finished folder its name: everything in it is synced first, an older one is replaced."""
    with os_errors(final, "Writing"):
        make_folder(final.parent)
        for path in sorted(partial.rglob("*")):
            if path.is_file() or path.is_dir():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        fsync_folder(partial)
        if final.exists():
            shutil.rmtree(final)
        partial.replace(final)
        fsync_folder(final.parent)


def check_space(folder: Path, need_bytes: int, doing: str) -> None:
    """Raise DiskFull before starting, when `need_bytes` and 5 % are not free on the disk of `folder`."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    need = need_bytes + need_bytes // 20
    if free < need:
        raise DiskFull(
            f"{doing} needs {need / 1e6:.0f} MB on the disk of {place}; {free / 1e6:.0f} MB are free.",
            "Free some space, or choose another disk with LINNET_HOME, and run the same command again.",
        )
