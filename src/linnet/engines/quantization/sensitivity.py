"""What each type does to each tensor, and how far a model with other weights predicts from itself. See mixture_search.

Weights are replaced in the running engine, so a measurement costs a forward pass and no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linnet.core.files import canonical, sha256_bytes
from linnet.engines.quantization.quant_kernels import (
    BLOCKS,
    NEEDS_IMPORTANCE,
    Matrix,
    convert,
    dequantize_rows,
    from_bytes,
    ready,
    row_bytes,
)
from linnet.engines.scoring.llama_watch import Watched
from linnet.formats.gguf_write import ALIGNMENT, padded

Floats = NDArray[np.float32]
# All that a tensor may become; ternary types are for models that were trained for them.
CANDIDATES = (
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K", "MXFP4", "IQ4_XS", "IQ4_NL",
    "Q4_0", "Q4_K", "Q4_1", "Q5_0", "Q5_K", "Q5_1", "Q6_K", "Q8_0",
)  # fmt: skip
WORTHLESS_BARE = (*NEEDS_IMPORTANCE, "IQ1_M", "IQ2_S", "IQ3_XXS")
SAMPLE = 1 << 15  # weights of a tensor that the error of a type is estimated from
KEPT_BYTES = 1 << 30  # of decoded weights that are kept between measurements
BASE_BYTES = 1 << 29  # of the unchanged model's logits


def bits(kind: str) -> float:
    """Bits a weight."""
    block, size = BLOCKS[kind]
    return 8 * size / block


@dataclass(frozen=True, slots=True)
class Tensor:
    """A matrix that may change: its bytes and its weighted squared error in each type that fits it.

    error: sum over the weights of importance * (rounded - weight)^2, estimated from a sample of the rows.
    """

    matrix: Matrix
    importance: Floats | None
    sizes: Mapping[str, int]
    errors: Mapping[str, float]


def fitting(matrix: Matrix, has_importance: bool, least_bits: float, source: str) -> list[str]:
    """The types that a tensor may get, by size: whose blocks divide its rows, and no larger than the source's."""
    found = [
        kind for kind in (*CANDIDATES, source if source in ("F16", "BF16") else "F16")
        if matrix.width % BLOCKS[kind][0] == 0 and least_bits <= bits(kind) <= bits(source)
        and (has_importance or kind not in WORTHLESS_BARE)
    ]  # fmt: skip
    return sorted(found or [source], key=lambda kind: (bits(kind), kind))


def tensor(matrix: Matrix, weights: Floats | None, least_bits: float, source: str, threads: int) -> Tensor:
    """Try every type that fits on a sample, and leave out what is larger and worse than another.

    weights: the importance of each column, (experts or 1, columns). source: the type that the model is kept in.
    """
    sample = _sample(matrix)
    value = _decoded(sample)
    # The sample of experts shares one importance: their mean.
    column = None if weights is None else weights.mean(axis=0)
    sizes: dict[str, int] = {}
    errors: dict[str, float] = {}
    for kind in fitting(matrix, weights is not None, least_bits, source):
        ready(kind)
        square = np.square(_rounded(sample, kind, column, threads) - value, dtype=np.float64).sum(axis=0)
        error = float((square if column is None else square * column).sum()) * matrix.rows / sample.rows
        if all(error < other for other in errors.values()):
            sizes[kind], errors[kind] = padded(matrix.rows * row_bytes(kind, matrix.width), ALIGNMENT), error
    return Tensor(matrix, weights, sizes, errors)


def _sample(matrix: Matrix) -> Matrix:
    """Rows at even distances."""
    count = min(matrix.rows, max(1, SAMPLE // matrix.width))
    places = np.linspace(0, matrix.rows - 1, count).astype(int)
    data = np.concatenate([matrix.read(int(row), 1) for row in places])
    return from_bytes(matrix.where, matrix.type, (matrix.width, count), data)


def _decoded(matrix: Matrix) -> Floats:
    return dequantize_rows(matrix.read(0, matrix.rows), matrix.type, matrix.width)


def _rounded(matrix: Matrix, kind: str, importance: Floats | None, threads: int) -> Floats:
    """The weights as a file of this type has them, (rows, width)."""
    weight = importance[0] if importance is not None and importance.ndim == 2 and len(importance) == 1 else importance
    pieces = convert(matrix, kind, weight, threads)
    return np.concatenate([dequantize_rows(piece, kind, matrix.width) for piece in pieces])


@dataclass
class Bench:
    """The model in the engine and its predictions on a text: replace weights, see how far it then predicts.

    known: what was measured before, here or in an earlier run on the same text, by the hash of the types.
    """

    watched: Watched
    windows: Sequence[Sequence[int]]
    tensors: Mapping[str, Tensor]
    threads: int = 1
    done: int = 0  # measurements asked for, known ones too
    known: dict[str, float] = field(default_factory=dict)
    _base: list[tuple[Floats, Floats]] = field(default_factory=list)
    _kept: dict[tuple[str, str], Floats] = field(default_factory=dict)
    _room: int = KEPT_BYTES

    @property
    def tokens(self) -> int:
        return sum(map(len, self.windows))

    def divergence(self, types: Mapping[str, str]) -> float:
        """Mean KL divergence, in nats a token, of the model with these tensors in these types from the unchanged one.

        Activations are not rounded here as a kernel of the type would round them.
        """
        self.done += 1
        key = sha256_bytes(canonical(dict(types)))[:32]
        if key not in self.known:
            self.known[key] = self._measured(types)
        return self.known[key]

    def _measured(self, types: Mapping[str, str]) -> float:
        if not self._base:
            self._base = [(_shares(rows), rows.copy()) for rows in self._rows()]
        values = {name: self._value(name, kind) for name, kind in types.items()}
        with self.watched.replaced(values):
            pairs = zip(self._base, self._rows(), strict=True)
            return sum(float(_divergence(*base, rows).sum()) for base, rows in pairs) / self.tokens

    def _rows(self) -> Iterable[Floats]:
        for ids in self.windows:
            yield from self.watched.logits(ids)

    def _value(self, name: str, kind: str) -> Floats:
        if (name, kind) in self._kept:
            return self._kept[name, kind]
        one = self.tensors[name]
        value = _rounded(one.matrix, kind, one.importance, self.threads)
        if value.nbytes <= self._room:
            self._kept[name, kind] = value
            self._room -= value.nbytes
        return value


def windows_within(windows: Sequence[Sequence[int]], vocabulary: int, most_tokens: int) -> list[Sequence[int]]:
    """As many windows as fit the memory for logits and `most_tokens`; at least one, cut where it must be."""
    left = max(32, min(most_tokens, BASE_BYTES // (8 * vocabulary)))
    found = []
    for ids in windows:
        if left < 32:
            break
        found.append(ids[:left])
        left -= len(found[-1])
    return found


def _shares(rows: Floats) -> Floats:
    exponent = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float32)


def _divergence(shares: Floats, base: Floats, rows: Floats) -> NDArray[np.float64]:
    """KL of each row. With d = change of the logits less its mean under p, KL = log(1 + sum p (exp(d) - 1)):
    small divergences keep their digits in float32."""
    with np.errstate(invalid="ignore"):
        change = np.where(shares > 0, rows - base, np.float32(0))
    change -= (shares * change).sum(axis=1, dtype=np.float64).astype(np.float32)[:, None]
    mean = (shares * change).sum(axis=1, dtype=np.float64)
    return np.asarray(np.log1p((shares * np.expm1(change)).sum(axis=1, dtype=np.float64)) - mean, dtype=np.float64)
