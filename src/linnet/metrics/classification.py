"""Accuracy, F1 and confusion from true and predicted labels, with bootstrap intervals.

Labels are indices 0..k-1. The macro average is over the classes that occur as truth or as answer, as in
scikit-learn; tests hold the two equal.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Interval

Metric = Literal["macro_f1", "accuracy"]
Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
RESAMPLES = 2000


def confusion_matrix(true: Indices, predicted: Indices, k: int) -> NDArray[np.int64]:
    """Counts, shape (k, k): row is the truth, column the answer."""
    return np.bincount(true * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64)


def _f1_from_counts(hits: Floats, answered: Floats, present: Floats) -> Floats:
    """Macro-F1 over the last axis; a class neither present nor answered does not count."""
    both = answered + present
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(both > 0, 2 * hits / both, np.nan)
    counted = (~np.isnan(f1)).sum(-1)
    return np.asarray(np.nansum(f1, -1) / np.maximum(counted, 1), dtype=np.float64)


def _weights(n: int, seed: int) -> Floats:
    """How often each of n examples is drawn in each resample, shape (resamples, n)."""
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)


def _one_hot(indices: Indices, k: int) -> Floats:
    return np.eye(k, dtype=np.float64)[indices]


def _resampled(true: Indices, predicted: Indices, k: int, metric: Metric, weights: Floats) -> Floats:
    """The metric in each resample, shape (resamples,)."""
    hit = (true == predicted).astype(np.float64)
    if metric == "accuracy":
        return np.asarray(weights @ hit / len(true), dtype=np.float64)
    truth, answer = _one_hot(true, k), _one_hot(predicted, k)
    return _f1_from_counts(weights @ (truth * hit[:, None]), weights @ answer, weights @ truth)


def point(true: Indices, predicted: Indices, k: int, metric: Metric) -> float:
    """The metric itself, 0 to 1."""
    return float(_resampled(true, predicted, k, metric, np.ones((1, len(true))))[0])


def estimate(true: Indices, predicted: Indices, k: int, metric: Metric, seed: int = 0) -> Interval:
    """The metric with its 95 % percentile bootstrap interval (Efron 1979), 2000 resamples of the examples."""
    drawn = _resampled(true, predicted, k, metric, _weights(len(true), seed))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value=point(true, predicted, k, metric), low=float(low), high=float(high))


def paired_difference(
    true: Indices, first: Indices, second: Indices, k: int, metric: Metric, seed: int = 0
) -> tuple[Interval, float]:
    """metric(first) - metric(second) on the same resamples, with its interval and a two-sided p-value.

    The p-value is twice the smaller share of resamples on either side of zero, at least 1/resamples
    (Koehn 2004, "Statistical significance tests for machine translation evaluation").
    """
    weights = _weights(len(true), seed)
    drawn = _resampled(true, first, k, metric, weights) - _resampled(true, second, k, metric, weights)
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = point(true, first, k, metric) - point(true, second, k, metric)
    side = min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))
    return Interval(value=value, low=float(low), high=float(high)), min(1.0, max(2 * side, 1 / RESAMPLES))


def per_class(matrix: NDArray[np.int64], labels: list[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each class; 0 where a ratio has no denominator."""
    found = {}
    for index, label in enumerate(labels):
        hits, answered, present = matrix[index, index], matrix[:, index].sum(), matrix[index].sum()
        found[label] = {
            "precision": float(hits / answered) if answered else 0.0,
            "recall": float(hits / present) if present else 0.0,
            "f1": float(2 * hits / (answered + present)) if answered + present else 0.0,
            "support": int(present),
        }
    return found


def kl_divergence(reference: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean over rows of sum p log(p/q), in nats; p is the reference. Shapes (n, k), rows sum to one."""
    p = np.maximum(reference.astype(np.float64), 1e-12)
    q = np.maximum(other.astype(np.float64), 1e-12)
    return float((p * (np.log(p) - np.log(q))).sum(axis=1).mean())
