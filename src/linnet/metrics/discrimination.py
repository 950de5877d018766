"""How well scores tell two classes apart, whatever the threshold: areas under the ROC and precision-recall curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linnet.core.errors import DataError
from linnet.core.records import Record
from linnet.metrics.bootstrap import Statistic

Floats = NDArray[np.float64]


class OneAgainstRest(Record):
    """An area for each class against all others, and the mean over the classes that have one.

    `absent` says in words why a class has none.
    """

    macro: float
    per_class: dict[str, float]
    absent: dict[str, str]


def _both(true: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    truth, score = np.asarray(true), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise DataError(f"One score for each example is needed: there are {score.shape} for {truth.shape}.")
    if not np.isfinite(score).all():
        raise DataError("Every score must be a finite number.")
    if not np.isin(truth, (0, 1)).all():
        raise DataError("The truth of two classes is 0 or 1.")
    return truth.astype(np.float64), score


def _refuse_one_class(truth: Floats, what: str) -> None:
    if not len(truth) or truth.min() == truth.max():
        which = "there are none" if not len(truth) else f"all {len(truth)} are {'positive' if truth[0] else 'negative'}"
        raise DataError(f"{what} needs examples of both classes; {which}.", "Add examples of the class that is absent.")


def auroc(true: ArrayLike, scores: ArrayLike) -> float:
    """The chance that a positive example scores above a negative one, ties one half (Hanley and McNeil 1982).

    true: 0 or 1, scores: higher is more positive; shapes (examples,). Raises DataError when a class is absent.
    """
    truth, score = _both(true, scores)
    _refuse_one_class(truth, "AUROC")
    return float(auroc_statistic(truth, score)(np.ones((1, len(truth))))[0])


def auprc(true: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: the sum over thresholds of (recall step) x precision, without interpolation.

    What guessing gets is the share of positives. Raises DataError when a class is absent.
    """
    truth, score = _both(true, scores)
    _refuse_one_class(truth, "AUPRC")
    return float(auprc_statistic(truth, score)(np.ones((1, len(truth))))[0])


def _steps(truth: Floats, score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each distinct score, from the highest down; shapes (rows, scores)."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    drawn = weights[:, order]
    positive = np.add.reduceat(drawn * truth[order], starts, axis=1)
    return positive, np.add.reduceat(drawn * (1 - truth[order]), starts, axis=1)


def auroc_statistic(true: ArrayLike, scores: ArrayLike) -> Statistic:
    """AUROC as a function of example weights, for `bootstrap`; NaN where a resample lacks a class."""
    truth, score = _both(true, scores)

    def statistic(weights: Floats) -> Floats:
        positive, negative = _steps(truth, score, weights)
        above = np.cumsum(positive, axis=1) - positive / 2  # positives above this score, and half of those at it
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (above * negative).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
        return np.asarray(share, dtype=np.float64)

    return statistic


def auprc_statistic(true: ArrayLike, scores: ArrayLike) -> Statistic:
    """Average precision as a function of example weights, for `bootstrap`; NaN where a resample has no positive."""
    truth, score = _both(true, scores)

    def statistic(weights: Floats) -> Floats:
        positive, negative = _steps(truth, score, weights)
        hits, chosen = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
        precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((positive * precision).sum(axis=1) / positive.sum(axis=1), dtype=np.float64)

    return statistic


def auroc_by_class(probabilities: Floats, true: NDArray[np.int64], labels: list[str]) -> OneAgainstRest:
    """AUROC of each class against the rest; probabilities (examples, labels). Raises DataError when none has one."""
    found, absent = {}, {}
    for column, label in enumerate(labels):
        try:
            found[label] = auroc((true == column).astype(np.int64), probabilities[:, column])
        except DataError as error:
            absent[label] = error.message
    if not found:
        raise DataError("No class can be told from the rest: all examples have one label.")
    return OneAgainstRest(macro=sum(found.values()) / len(found), per_class=found, absent=absent)
