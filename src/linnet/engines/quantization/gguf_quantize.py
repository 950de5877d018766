"""One pass over a model's tensors into a GGUF of another type: read by rows, quantised, written. Memory stays small.

Where tensors come from is the caller's: `gguf_source` reads a GGUF or its parts, `hf_source` a Hugging Face folder.
Weights are read, not mapped: a mapped file that somebody cuts short kills the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from linnet.core.errors import InputError, ModelFileError, os_errors
from linnet.core.failpoints import failpoint
from linnet.core.records import Record
from linnet.engines.quantization import mixtures
from linnet.engines.quantization.mixtures import Chosen, Facts
from linnet.engines.quantization.quant_kernels import Bytes, Matrix, in_order, pieces, row_bytes
from linnet.formats.gguf import AGAIN, GgufHeader, GgufTensor
from linnet.formats.gguf_split import read_parts
from linnet.formats.gguf_write import Placed, copied, head, padded, place, text, uint32
from linnet.formats.imatrix import Imatrix
from linnet.formats.regular import open_regular

QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION

# (bytes written, of how many, name of the tensor)
OnTensor = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make: `mixture` is a name of llama.cpp's, or with `pure` the one type of every matrix.

    importance_file is the name that the result's metadata states. types: a list by tensor, which then decides; the
    mixture only says which number the file states. target: what the list was made for, in words.
    """

    mixture: str
    pure: bool = False
    importance: Imatrix | None = None
    importance_file: str = ""
    requantize: bool = False
    threads: int = 1
    types: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A model to read. `metadata` are raw values by key; `matrices` what to read, by GGUF name.

    stored: the type in which a tensor is kept that no mixture touches, where it is not the type it is read in.
    """

    where: str
    facts: Facts
    metadata: Mapping[str, bytes]
    matrices: Mapping[str, Matrix]
    alignment: int = 32
    stored: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(m.rows * row_bytes(m.type, m.width) for m in self.matrices.values())

    @property
    def elements(self) -> int:
        return sum(m.rows * m.width for m in self.matrices.values())


class TypeShare(Record):
    """How many tensors of a type, and their bytes."""

    tensors: int
    bytes: int


class Quantized(Record):
    """What was written. `fallbacks`: tensors whose rows the wanted type's blocks do not divide, "name: A instead of B".

    `unguided`: matrices that the importance matrix does not name, quantised without it. `tensor_types`: the list that
    was followed instead of a mixture; with it the same file can be made again.
    """

    file_type: str
    size_bytes: int
    source_bytes: int
    bits_per_weight: float
    types: dict[str, TypeShare]
    fallbacks: tuple[str, ...] = ()
    unguided: tuple[str, ...] = ()
    tensor_types: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """Every tensor with its type and place, before a weight is read."""

    source: Source
    recipe: Recipe
    chosen: Sequence[Chosen]
    placed: Sequence[Placed]
    head: bytes
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return len(self.head) + sum(padded(p.size_bytes, self.source.alignment) for p in self.placed)

    def summary(self) -> Quantized:
        types: dict[str, list[int]] = {}
        for one in self.placed:
            types.setdefault(one.type, []).append(one.size_bytes)
        shares = {name: TypeShare(tensors=len(sizes), bytes=sum(sizes)) for name, sizes in types.items()}
        named = self.recipe.importance is not None
        return Quantized(
            file_type=self._file_type(),
            size_bytes=self.size_bytes,
            source_bytes=self.source.size_bytes,
            bits_per_weight=round(8 * sum(p.size_bytes for p in self.placed) / max(1, self.source.elements), 3),
            types=dict(sorted(shares.items(), key=lambda item: -item[1].bytes)),
            fallbacks=tuple(f"{c.name}: {c.type} instead of {c.wanted}" for c in self.chosen if c.wanted),
            unguided=tuple(
                c.name for c in self.chosen
                if named and c.type not in mixtures.FLOATS and c.type != c.source and c.name not in self.weights
            ),
            tensor_types=dict(self.recipe.types),
        )  # fmt: skip

    def _file_type(self) -> str:
        if self.recipe.types:
            return f"mixed, {self.recipe.target}" if self.recipe.target else "mixed, as listed"
        return f"{self.recipe.mixture} throughout" if self.recipe.pure else self.recipe.mixture


@contextmanager
def gguf_source(path: Path) -> Iterator[Source]:
    """A GGUF, or every part of its set, open for reading. Raises ModelFileError for a file that breaks the format."""
    parts = read_parts(path)
    matrices: dict[str, Matrix] = {}
    with ExitStack() as open_files:
        for part in parts:
            with os_errors(part.path, "Reading"):
                handle, size = open_regular(part.path)
            open_files.enter_context(handle)
            if size != part.file_bytes:
                raise ModelFileError("file size", f"{part.path}: changed while it was read.", AGAIN)
            for tensor in part.tensors:
                matrices[tensor.name] = _matrix(part, tensor, handle.fileno())
        first = parts[0]
        yield Source(str(path), mixtures.facts(first), copied(first), matrices, first.alignment)


def _matrix(part: GgufHeader, tensor: GgufTensor, descriptor: int) -> Matrix:
    return file_matrix(
        f"{part.path}: {tensor.name}", tensor.type, tensor.shape, (descriptor, part.data_offset + tensor.offset)
    )


def file_matrix(where: str, kind: str, shape: tuple[int, ...], place: tuple[int, int]) -> Matrix:
    """A matrix that lies in an open file: `place` is the descriptor and the byte where it begins."""
    descriptor, start = place
    width = row_bytes(kind, shape[0])

    def read(first: int, count: int) -> NDArray[np.uint8]:
        data = os.pread(descriptor, count * width, start + first * width)
        if len(data) < count * width:
            raise ModelFileError(where, f"{where}: the file was cut while it was read.", AGAIN)
        return np.frombuffer(data, dtype=np.uint8).reshape(count, width)

    return Matrix(where, kind, shape, read)


def plan(source: Source, recipe: Recipe) -> Plan:
    """Choose a type for each tensor and a place for it.

    Raises InputError for a source that is quantised already (unless `requantize`), for an importance matrix of
    another model, and where a type needs one and has none.
    """
    shapes = {name: (source.stored.get(name, m.type), m.shape) for name, m in source.matrices.items()}
    guided = recipe.importance is not None
    if recipe.types:
        chosen = mixtures.listed(shapes, source.facts, recipe.types)
    else:
        chosen = mixtures.choose(shapes, source.facts, recipe.mixture, has_importance=guided, pure=recipe.pure)
    changed = [one for one in chosen if one.type != one.source]
    if coarse := next((c for c in changed if c.source not in mixtures.FLOATS and not recipe.requantize), None):
        raise InputError(
            f"{source.where} is quantised already: {coarse.name} is {coarse.source}.",
            "Start from the F16, BF16 or F32 model; or add --requantize, and lose more than each step alone would.",
        )
    weights = _weights(source, recipe, changed)
    if bare := next((c for c in changed if c.needs_importance and c.name not in weights), None):
        raise InputError(
            f"{recipe.mixture} makes {bare.name} {bare.type}, which is worthless without an importance matrix.",
            "Let one be made with --imatrix auto, give one that names this tensor, or choose a larger type.",
        )
    placed = place([(c.name, c.type, source.matrices[c.name].shape) for c in chosen], source.alignment)
    return Plan(source, recipe, chosen, placed, head(_metadata(source, recipe), placed, source.alignment), weights)


def _weights(source: Source, recipe: Recipe, changed: Sequence[Chosen]) -> dict[str, NDArray[np.float32]]:
    """The importance of each column of each matrix to be quantised, where the importance matrix names it."""
    found: dict[str, NDArray[np.float32]] = {}
    if recipe.importance is None:
        return found
    for one in changed:
        matrix, value = source.matrices[one.name], recipe.importance.importance(one.name)
        if value is None:
            continue
        experts = matrix.shape[2] if len(matrix.shape) > 2 else 1
        if value.shape == (experts, matrix.width):
            found[one.name] = value if experts > 1 else value[0]
        elif mixtures.role_of(one.name) != "embedding":  # looked up, not multiplied: its columns are others
            have = f"{value.shape[1]} columns of {value.shape[0]}"
            raise InputError(
                f"the importance matrix is of another model: it has {have} for {one.name}, "
                f"which has {matrix.width} of {experts}.",
                "Make it from this model, or from the one that this was converted from.",
            )
    if changed and not found:
        raise InputError("the importance matrix names no matrix of this model.", "Make one from this model.")
    return found


def _metadata(source: Source, recipe: Recipe) -> dict[str, bytes]:
    """The source's keys, then what changed: the same keys in the same order as llama-quantize writes."""
    number = mixtures.file_type(recipe.mixture, pure=recipe.pure)
    changed = {
        "general.quantization_version": uint32(QUANTIZATION_VERSION),
        "general.file_type": uint32(number),
    }
    if recipe.target:
        changed["linnet.mixture.target"] = text(recipe.target)
    if recipe.importance is not None:
        changed["quantize.imatrix.file"] = text(recipe.importance_file)
        if recipe.importance.datasets:
            changed["quantize.imatrix.dataset"] = text(recipe.importance.datasets[0])
        changed["quantize.imatrix.entries_count"] = uint32(len(recipe.importance.sums))
        changed["quantize.imatrix.chunks_count"] = uint32(recipe.importance.chunks)
    return {**{key: value for key, value in source.metadata.items() if key not in changed}, **changed}


