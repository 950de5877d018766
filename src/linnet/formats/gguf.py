"""Read the header of a GGUF file, with every count, length and offset checked before it is used.

Pure Python; reads the header only, never the weights. Does not know what the keys mean: see gguf_rules.
Format: docs/gguf.md of github.com/ggml-org/ggml
"""

from __future__ import annotations

import os
import re
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from linnet.core.errors import ModelFileError, os_errors
from linnet.formats.ggml_types import REMOVED_TYPES, TYPES
from linnet.formats.regular import open_regular

MAX_STRING = 16 << 20
MAX_ELEMENTS = 1 << 48
# The format sets no bound on these. Real headers stay below 32 MiB, 200 keys and 20,000 tensors;
# without a bound a hostile header could keep us busy for minutes.
MAX_HEADER = 128 << 20
SETTLED_S = 2.0  # a file not written for so long is known by its times
MAX_TEXTS = 1 << 22
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 17
FIRST_READ = 8 << 20

# value type -> (struct code, bytes)
SCALARS = {
    0: ("B", 1), 1: ("b", 1), 2: ("H", 2), 3: ("h", 2), 4: ("I", 4), 5: ("i", 4), 6: ("f", 4), 7: ("?", 1),
    10: ("Q", 8), 11: ("q", 8), 12: ("d", 8),
}  # fmt: skip
BOOL, STRING, ARRAY = 7, 8, 9
TYPE_NAMES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64")

AGAIN = "The file was cut, patched or written wrongly: fetch it again, or convert the model again."
# gguf-py names further templates with letters of either case; all other keys are lower case.
_KEY = re.compile(rb"[a-z0-9_.-]{1,255}|tokenizer\.chat_template\.[A-Za-z0-9_]{1,200}")
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array that stays undecoded: `kind` is the value type of its elements, `start` where they lie in the header."""

    kind: int
    count: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """`shape` as the file has it, fastest dimension first. `offset` counts from `GgufHeader.data_offset`."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int
    elements: int


