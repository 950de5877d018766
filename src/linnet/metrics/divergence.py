"""How far one model's predictions are from another's, token by token. Knows no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Record

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
ROWS = 16  # of float64 at once: with a vocabulary of 150,000, 20 MB an array


class Divergence(Record):
    """Kullback-Leibler divergence of a model from the base over a text, in nats per token.

    KL(base || model) = sum over the vocabulary of p_base * (log p_base - log p_model), as llama.cpp's
    `--kl-divergence`. same_top_share: how often both have the same most probable token.
    """

    tokens: int
    mean: float
    standard_error: float
    median: float
    p99: float
    max: float
    same_top_share: float


def _log_softmax(logits: Floats) -> Doubles:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)), dtype=np.float64)


def kl_divergences(base: Floats, model: Floats) -> Doubles:
    """KL(base || model) of each row of logits (rows, vocabulary) in nats, in float64, a few rows at a time.

    A token that the base can never say (logit -inf) adds nothing, whatever the model thinks of it.
    """
    found = np.empty(len(base), dtype=np.float64)
    for start in range(0, len(base), ROWS):
        rows = slice(start, start + ROWS)
        one, other = _log_softmax(base[rows]), _log_softmax(model[rows])
        share = np.exp(one)
        with np.errstate(invalid="ignore"):  # -inf minus -inf, where the share is zero
            found[rows] = np.where(share > 0, share * (one - other), 0.0).sum(axis=1)
    # Rounding can leave a divergence of equal rows a hair below zero.
    return np.maximum(found, 0.0)


def divergence(per_token: Doubles, same_top: NDArray[np.bool_]) -> Divergence:
    """The record for the divergence of each token and whether the most probable token was the same."""
    count = len(per_token)
    median, p99 = np.percentile(per_token, (50, 99))
    return Divergence(
        tokens=count,
        mean=float(per_token.mean()),
        standard_error=float(per_token.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0,
        median=float(median),
        p99=float(p99),
        max=float(per_token.max()),
        same_top_share=float(same_top.mean()),
    )
