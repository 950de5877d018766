"""A text file of unknown origin, one line at a time: bounded, UTF-8 only, hashed while it is read.

Knows nothing of what the lines mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from linnet.core.errors import DataError
from linnet.formats.parsed import MAX_LINE_BYTES

BOM = b"\xef\xbb\xbf"


class Lines:
    """Iterate over (number, text) with the line end kept; afterwards `sha256` and `size_bytes` are the file's.

    Raises DataError, naming line and byte, for a line over 1 MiB, a NUL byte or bytes that are not UTF-8.
    Never holds more than one line.
    """

    def __init__(self, path: Path, handle: BinaryIO) -> None:
        self.path = path
        self.bom = False
        self.number = 0
        self.size_bytes = 0
        self._handle = handle
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[str]:
        # readline with a limit is what keeps a file of one endless line out of memory.
        while raw := self._handle.readline(MAX_LINE_BYTES + 1):
            self.number += 1
            self._digest.update(raw)
            start, self.size_bytes = self.size_bytes, self.size_bytes + len(raw)
            if len(raw) > MAX_LINE_BYTES:
                raise DataError(
                    f"{self.path}, line {self.number}: the line is longer than 1 MiB ({MAX_LINE_BYTES:,} bytes).",
                    "Is this really a table with one record a line? Split it, or shorten the text.",
                )
            if self.number == 1 and raw.startswith(BOM):
                self.bom = True
                raw, start = raw[len(BOM) :], start + len(BOM)
            yield decode(raw, self.path, self.number, start)


def decode(raw: bytes, path: Path, line: int, offset: int) -> str:
    """Text from bytes that begin at `line` and byte `offset` of the file. Raises DataError with line and byte."""
    if (at := raw.find(b"\0")) >= 0:
        line += raw.count(b"\n", 0, at)
        raise DataError(
            f"{path}, line {line}: NUL byte at byte {offset + at} of the file: this is not UTF-8 text.",
            "If the file is UTF-16, convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW. Else remove the NUL bytes.",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02X} at byte {offset + error.start} of the file is not"
            " valid UTF-8 (another encoding, or mixed encodings).",
            "Save the file as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW.",
        ) from error
