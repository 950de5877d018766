"""A GGUF in the engine whose operations are watched: what goes into each matrix is seen, and weights can be replaced.

Through the C API's `cb_eval`, so for every architecture that the engine runs. Knows no text and no type.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import CFUNCTYPE, Structure, c_bool, c_char, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import EngineError
from linnet.engines.scoring.llama_c import refuse
from linnet.engines.scoring.llama_context import Context, Model
from linnet.formats.gguf import GgufTensor

Floats = NDArray[np.float32]
MATMUL, EXPERTS = b"MUL_MAT", b"MUL_MAT_ID"
TYPES: dict[int, Any] = {0: np.float32, 1: np.float16}  # ggml_type of what can be replaced


class _Tensor(Structure):
    """ggml_tensor, as far as it is read."""

    _fields_ = (
        ("type", c_int32),
        ("buffer", c_void_p),
        ("ne", c_int64 * 4),
        ("nb", c_size_t * 4),
        ("op", c_int32),
        ("op_params", c_int32 * 16),
        ("flags", c_int32),
        ("src", c_void_p * 10),
        ("view_src", c_void_p),
        ("view_offs", c_size_t),
        ("data", c_void_p),
        ("name", c_char * 64),
        ("extra", c_void_p),
        ("padding", c_char * 8),
    )


_Watch = CFUNCTYPE(c_bool, c_void_p, c_bool, c_void_p)
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_get_data": (c_void_p, (c_void_p,)),
    "ggml_get_name": (c_void_p, (c_void_p,)),
    "ggml_nbytes": (c_size_t, (c_void_p,)),
    "ggml_op_name": (ctypes.c_char_p, (c_int32,)),
    "ggml_tensor_overhead": (c_size_t, ()),
}
_OBJECT = 32  # GGML_OBJECT_SIZE, which ggml_tensor_overhead counts too


class Sums:
    """For each matrix the sums of squares of its input columns, (experts or 1, columns), and of how many rows each."""

    def __init__(self) -> None:
        self.squares: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, NDArray[np.float64]] = {}

    def add(self, name: str, experts: int, rows: Floats, chosen: NDArray[np.int32] | None = None) -> None:
        """`rows`: (experts or 1, count, columns); with `chosen` (count, used), the expert of each row that is due,
        (count, used or 1, columns)."""
        squares = self.squares.setdefault(name, np.zeros((experts, rows.shape[-1])))
        counts = self.counts.setdefault(name, np.zeros(experts))
        square = np.square(rows, dtype=np.float64)
        if chosen is None:
            squares += square.sum(axis=1)
            counts += rows.shape[1]
            return
        for slot in range(chosen.shape[1]):
            np.add.at(squares, chosen[:, slot], square[:, slot % rows.shape[1]])
            np.add.at(counts, chosen[:, slot], 1)


class Watched:
    """A GGUF in F32 or F16 opened for watching, for use in a `with` block.

    tensors: those of the file, whose weights may be replaced. Raises EngineError when the engine does not load it, or
    lays its tensors out otherwise than the version this was written for.
    """

    def __init__(self, path: Path, tensors: Sequence[GgufTensor], context: int, threads: int) -> None:
        self._known = {t.name.encode(): t for t in tensors}
        self._addresses: dict[str, tuple[int, int]] = {}
        self._sums: Sums | None = None
        self._failed: BaseException | None = None
        self._callback = _Watch(self._seen)
        self.model = Model(path, writable=True)
        self.context: Context | None = None
        try:
            self._type_functions()
            self.size = min(context, self.model.trained_context or context)
            self.context = Context(self.model, self.size, 1, threads, "f32", watch=self._callback)
            for _ in self._opened().read([0, 1], 0):
                self._check_failed()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for part in (self.context, self.model):
            if part:
                part.close()
        self.context = None

    @property
    def names(self) -> frozenset[str]:
        """The matrices that the engine multiplies by, or looks rows up in."""
        return frozenset(self._addresses)

    def logits(self, ids: Sequence[int]) -> Iterator[Floats]:
        """Logits after each token from an empty cache, in pieces of (rows, vocabulary); views that the next piece
        overwrites. Raises EngineError when one is not finite."""
        yield from self._opened().read(ids, 0)
        self._check_failed()

    def gather(self, windows: Sequence[Sequence[int]]) -> Sums:
        """Run each window and sum the squares of what goes into every matrix."""
        self._sums = found = Sums()
        try:
            for ids in windows:
                for _ in self.logits(ids):
                    self._check_failed()
        finally:
            self._sums = None
        return found

    @contextmanager
    def replaced(self, values: dict[str, Floats]) -> Iterator[None]:
        """Run with other weights in these tensors; `values` by name, float32, as many as each tensor has."""
        kept: list[tuple[NDArray[Any], NDArray[Any]]] = []
        try:
            for name, value in values.items():
                address, kind = self._addresses[name]
                memory = (ctypes.c_uint8 * (value.size * np.dtype(TYPES[kind]).itemsize)).from_address(address)
                place = np.frombuffer(memory, dtype=TYPES[kind])
                kept.append((place, place.copy()))
                place[:] = value.reshape(-1)
            yield
        finally:
            for place, before in kept:
                place[:] = before

    def _opened(self) -> Context:
        if self.context is None:
            raise EngineError(f"{self.model.path.name}: this model is closed.")
        return self.context

    def _type_functions(self) -> None:
        for name, (result, arguments) in _PROTOTYPES.items():
            if not hasattr(self.model.c, name):
                raise refuse(f"the library does not export {name}")
            function = getattr(self.model.c, name)
            function.restype, function.argtypes = result, arguments
        if self.model.c.ggml_tensor_overhead() != ctypes.sizeof(_Tensor) + _OBJECT:
            raise refuse("the library's tensors are laid out otherwise")

    def _check_failed(self) -> None:
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error

    def _seen(self, address: int, ask: bool, _data: object) -> bool:
        """What the engine calls: before an operation (`ask`), and after one that was asked for."""
        try:
            tensor = _Tensor.from_address(address)
            if not tensor.src[0]:
                return False
            weight = _Tensor.from_address(tensor.src[0])
            known = self._known.get(weight.name)
            if known is None:
                return not ask
            if ask:
                self._remember(weight, tensor.src[0], known)
                return self._sums is not None and self._op(tensor) in (MATMUL, EXPERTS)
            self._collect(tensor, weight, known.name)
        except BaseException as error:  # nothing may pass through the C code above
            self._failed = self._failed or error
        return True

    def _op(self, tensor: _Tensor) -> bytes:
        return bytes(self.model.c.ggml_op_name(tensor.op) or b"")

    def _remember(self, weight: _Tensor, address: int, known: GgufTensor) -> None:
        if known.name in self._addresses:
            return
        c, place = self.model.c, ctypes.addressof(weight)
        fits = c.ggml_get_name(address) == place + _Tensor.name.offset and c.ggml_get_data(address) == weight.data
        shape = (*known.shape, 1, 1, 1)[:4]
        if not fits or tuple(weight.ne) != shape:
            raise refuse("the library's tensors are laid out otherwise")
        if weight.type in TYPES and c.ggml_nbytes(address) == np.dtype(TYPES[weight.type]).itemsize * np.prod(shape):
            self._addresses[known.name] = weight.data, weight.type

    def _collect(self, tensor: _Tensor, weight: _Tensor, name: str) -> None:
        if self._sums is None:
            return
        rows, experts = _array(_Tensor.from_address(tensor.src[1]), np.float32), int(weight.ne[2])
        if self._op(tensor) == MATMUL:
            self._sums.add(name, experts, rows.reshape(experts, -1, rows.shape[-1]))
            return
        chosen = _array(_Tensor.from_address(tensor.src[2]), np.int32)
        self._sums.add(name, experts, rows[0], chosen[0, 0])


def _array(tensor: _Tensor, kind: Any) -> NDArray[Any]:
    """The numbers of a tensor as a view, slowest dimension first. Raises EngineError for another type."""
    if tensor.nb[0] != np.dtype(kind).itemsize or not tensor.data:
        raise EngineError(f"{tensor.name.decode('utf-8', 'replace')}: its numbers are not {np.dtype(kind).name}.")
    shape, steps = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
    room = 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + np.dtype(kind).itemsize - 1
    memory = (ctypes.c_uint8 * room).from_address(tensor.data)
    return np.ndarray(shape, kind, memory, strides=steps)
