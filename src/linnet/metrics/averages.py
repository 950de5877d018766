"""Averages over classes, and Matthews' correlation, from a confusion matrix (k, k): row is the truth."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Record

Average = Literal["micro", "macro", "weighted"]


class Averages(Record):
    """Precision, recall and F1 averaged over the classes that occur as truth or as answer."""

    average: Average
    precision: float
    recall: float
    f1: float


def averages(matrix: NDArray[np.int64], average: Average) -> Averages:
    """micro: of all counts together, which is accuracy; macro: the plain mean; weighted: by how often a class is true.

    A ratio without denominator is 0, as in scikit-learn with zero_division=0.
    """
    hits = matrix.diagonal().astype(np.float64)
    answered, present = matrix.sum(axis=0).astype(np.float64), matrix.sum(axis=1).astype(np.float64)
    if average == "micro":
        share = float(hits.sum() / max(1.0, present.sum()))
        return Averages(average=average, precision=share, recall=share, f1=share)
    weight = present if average == "weighted" else ((answered + present) > 0).astype(np.float64)
    weight = weight / max(1.0, weight.sum())
    return Averages(
        average=average,
        precision=float(weight @ _over(hits, answered)),
        recall=float(weight @ _over(hits, present)),
        f1=float(weight @ _over(2 * hits, answered + present)),
    )


def _over(above: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, under, out=np.zeros_like(above), where=under > 0)


def matthews(matrix: NDArray[np.int64]) -> float:
    """Matthews' correlation for k classes (Gorodkin 2004), -1 to 1; 0 where all truths or all answers are one class."""
    # Whole numbers of any size: the products pass 2^63 at three million examples.
    counts = [[int(value) for value in row] for row in matrix]
    total, right = sum(map(sum, counts)), sum(counts[i][i] for i in range(len(counts)))
    present, answered = [sum(row) for row in counts], [sum(column) for column in zip(*counts, strict=True)]
    above = right * total - sum(p * a for p, a in zip(present, answered, strict=True))
    spread = (total**2 - sum(a * a for a in answered)) * (total**2 - sum(p * p for p in present))
    return above / math.sqrt(spread) if spread else 0.0