def write(made: Plan, handle: BinaryIO, on_tensor: OnTensor) -> None:
    """Write the whole file. Raises ModelFileError, naming the tensor, for a weight that is NaN or infinite."""
    handle.write(made.head)
    done, total = len(made.head), made.size_bytes
    # Threads go on to the next tensor while the last pieces of one are made.
    found = in_order(_jobs(made), made.recipe.threads)
    number, piece = next(found, (-1, None))
    for turn, one in enumerate(made.placed):
        failpoint("convert.tensor")
        on_tensor(done, total, one.name)
        written = 0
        while piece is not None and number == turn:
            written += handle.write(piece.data)
            number, piece = next(found, (-1, None))
        if written != one.size_bytes:
            where = made.source.matrices[one.name].where
            raise ModelFileError(one.name, f"{where}: gave {written} bytes, {one.size_bytes} are due.", AGAIN)
        handle.write(bytes(padded(written, made.source.alignment) - written))
        done += padded(written, made.source.alignment)
    on_tensor(done, total, "")


def _jobs(made: Plan) -> Iterator[tuple[int, Callable[[], Bytes]]]:
    """Every piece of every tensor, with the tensor's place."""
    for turn, one in enumerate(made.placed):
        for job in pieces(made.source.matrices[one.name], one.type, made.weights.get(one.name)):
            yield turn, job
