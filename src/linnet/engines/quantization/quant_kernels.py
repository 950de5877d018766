"""ggml's quantisers and dequantisers, called in the shared library of xllamacpp. Rows in, rows out; knows no file.

A kernel is used after it gave the stored bytes for a stored input (`quant_selftest`). Always the wheel's, also where a
native engine was built: another compiler rounds otherwise, and the same model would give other files. The C calls
release the GIL, so threads over rows use every core.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from ctypes import CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import EngineError, InputError, ModelFileError
from linnet.engines.scoring.llama_c import EXPECTED, _shared_object, installed, refuse
from linnet.formats.ggml_types import TYPES

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Key = TypeVar("Key")

TARGETS = (
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
    "IQ4_XS", "IQ4_NL", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S", "IQ1_M", "TQ1_0", "TQ2_0", "MXFP4",
)  # fmt: skip
PLAIN = ("F32", "F16", "BF16")
# ggml stops the process where these come without an importance vector (ggml_quantize_requires_imatrix).
NEEDS_IMPORTANCE = ("IQ2_XXS", "IQ2_XS", "IQ1_S")
NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}
BLOCKS = {name: (block, size) for name, block, size in TYPES.values()}
CHUNK = 1 << 18  # weights of one call: 1 MB of float32, which stays in a core's cache
HINT = "The source is damaged or its training diverged: no type can hold such a weight. Take another checkpoint."


class _Traits(Structure):
    """ggml_type_traits."""

    _fields_ = (
        ("type_name", c_char_p),
        ("blck_size", c_int64),
        ("blck_size_interleave", c_int64),
        ("type_size", c_size_t),
        ("is_quantized", c_bool),
        ("to_float", c_void_p),
        ("from_float_ref", c_void_p),
    )


_ToFloat = CFUNCTYPE(None, c_void_p, c_void_p, c_int64)
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_get_type_traits": (POINTER(_Traits), (c_int,)),
    "ggml_quantize_chunk": (c_size_t, (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p)),
    "ggml_quantize_init": (None, (c_int,)),
    "ggml_validate_row_data": (c_bool, (c_int, c_void_p, c_size_t)),
}


@dataclass(frozen=True, slots=True)
class Matrix:
    """A tensor that is read row by row. `shape` fastest dimension first, as in GGUF; `where` names it in errors.

    read(first, count) gives the bytes of `count` rows, shape (count, bytes of a row); threads call it.
    """

    where: str
    type: str
    shape: tuple[int, ...]
    read: Callable[[int, int], Bytes]

    @property
    def width(self) -> int:
        return self.shape[0]

    @property
    def rows(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64))


@cache
def _c() -> Any:
    """The wheel's library with its functions typed. Raises EngineError for another version than the pinned one."""
    if installed() != EXPECTED:
        raise _off("its kernels are tested for one version")
    path = _shared_object()
    try:
        c = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
    except OSError as error:
        raise _off(f"the library {path.name} cannot be opened: {error}") from error
    for name, (result, arguments) in _PROTOTYPES.items():
        if not hasattr(c, name):
            raise _off(f"the library does not export {name}")
        function = getattr(c, name)
        function.restype, function.argtypes = result, arguments
    return c


def _off(why: str) -> EngineError:
    error = refuse(why)
    return EngineError(
        error.message.replace("Scoring is off", "Quantising is off"), error.hint.partition(". ")[0] + "."
    )


def row_bytes(kind: str, width: int) -> int:
    """Bytes of a row of `width` weights. Raises InputError where blocks of the type do not divide it."""
    block, size = BLOCKS[kind]
    if width % block:
        raise InputError(f"{kind} keeps {block} weights in a block; a row of {width} does not divide.")
    return width // block * size


@cache
def ready(kind: str) -> None:
    """Prepare the tables of a type and test its kernels, once in a process.

    Raises InputError for a type that is not in TARGETS, EngineError where the library answers otherwise than the
    version the stored bytes are of.
    """
    if kind not in TARGETS:
        raise InputError(f"{kind} is not a type that can be written.", f"Types: {', '.join(TARGETS)}.")
    from linnet.engines.quantization.quant_selftest import check

    _c().ggml_quantize_init(NUMBERS[kind])
    _to_float(kind)
    if problem := check(kind, quantize_rows, dequantize_rows):
        raise _off(f"the kernel of {kind} {problem}")


@cache
def _to_float(kind: str) -> Callable[[int, int, int], None] | None:
    """The C function that decodes a type; None for float32. Raises EngineError for a type without one."""
    block, size = BLOCKS[kind]
    traits = _c().ggml_get_type_traits(NUMBERS[kind]).contents
    if (traits.blck_size, traits.type_size) != (block, size):
        found = f"{traits.blck_size} weights in {traits.type_size} bytes"
        raise _off(f"the library keeps {found} in a block of {kind}, {block} in {size} are expected")
    if kind == "F32":
        return None
    if not traits.to_float:
        raise EngineError(f"{kind} cannot be decoded: the engine has no function for it.")
    return _ToFloat(traits.to_float)


