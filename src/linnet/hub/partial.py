"""A file that is being downloaded in parts: its bytes, and a note of how far each part has come.

blobs/partial/<key>         the bytes, as long as the whole file from the start; what is missing takes no space
blobs/partial/<key>.parts   the part length, then for each part how many of its first bytes are there

The note is written after the bytes. A killed process loses less than a piece of each part; after a power cut the
note may be ahead of the bytes, which the hash of the whole file then finds.
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

from linnet.core.failpoints import failpoint
from linnet.core.files import make_folder

_COUNT = struct.Struct("<Q")


class Closed(Exception):
    """The download was given up while a thread still had bytes for it."""


class Partial:
    """The bytes of one download. Threads may write different parts at once. Raises OSError as it comes."""

    def __init__(self, path: Path, size_bytes: int, part_bytes: int) -> None:
        self.path, self.size_bytes, self.part_bytes = path, size_bytes, part_bytes
        self._note_path = path.with_name(f"{path.name}.parts")
        self._lock = threading.Lock()
        self._closed = False
        count = -(-size_bytes // part_bytes)
        make_folder(path.parent)
        self._data = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._note = os.open(self._note_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.done = self._read_note(count)
        self.resumed_bytes = sum(self.done)

    def _read_note(self, count: int) -> list[int]:
        raw = os.pread(self._note, 8 * (count + 2), 0)
        fresh = os.fstat(self._data).st_size != self.size_bytes
        if not fresh and len(raw) == 8 * (count + 1):
            length, *done = struct.unpack(f"<{count + 1}Q", raw)
            if length == self.part_bytes and all(n <= self.length(i) for i, n in enumerate(done)):
                return done
        os.ftruncate(self._data, 0)
        os.ftruncate(self._data, self.size_bytes)
        os.ftruncate(self._note, 0)
        os.pwrite(self._note, struct.pack(f"<{count + 1}Q", self.part_bytes, *[0] * count), 0)
        return [0] * count

    def length(self, part: int) -> int:
        """How many bytes a part has when it is whole."""
        return min(self.part_bytes, self.size_bytes - part * self.part_bytes)

    def missing(self, part: int) -> tuple[int, int]:
        """The first and the last byte of the file that this part still needs."""
        start = part * self.part_bytes
        return start + self.done[part], start + self.length(part) - 1

    def is_whole(self, part: int) -> bool:
        return self.done[part] == self.length(part)

    def write(self, part: int, data: bytes) -> None:
        """Append to a part. Raises Closed after `close`."""
        with self._lock:
            if self._closed:
                raise Closed
            failpoint("blob.write")
            at, left = part * self.part_bytes + self.done[part], memoryview(data)
            while left:
                written = os.pwrite(self._data, left, at)
                at, left = at + written, left[written:]
            self.done[part] += len(data)
            os.pwrite(self._note, _COUNT.pack(self.done[part]), 8 * (part + 1))

    def read(self, part: int, offset: int, count: int) -> bytes:
        return os.pread(self._data, count, part * self.part_bytes + offset)

    def restart(self) -> None:
        """Forget every byte: the hub does not send ranges, or the bytes were wrong."""
        with self._lock:
            os.ftruncate(self._note, 0)
            self.done = self._read_note(len(self.done))

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._data)
                os.close(self._note)

    def forget_note(self) -> None:
        """After the bytes got their name."""
        self._note_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Give up what is here."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)
