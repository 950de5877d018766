"""Write the head of a GGUF: metadata as raw values and where each tensor lies. Bytes only; weights are the caller's.

Format: docs/gguf.md of github.com/ggml-org/ggml, version 3
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from linnet.core.errors import InputError
from linnet.formats.ggml_types import TYPES
from linnet.formats.gguf import ARRAY, STRING, GgufHeader

ALIGNMENT = 32
MAX_NAME = 63
_NUMBERS = {name: (number, block, size) for number, (name, block, size) in TYPES.items()}
_U32 = 4


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor of the file to be written: `shape` fastest dimension first, `offset` from the end of the head."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int


def _counted(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def uint32(value: int) -> bytes:
    """A metadata value with its type, as `head` takes it."""
    return struct.pack("<II", _U32, value)


def text(value: str) -> bytes:
    return struct.pack("<I", STRING) + _counted(value)


def texts(values: Sequence[str]) -> bytes:
    return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(_counted, values))


def copied(header: GgufHeader) -> dict[str, bytes]:
    """Every key of a file with its value's bytes as they are, but for those that tie it to a set of parts."""
    return {key: header.raw[slice(*span)] for key, span in header.spans.items() if not key.startswith("split.")}


def size_of(kind: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor. Raises InputError where blocks of the type do not divide its rows."""
    _, block, size = _NUMBERS[kind]
    if shape[0] % block:
        raise InputError(f"{kind} keeps {block} weights in a block; a row of {shape[0]} does not divide.")
    elements = 1
    for length in shape:
        elements *= length
    return elements // block * size


def padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def place(tensors: Sequence[tuple[str, str, tuple[int, ...]]], alignment: int = ALIGNMENT) -> list[Placed]:
    """One (name, type, shape) after the other, each at a multiple of `alignment`."""
    found, at = [], 0
    for name, kind, shape in tensors:
        if not 1 <= len(name.encode()) <= MAX_NAME:
            raise InputError(f"a tensor's name has 1 to {MAX_NAME} bytes in GGUF: {name[:80]!r}.")
        found.append(Placed(name, kind, tuple(shape), at, size_of(kind, shape)))
        at += padded(found[-1].size_bytes, alignment)
    return found


def head(metadata: Mapping[str, bytes], tensors: Sequence[Placed], alignment: int = ALIGNMENT) -> bytes:
    """All that comes before the weights, padded. `metadata`: key -> value with its type."""
    parts = [b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    parts += [_counted(key) + value for key, value in metadata.items()]
    for tensor in tensors:
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        parts.append(_counted(tensor.name) + shape + struct.pack("<IQ", _NUMBERS[tensor.type][0], tensor.offset))
    found = b"".join(parts)
    return found + bytes(padded(len(found), alignment) - len(found))
