"""Whether what was looked for stands at the top of a ranking: recall@k, reciprocal rank, nDCG.

Where scores tie, the order among equals is nobody's merit: each metric is its mean over all orders of the tied
(McSherry and Najork 2008, "Computing information retrieval performance measures efficiently in the presence of tied
scores"). One query at a time; `ranking_scores` takes many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linnet.core.errors import DataError
from linnet.metrics.scores import Score, Scores, collect, same_length

Floats = NDArray[np.float64]
Gain = Literal["linear", "exponential"]
VERSION = "1"


def _both(scores: ArrayLike, gains: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(scores, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(f"A ranking needs one score and one gain for each document, has {first.shape}, {second.shape}.")
    if not np.isfinite(first).all() or not np.isfinite(second).all() or (second < 0).any():
        raise DataError("Scores must be finite, gains finite and not negative.")
    return first, second


def _tied(scores: Floats, gains: Floats) -> Iterator[tuple[int, Floats]]:
    """From the best score down: how many stand before this group of equals, and the gains in it."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    for group in np.split(order, np.flatnonzero(np.diff(ordered)) + 1):
        if len(group):
            yield int((scores > scores[group[0]]).sum()), gains[group]


def _relevant(gains: Floats, relevant: int | None) -> int:
    seen = int((gains > 0).sum())
    if relevant is not None and relevant < seen:
        raise DataError(f"{seen} documents of the ranking are relevant, more than the {relevant} there are in all.")
    found = seen if relevant is None else relevant
    if not found:
        raise DataError("The query has no relevant document")
    return found


def recall_at_k(scores: ArrayLike, gains: ArrayLike, k: int, relevant: int | None = None) -> float:
    """Share of the relevant documents (gain above 0) among the first k; shapes (documents,).

    `relevant`: how many there are in all, where some were not retrieved. Raises DataError when there are none.
    """
    score, gain = _both(scores, gains)
    every, found = _relevant(gain, relevant), 0.0
    for before, group in _tied(score, gain):
        inside = min(max(k - before, 0), len(group))
        found += float((group > 0).sum()) * inside / len(group)
    return found / every


def reciprocal_rank(scores: ArrayLike, gains: ArrayLike, k: int | None = None) -> float:
    """One over the place of the first relevant document, 0 where none is among the first k. Its mean is MRR."""
    score, gain = _both(scores, gains)
    for before, group in _tied(score, gain):
        size, hits = len(group), int((group > 0).sum())
        if hits:
            # The chance that the first hit of a group in random order stands at place j (from 0).
            chances = [math.comb(size - j - 1, hits - 1) / math.comb(size, hits) for j in range(size - hits + 1)]
            return math.fsum(p / (before + j + 1) for j, p in enumerate(chances) if k is None or before + j < k)
    return 0.0


def ndcg(scores: ArrayLike, gains: ArrayLike, k: int | None = None, gain: Gain = "linear") -> float:
    """Discounted cumulative gain over the best possible one (Jarvelin and Kekalainen 2002), log2 discount.

    gain: "linear" as trec_eval and scikit-learn, "exponential" 2^gain - 1 as Burges et al. 2005. Documents that were
    not retrieved belong into the arrays, with a score below all others. Raises DataError without a relevant document.
    """
    score, worth = _both(scores, gains)
    _relevant(worth, None)
    if gain == "exponential":
        worth = np.exp2(worth) - 1
    discount = 1 / np.log2(np.arange(len(worth)) + 2)
    if k is not None:
        discount[k:] = 0
    found = sum(float(group.mean() * discount[b : b + len(group)].sum()) for b, group in _tied(score, worth))
    return found / float(np.sort(worth)[::-1] @ discount)


def ranking_scores(
    name: str, metric: Callable[[ArrayLike, ArrayLike], float], scores: Sequence[ArrayLike], gains: Sequence[ArrayLike]
) -> Scores:
    """The metric of every query. One without a relevant document, or with a bad ranking, is not counted and says so."""
    same_length(scores, gains)
    found = []
    for one, other in zip(scores, gains, strict=True):
        try:
            found.append(Score(value=metric(one, other)))
        except (DataError, ValueError) as error:
            found.append(Score(value=None, problem=f"{str(error).rstrip('.')}: not counted"))
    return collect(name, VERSION, found)