@dataclass(frozen=True)
class GgufHeader:
    """One file's header. `metadata` holds numbers, booleans, texts and GgufArray.

    `spans` says where each key's value lies in `raw`, the header's bytes; `suspicious` are sentences for a person.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    tensors: tuple[GgufTensor, ...]
    alignment: int
    data_offset: int
    file_bytes: int
    raw: bytes = field(repr=False)
    spans: dict[str, tuple[int, int]] = field(repr=False)
    suspicious: tuple[str, ...] = ()

    def strings(self, key: str) -> list[bytes]:
        """The elements of an array of strings; empty when the key is absent."""
        array = self.metadata.get(key)
        if not isinstance(array, GgufArray) or array.kind != STRING:
            return []
        found, at = [], array.start
        for _ in range(array.count):
            end = at + 8 + _U64.unpack_from(self.raw, at)[0]
            found.append(self.raw[at + 8 : end])
            at = end
        return found

    def numbers(self, key: str) -> tuple[Any, ...]:
        """The elements of an array of numbers; empty when the key is absent."""
        array = self.metadata.get(key)
        if not isinstance(array, GgufArray) or array.kind not in SCALARS:
            return ()
        return struct.unpack_from(f"<{array.count}{SCALARS[array.kind][0]}", self.raw, array.start)

    def refuse(self, where: str, message: str, hint: str = AGAIN) -> NoReturn:
        raise ModelFileError(where, f"{self.path}: {where}: {message}.", hint)


class _Cursor:
    """Walks over the header's bytes and reads more of the file as it needs them.

    Reads instead of mapping: a mapped file that somebody cuts short kills the process.
    """

    def __init__(self, path: Path, handle: BinaryIO, file_bytes: int) -> None:
        self.path, self.handle, self.file_bytes = path, handle, file_bytes
        self.raw = handle.read(FIRST_READ)
        self.at = 0

    def refuse(self, where: str, message: str, hint: str = AGAIN) -> NoReturn:
        raise ModelFileError(where, f"{self.path}: {where}: {message}.", hint)

    def need(self, count: int, where: str) -> int:
        """Where the next `count` bytes start, after making sure that they are there."""
        start, end = self.at, self.at + count
        if end > len(self.raw):
            if end > self.file_bytes:
                left = self.file_bytes - start
                self.refuse(where, f"needs {count} bytes at byte {start}, the file has {left} left")
            if end > MAX_HEADER:
                self.refuse(where, f"the header is longer than {MAX_HEADER} bytes, more than any model needs")
            wanted = min(max(end, 2 * len(self.raw)), MAX_HEADER)
            self.raw += self.handle.read(wanted - len(self.raw))
            if end > len(self.raw):
                self.refuse(where, f"needs {count} bytes at byte {start}, the file was cut while it was read")
        self.at = end
        return start

    def u32(self, where: str) -> int:
        start = self.need(4, where)
        return int(_U32.unpack_from(self.raw, start)[0])

    def u64(self, where: str) -> int:
        start = self.need(8, where)
        return int(_U64.unpack_from(self.raw, start)[0])

    def text(self, where: str) -> bytes:
        length = self.u64(f"{where} (length)")
        if length > MAX_STRING:
            self.refuse(where, f"a text of {length} bytes, at most {MAX_STRING} are allowed")
        start = self.need(length, where)
        return self.raw[start : self.at]

    def skip_texts(self, count: int, where: str) -> None:
        """Walk over `count` length-prefixed texts. The one hot loop: half a million for a large vocabulary."""
        unpack, raw, at, limit = _U64.unpack_from, self.raw, self.at, MAX_STRING
        for number in range(count):
            try:
                (length,) = unpack(raw, at)
            except struct.error:
                # Beyond the end of the file it was the text before that is too long.
                raw = self._reach(at, f"{where}[{number - (at > self.file_bytes)}]")
                (length,) = unpack(raw, at)
            if length > limit:
                self.refuse(f"{where}[{number}]", f"a text of {length} bytes, at most {limit} are allowed")
            at += 8 + length
        self._reach(at - 8, f"{where}[{count - 1}]")
        self.at = at

    def _reach(self, at: int, where: str) -> bytes:
        """Read on until the 8 bytes at `at` are there."""
        self.need(at + 8 - self.at, where)
        self.at = at
        return self.raw


# The header read last: loading a model asks for it five times, and a large vocabulary takes 40 ms each time.
_last: tuple[tuple[object, ...], GgufHeader] | None = None


def read_gguf(path: Path) -> GgufHeader:
    """Read one file's header (of a split set: one part). Raises ModelFileError, NotFound or ResourceMissing."""
    global _last
    with os_errors(path, "Reading"):
        handle, size = open_regular(path)
        with handle:
            found = os.fstat(handle.fileno())
            key = (path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if (last := _last) is not None and last[0] == key:
                return last[1]
            header = _read(_Cursor(path, handle, size))
            # A file that was written a moment ago may be written again without a new time.
            if time.time() - max(found.st_mtime, found.st_ctime) > SETTLED_S:
                _last = (key, header)
            return header


def _read(cursor: _Cursor) -> GgufHeader:
    size = cursor.file_bytes
    if size < 24:
        cursor.refuse("file size", f"need at least 24 bytes, have {size}")
    if (magic := cursor.raw[:4]) != b"GGUF":
        cursor.refuse("magic", f"need b'GGUF', have {magic!r}")
    cursor.at = 4
    version = _version(cursor)
    tensor_count, key_count = cursor.u64("tensor_count"), cursor.u64("kv_count")
    for where, count, most in (("tensor_count", tensor_count, MAX_TENSORS), ("kv_count", key_count, MAX_KEYS)):
        if count > min(size // 16, most):
            cursor.refuse(where, f"{count} in a file of {size} bytes, at most {min(size // 16, most)} are possible")
    metadata, spans, odd = _metadata(cursor, key_count)
    alignment = _alignment(cursor, metadata)
    tensors = tuple(_tensor(cursor, number) for number in range(tensor_count))
    data_offset = -(-cursor.at // alignment) * alignment
    raw = cursor.raw[: cursor.at]
    header = GgufHeader(cursor.path, version, metadata, tensors, alignment, data_offset, size, raw, spans)
    gaps = _check_layout(header)
    return GgufHeader(**{**vars(header), "suspicious": (*odd, *gaps)})


def _version(cursor: _Cursor) -> int:
    version = cursor.u32("version")
    if version & 0xFFFF == 0 and version >> 16:
        cursor.refuse("version", "the file is big endian, need little endian", "Convert it: gguf_convert_endian.py.")
    if version not in (2, 3):
        cursor.refuse("version", f"need 2 or 3, have {version}", "Convert the model again.")
    return version


def _metadata(cursor: _Cursor, count: int) -> tuple[dict[str, Any], dict[str, tuple[int, int]], list[str]]:
    metadata: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    odd: list[str] = []
    for number in range(count):
        where = f"key {number + 1} of {count}"
        name = cursor.text(where)
        if not _KEY.fullmatch(name):
            cursor.refuse(where, f"a name of 1 to 255 characters a-z 0-9 _ . - is needed, have {name[:80]!r}")
        key = name.decode()
        if key in metadata:
            cursor.refuse(key, "the key is there more than once")
        start = cursor.at
        kind = cursor.u32(f"{key} (type)")
        value = _value(cursor, kind, key)
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                odd.append(f"The value of {key} is not UTF-8.")
                value = value.decode(errors="replace")
        metadata[key], spans[key] = value, (start, cursor.at)
    return metadata, spans, odd


def _value(cursor: _Cursor, kind: int, key: str) -> Any:
    if kind == STRING:
        return cursor.text(key)
    if kind == ARRAY:
        return _array(cursor, key)
    if kind not in SCALARS:
        cursor.refuse(f"{key} (type)", f"need a value type of 0 to 12, have {kind}")
    code, width = SCALARS[kind]
    start = cursor.need(width, key)
    if kind == BOOL and cursor.raw[start] > 1:
        cursor.refuse(key, f"a boolean is 0 or 1, have {cursor.raw[start]}")
    return struct.unpack_from("<" + code, cursor.raw, start)[0]


def _array(cursor: _Cursor, key: str) -> GgufArray:
    kind, count = cursor.u32(f"{key} (element type)"), cursor.u64(f"{key} (count)")
    if kind == ARRAY:
        cursor.refuse(f"{key} (element type)", "arrays of arrays are not read by any engine")
    if kind != STRING and kind not in SCALARS:
        cursor.refuse(f"{key} (element type)", f"need a value type of 0 to 12, have {kind}")
    width = 8 if kind == STRING else SCALARS[kind][1]
    left = cursor.file_bytes - cursor.at
    if count * width > left:
        cursor.refuse(f"{key} (count)", f"{count} elements need at least {count * width} bytes, the file has {left}")
    if kind == STRING and count > MAX_TEXTS:
        cursor.refuse(f"{key} (count)", f"{count} texts, at most {MAX_TEXTS} are read")
    start = cursor.at
    if kind == STRING:
        cursor.skip_texts(count, key)
    else:
        cursor.need(count * width, key)
        if kind == BOOL and cursor.raw[start : cursor.at].translate(None, b"\0\1"):
            cursor.refuse(key, "a boolean is 0 or 1")
    return GgufArray(kind, count, start, cursor.at)


def _alignment(cursor: _Cursor, metadata: dict[str, Any]) -> int:
    value = metadata.get("general.alignment", 32)
    if type(value) is not int or not 8 <= value <= 4096 or value & (value - 1):
        cursor.refuse("general.alignment", f"need a power of two from 8 to 4096, have {str(value)[:80]}")
    return value


def _tensor(cursor: _Cursor, number: int) -> GgufTensor:
    where = f"tensor {number + 1} (name)"
    raw = cursor.text(where)
    if not 1 <= len(raw) <= 63 or not raw.isascii() or not raw.decode().isprintable():
        cursor.refuse(where, f"1 to 63 printable ASCII characters are needed, have {raw[:80]!r}")
    name = raw.decode()
    dimensions = cursor.u32(f"{name} (dimensions)")
    if not 1 <= dimensions <= 4:
        cursor.refuse(f"{name} (dimensions)", f"need 1 to 4, have {dimensions}")
    start = cursor.need(8 * dimensions, f"{name} (shape)")
    shape = struct.unpack_from(f"<{dimensions}Q", cursor.raw, start)
    elements = 1
    for length in shape:
        elements *= length
        if not 1 <= elements <= MAX_ELEMENTS:
            cursor.refuse(f"{name} (shape)", f"{shape} is not 1 to 2^48 elements")
    kind = cursor.u32(f"{name} (type)")
    if kind not in TYPES:
        removed = f"the removed type {REMOVED_TYPES[kind]}" if kind in REMOVED_TYPES else "no tensor type"
        cursor.refuse(f"{name} (type)", f"{kind} is {removed}", "Convert the model again with a current version.")
    type_name, block, width = TYPES[kind]
    if shape[0] % block:
        cursor.refuse(f"{name} (shape)", f"{type_name} needs a first dimension that {block} divides, have {shape[0]}")
    offset = cursor.u64(f"{name} (offset)")
    return GgufTensor(name, type_name, shape, offset, elements // block * width, elements)


def _check_layout(header: GgufHeader) -> list[str]:
    """Every tensor aligned, inside the file and clear of its neighbour. Returns what is odd and not dangerous."""
    names: set[str] = set()
    for tensor in header.tensors:
        if tensor.name in names:
            header.refuse(tensor.name, "the tensor is there more than once")
        names.add(tensor.name)
        if tensor.offset % header.alignment:
            header.refuse(f"{tensor.name} (offset)", f"need a multiple of {header.alignment}, have {tensor.offset}")
    length = header.file_bytes - header.data_offset
    ordered = sorted(header.tensors, key=lambda tensor: tensor.offset)
    unused = ordered[0].offset if ordered else 0
    for tensor, following in zip(ordered, [*ordered[1:], None], strict=False):
        end = tensor.offset + tensor.size_bytes
        if end > length:
            have = max(0, length - tensor.offset)
            message = f"needs {tensor.size_bytes} bytes at offset {tensor.offset}, the file has {have}"
            header.refuse(tensor.name, message)
        if following and following.offset < end:
            span = following.offset - tensor.offset
            message = f"needs {tensor.size_bytes} bytes, {following.name} begins after {span}"
            header.refuse(tensor.name, message)
        reached = -(-end // header.alignment) * header.alignment
        unused += max(0, (following.offset if following else length) - reached)
    return [f"{unused} bytes of the file belong to no tensor."] if ordered and unused else []