def quantize_rows(rows: Floats, kind: str, importance: Floats | None = None) -> Bytes:
    """float32 (rows, width) as `kind`: (rows, bytes of a row). `importance`: a weight for each column, (width,).

    Does not look at the values. Raises InputError for a width or an importance vector that does not fit.
    """
    count, width = rows.shape
    if importance is not None and importance.shape != (width,):
        raise InputError(f"an importance vector of {importance.shape} for rows of {width}.")
    if importance is None and kind in NEEDS_IMPORTANCE:
        raise InputError(f"{kind} needs an importance matrix.", "Give one with --imatrix, or choose a larger type.")
    found = np.empty((count, row_bytes(kind, width)), dtype=np.uint8)
    source = np.ascontiguousarray(rows, dtype=np.float32)
    weight = None if importance is None else np.ascontiguousarray(importance, dtype=np.float32)
    pointer = None if weight is None else weight.ctypes.data
    _c().ggml_quantize_chunk(NUMBERS[kind], source.ctypes.data, found.ctypes.data, 0, count, width, pointer)
    return found


def dequantize_rows(data: Bytes, kind: str, width: int) -> Floats:
    """Bytes (rows, bytes of a row) as float32 (rows, width). Raises InputError where they do not fit each other."""
    if data.ndim != 2 or data.shape[1] != row_bytes(kind, width):
        raise InputError(f"rows of {width} in {kind} take {row_bytes(kind, width)} bytes, have {data.shape}.")
    source = np.ascontiguousarray(data)
    decode = _to_float(kind)
    if decode is None:
        return source.view(np.float32)
    found = np.empty((len(data), width), dtype=np.float32)
    decode(source.ctypes.data, found.ctypes.data, found.size)
    return found


def convert(matrix: Matrix, kind: str, importance: Floats | None = None, threads: int = 1) -> Iterator[Bytes]:
    """The rows of `matrix` as `kind`, in order, piece by piece; memory is a few pieces, whatever the matrix takes.

    importance: (width,), or (experts, width) for a matrix of three dimensions. What is already of this type is passed
    on as it is. Raises ModelFileError, naming the tensor, where a value is NaN or infinite, or overflows the type.
    """
    return (piece for _, piece in in_order(((None, job) for job in pieces(matrix, kind, importance)), threads))


def pieces(matrix: Matrix, kind: str, importance: Floats | None = None) -> Iterator[Callable[[], Bytes]]:
    """What makes each piece of `convert`, for any thread to run."""
    if kind != matrix.type:
        ready(kind)
    step = max(1, CHUNK // matrix.width)
    # A piece never crosses from one expert to the next: each has its own importance.
    block = matrix.shape[1] if importance is not None and importance.ndim == 2 else matrix.rows
    for first in range(0, matrix.rows, block):
        end = first + block
        weight = importance[first // block] if importance is not None and importance.ndim == 2 else importance
        for start in range(first, end, step):
            yield partial(_piece, matrix, kind, weight, start, min(step, end - start))


def in_order(jobs: Iterable[tuple[Key, Callable[[], Bytes]]], threads: int) -> Iterator[tuple[Key, Bytes]]:
    """What the jobs give, in their order, with their keys; at most a few are begun before they are asked for."""
    with ThreadPoolExecutor(threads, thread_name_prefix="quantize") as pool:
        pending: deque[tuple[Key, Future[Bytes]]] = deque()
        try:
            for key, job in jobs:
                pending.append((key, pool.submit(job)))
                if len(pending) > 2 * threads:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _piece(matrix: Matrix, kind: str, importance: Floats | None, start: int, count: int) -> Bytes:
    raw = matrix.read(start, count)
    if kind == matrix.type:
        _check(matrix, raw, kind, "holds a value that is NaN or infinite")
        return raw
    values = dequantize_rows(raw, matrix.type, matrix.width)
    if not np.isfinite(values).all():
        raise ModelFileError(matrix.where, f"{matrix.where}: a weight of it is NaN or infinite.", HINT)
    found = quantize_rows(values, kind, importance)
    _check(matrix, found, kind, f"does not fit into {kind}: a value overflows")
    return found


def _check(matrix: Matrix, data: Bytes, kind: str, problem: str) -> None:
    """Raise ModelFileError unless what `kind` holds is finite: every value, or every scale of a block."""
    if kind in ("F32", "F16"):
        fine = bool(np.isfinite(data.view(np.float32 if kind == "F32" else np.float16)).all())
    elif kind == "BF16":
        fine = bool(((data.view(np.uint16) & 0x7F80) != 0x7F80).all())
    elif kind in TARGETS:
        fine = bool(_c().ggml_validate_row_data(NUMBERS[kind], np.ascontiguousarray(data).ctypes.data, data.nbytes))
    else:
        fine = True  # integers, and types that no kernel here reads
    if not fine:
        raise ModelFileError(matrix.where, f"{matrix.where}: {problem}.", HINT)


def from_bytes(where: str, kind: str, shape: tuple[int, ...], data: Bytes) -> Matrix:
    """A matrix whose bytes are in memory."""
    rows = data.reshape(-1, row_bytes(kind, shape[0]))
    return Matrix(where, kind, shape, lambda first, count: rows[first : first + count])
