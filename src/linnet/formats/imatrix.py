"""llama.cpp's importance matrix as a file: how much each input column of each matrix is used. Read and write it.

A GGUF of type "imatrix": for each matrix `<name>.in_sum2`, the sums of squared inputs (experts or 1, columns), and
`<name>.counts`, of how many tokens (experts or 1, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import ModelFileError, os_errors
from linnet.core.files import atomic_file
from linnet.formats.gguf import GgufHeader, GgufTensor, read_gguf
from linnet.formats.gguf_write import head, padded, place, text, texts, uint32
from linnet.formats.sniff import sniff

Floats = NDArray[np.float32]
SUMS, COUNTS = ".in_sum2", ".counts"
OLD = "llama.cpp's older .dat form is not read. Convert it: llama-imatrix --in-file OLD.dat -o NEW.gguf"
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Imatrix:
    """sums and counts by the name of the matrix, shapes (experts or 1, columns) and (experts or 1,)."""

    sums: dict[str, Floats]
    counts: dict[str, Floats]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_size: int = 512

    def importance(self, name: str) -> Floats | None:
        """The mean squared input of each column, (experts or 1, columns); 1 for an expert that no token reached.

        None where the matrix is not named.
        """
        if name not in self.sums:
            return None
        counts = self.counts[name][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(counts > 0, self.sums[name] / counts, np.float32(1)).astype(np.float32)


def read_imatrix(path: Path) -> Imatrix:
    """Raises ModelFileError for what is no importance matrix in GGUF, or holds values that cannot be; NotFound."""
    try:
        kind = sniff(path)
    except ModelFileError as error:
        raise ModelFileError("magic", f"{path}: this is no importance matrix in GGUF.", OLD) from error
    header = read_gguf(path) if kind == "gguf" else None
    if header is None or header.metadata.get("general.type") != "imatrix":
        raise ModelFileError("general.type", f"{path}: this is no importance matrix in GGUF.", OLD)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    sums: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    for name in sorted(name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS)):
        if name + COUNTS not in tensors:
            header.refuse(name, "it has sums and no counts", OLD)
        count = _values(header, tensors[name + COUNTS]).ravel()
        total = _values(header, tensors[name + SUMS])
        if total.size % count.size:
            header.refuse(name, f"{total.size} sums for {count.size} counts", OLD)
        sums[name], counts[name] = total.reshape(count.size, -1), np.round(count)
    if not sums:
        header.refuse("tensors", "it names no matrix", OLD)
    datasets = tuple(text.decode("utf-8", "replace") for text in header.strings("imatrix.datasets"))
    found = {key: header.metadata.get(f"imatrix.{key}", 0) for key in ("chunk_count", "chunk_size")}
    return Imatrix(sums, counts, datasets, int(found["chunk_count"]), int(found["chunk_size"]))


def _values(header: GgufHeader, tensor: GgufTensor) -> Floats:
    if tensor.type != "F32" or tensor.size_bytes > MOST_BYTES:
        header.refuse(tensor.name, f"need F32 of at most {MOST_BYTES} bytes, have {tensor.type}")
    with os_errors(header.path, "Reading"), header.path.open("rb") as handle:
        handle.seek(header.data_offset + tensor.offset)
        data = handle.read(tensor.size_bytes)
    if len(data) < tensor.size_bytes:
        header.refuse(tensor.name, "the file was cut while it was read")
    found = np.frombuffer(data, dtype=np.float32)
    if not np.isfinite(found).all() or found.min() < 0:
        header.refuse(tensor.name, "sums of squares and counts are finite and not negative")
    return found


def write_imatrix(found: Imatrix, path: Path) -> None:
    """As llama-imatrix writes it, atomically. Raises DiskFull, ResourceMissing or StoreError."""
    values: Mapping[str, Floats] = {
        f"{name}{suffix}": value
        for name in found.sums
        for suffix, value in ((SUMS, found.sums[name]), (COUNTS, found.counts[name][:, None]))
    }
    metadata = {
        "general.type": text("imatrix"),
        "imatrix.datasets": texts(found.datasets),
        "imatrix.chunk_count": uint32(found.chunks),
        "imatrix.chunk_size": uint32(found.chunk_size),
    }
    placed = place([(name, "F32", tuple(reversed(value.shape))) for name, value in values.items()])
    with atomic_file(path) as handle:
        handle.write(head(metadata, placed))
        for tensor in placed:
            data = np.ascontiguousarray(values[tensor.name], dtype=np.float32).tobytes()
            handle.write(data + bytes(padded(len(data), 32) - len(data)))
