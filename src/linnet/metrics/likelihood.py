"""What log-probabilities say: normalisers, probabilities of labels, perplexity and its windows. Knows no model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Record

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Normalization = Literal["none", "tokens", "bytes"]


class Perplexity(Record):
    """How well a model predicts a text.

    perplexity: exp of the mean negative log-probability (natural log) of a token. standard_error: of the perplexity,
    by the delta method, perplexity * sd / sqrt(tokens), as llama.cpp reports it; it takes tokens as independent.
    bits_per_byte and bits_per_word: the sum of negative log2-probabilities over the UTF-8 bytes and the
    whitespace-separated words of what was scored; unlike perplexity they compare models of different vocabularies.
    """

    tokens: int
    bytes: int
    words: int
    mean_nll: float
    perplexity: float
    standard_error: float
    bits_per_byte: float
    bits_per_word: float


def log_normalizers(logits: Floats) -> Doubles:
    """log(sum(exp(row))) of each row, shape (rows,). Sums in float64, so a large vocabulary costs no precision."""
    top = logits.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(logits - top).sum(axis=1, dtype=np.float64)) + top[:, 0], dtype=np.float64)


def label_probabilities(scores: Doubles) -> Doubles:
    """Softmax over the last axis: exp(score) / sum of exp(score) over the labels."""
    exponent = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True), dtype=np.float64)


class Running:
    """Mean and variance of numbers that come in pieces (Chan, Golub and LeVeque 1979), in constant memory."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: Doubles) -> None:
        if not len(values):
            return
        count, mean = len(values), float(values.mean())
        squares, total, step = float(((values - mean) ** 2).sum()), self.count + len(values), mean - self.mean
        self._squares += squares + step**2 * self.count * count / total
        self.mean += step * count / total
        self.count = total

    @property
    def standard_error(self) -> float:
        """Sample standard deviation over the square root of the count; 0 for fewer than two numbers."""
        return math.sqrt(self._squares / (self.count - 1) / self.count) if self.count > 1 else 0.0


def perplexity(nll: Running, size_bytes: int, words: int) -> Perplexity:
    """The record for negative log-probabilities (natural log) of tokens that spell `size_bytes` and `words`."""
    value = math.exp(nll.mean) if nll.mean < 700 else math.inf
    bits = nll.mean * nll.count / math.log(2)
    return Perplexity(
        tokens=nll.count,
        bytes=size_bytes,
        words=words,
        mean_nll=nll.mean,
        perplexity=value,
        standard_error=value * nll.standard_error,
        bits_per_byte=bits / max(size_bytes, 1),
        bits_per_word=bits / max(words, 1),
    )


def windows(ids: Sequence[int], window: int, stride: int, bos: bool) -> Iterator[tuple[list[int], int, list[int]]]:
    """Pieces to decode: the tokens, the first whose prediction counts, and the tokens to be predicted from there on.

    `ids` begin with BOS where `bos`; it then replaces the first token of every later piece.
    """
    done = 0  # ids[1..done] are predicted
    while done < len(ids) - 1:
        end = min(done + (stride if done else window), len(ids) - 1)
        begin = max(0, end - window)
        part = list(ids[begin:end])
        if bos:
            part[0] = ids[0]
        yield part, done - begin, list(ids[done + 1 : end + 1])
        done = end
