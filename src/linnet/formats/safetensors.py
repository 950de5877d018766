"""Read and check the header of a safetensors file, or of a set of them under an index. Never the weights.

Format: "Format" in the documentation of huggingface/safetensors
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from linnet.core.errors import ModelFileError, os_errors
from linnet.formats.json_object import parse_object, read_object
from linnet.formats.model_report import ModelReport, QuantShare
from linnet.formats.regular import open_regular

MAX_HEADER = 100 << 20
MAX_INDEX = 64 << 20
HINT = "The file was cut, patched or written wrongly: fetch it again, or save the model again."
# dtype -> bits of one element
DTYPES = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SafeTensor:
    """`shape` slowest dimension first; `offset` counts from the end of the header."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int
    elements: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    path: Path
    metadata: dict[str, str]
    tensors: tuple[SafeTensor, ...]
    data_offset: int
    file_bytes: int
    sha256: str


def read_safetensors(path: Path) -> SafetensorsHeader:
    """Read one file's header. Raises ModelFileError, NotFound or ResourceMissing."""
    with os_errors(path, "Reading"):
        handle, size = open_regular(path)
        with handle:
            if size < 10:
                _refuse(path, "file size", f"need at least 10 bytes, have {size}")
            length = int.from_bytes(handle.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                _refuse(path, "header length", f"need 2 to {min(MAX_HEADER, size - 8)} bytes, have {length}")
            raw = handle.read(length)
    if raw[:1] != b"{":
        _refuse(path, "header", f"need a JSON object, have {raw[:16]!r}")
    found = parse_object(raw, path, "header")
    metadata = _metadata(found.pop("__metadata__", {}), path)
    tensors = tuple(_tensor(path, name, value) for name, value in found.items())
    _check_layout(path, tensors, size - 8 - length)
    return SafetensorsHeader(path, metadata, tensors, 8 + length, size, hashlib.sha256(raw).hexdigest())


def _refuse(path: Path, where: str, message: str, hint: str = HINT) -> NoReturn:
    raise ModelFileError(where, f"{path}: {where}: {message}.", hint)


def _metadata(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        _refuse(path, "__metadata__", "need an object of texts")
    return value


def _tensor(path: Path, name: str, value: Any) -> SafeTensor:
    if not 1 <= len(name) <= 1000 or not name.isprintable():
        _refuse(path, "tensor name", f"need 1 to 1000 printable characters, have {name[:80]!r}")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, name, f"need dtype, shape and data_offsets, have {str(value)[:120]}")
    bits = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if bits is None:
        _refuse(path, f"{name} (dtype)", f"{str(value['dtype'])[:80]!r} is no type of the format")
    shape, offsets = value["shape"], value["data_offsets"]
    if not _whole(shape) or len(shape) > 16:
        _refuse(path, f"{name} (shape)", f"need at most 16 whole numbers, have {str(shape)[:80]}")
    elements = 1
    for length in shape:
        elements *= length
        if elements > 1 << 48:
            _refuse(path, f"{name} (shape)", f"{str(shape)[:80]} is more than 2^48 elements")
    if not _whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(path, f"{name} (data_offsets)", f"need [begin, end], have {str(offsets)[:80]}")
    size = offsets[1] - offsets[0]
    if elements * bits != size * 8:
        need = -(-elements * bits // 8)
        _refuse(path, name, f"{value['dtype']} {shape} needs {need} bytes, data_offsets have {size}")
    return SafeTensor(name, value["dtype"], tuple(shape), offsets[0], size, elements)


def _whole(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def _check_layout(path: Path, tensors: tuple[SafeTensor, ...], length: int) -> None:
    """One tensor after the other, from the first byte to the last."""
    at, before = 0, "the header"
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size_bytes)):
        if tensor.offset != at:
            what = "overlaps" if tensor.offset < at else "leaves a hole after"
            _refuse(path, f"{tensor.name} (data_offsets)", f"{what} {before}: need {at}, have {tensor.offset}")
        at, before = tensor.offset + tensor.size_bytes, tensor.name
        if at > length:
            _refuse(path, tensor.name, f"needs {tensor.size_bytes} bytes, the file has {length - tensor.offset}")
    if at != length:
        _refuse(path, "file size", f"the tensors take {at} bytes, the file has {length} for them")


def read_index(path: Path) -> list[SafetensorsHeader]:
    """Every file of an index, each tensor where the index says. Raises ModelFileError."""
    found = read_object(path, MAX_INDEX)
    where = found.get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(name, str) for name in where.values()):
        _refuse(path, "weight_map", "need an object of tensor names and file names")
    headers = []
    for name in sorted(set(where.values())):
        if os.path.basename(name) != name or name.startswith(".") or not name.endswith(".safetensors"):  # noqa: PTH119
            _refuse(path, "weight_map", f"need the name of a .safetensors file in this folder, have {name[:80]!r}")
        if not (path.parent / name).is_file():
            _refuse(path, "weight_map", f"{name} is missing", "Fetch all files of the model into one folder.")
        headers.append(read_safetensors(path.parent / name))
    check_index(path, where, headers)
    return headers


def check_index(path: Path, where: dict[str, str], headers: list[SafetensorsHeader]) -> None:
    """No tensor twice, none missing, none besides."""
    owner: dict[str, str] = {}
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in owner:
                _refuse(path, tensor.name, f"the tensor is in {owner[tensor.name]} and in {header.path.name}")
            owner[tensor.name] = header.path.name
    if owner != where:
        name = next(name for name in {**where, **owner} if where.get(name) != owner.get(name))
        need, have = where.get(name, "no file"), owner.get(name, "no file")
        _refuse(path, name[:200], f"the index says {need}, the tensor is in {have}")


def safetensors_report(headers: list[SafetensorsHeader]) -> ModelReport:
    """What bare weights say of themselves: types and sizes; the rest stands in a folder's config.json."""
    tensors: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for header in headers:
        for tensor in header.tensors:
            tensors[tensor.type] += 1
            sizes[tensor.type] += tensor.size_bytes
    mix = {name: QuantShare(tensors=tensors[name], bytes=size) for name, size in sizes.most_common()}
    together = hashlib.sha256("".join(header.sha256 for header in headers).encode()).hexdigest()
    adapter = any(".lora_A." in tensor.name for header in headers for tensor in header.tensors)
    return ModelReport(
        format="safetensors",
        kind="adapter" if adapter else "model",
        parameters=sum(tensor.elements for header in headers for tensor in header.tensors),
        file_bytes=sum(header.file_bytes for header in headers),
        parts=tuple(header.path.name for header in headers),
        quantisation=mix,
        quantisation_name=next(iter(mix), ""),
        hashes={"header": headers[0].sha256 if len(headers) == 1 else together},
    )
