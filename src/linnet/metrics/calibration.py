"""Whether probabilities mean what they say: temperature, expected calibration error, out-of-scope threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.metrics.classification import point

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def log_loss(logits: NDArray[np.float64], true: Indices, temperature: float) -> float:
    """Mean negative log likelihood of the true labels, in nats, of logits (examples, labels) over `temperature`."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(scaled).sum(axis=1))
    return float((normaliser - scaled[np.arange(len(true)), true]).mean())


def fit_temperature(logits: Floats, true: Indices) -> float:
    """The temperature that minimises the log loss (Guo et al. 2017), by golden-section search in 0.05 .. 20."""
    wide = logits.astype(np.float64)
    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(wide, true, float(np.exp(left))) < log_loss(wide, true, float(np.exp(right))):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def reliability(probabilities: Floats, true: Indices, bins: int = 10) -> list[dict[str, float]]:
    """Bins of equal width over the highest probability: how many, how sure, how often right."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == true
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        rows.append(
            {
                "low": index / bins,
                "high": (index + 1) / bins,
                "count": count,
                "confidence": float(confidence[inside].mean()) if count else 0.0,
                "accuracy": float(right[inside].mean()) if count else 0.0,
            }
        )
    return rows


def expected_calibration_error(probabilities: Floats, true: Indices, bins: int = 10) -> float:
    """Mean gap between confidence and accuracy, weighted by bin size (Naeini et al. 2015)."""
    rows = reliability(probabilities, true, bins)
    return sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / max(1, len(true))


def fit_threshold(probabilities: Floats, true: Indices, outside: int) -> float:
    """The least in-scope probability that counts as an answer, for the best macro-F1.

    `outside` is the index of the out-of-scope label. Of the thresholds that do about as well as the best one,
    the middle one is taken: the edge of a plateau is luck.
    """
    inside = probabilities.copy()
    inside[:, outside] = -1.0
    best, label = inside.max(axis=1), inside.argmax(axis=1)
    tried = np.linspace(0.0, 0.99, 100)
    k = probabilities.shape[1]
    scores = np.array([point(true, np.where(best >= t, label, outside), k, "macro_f1") for t in tried])
    near = np.flatnonzero(scores >= scores.max() - 0.002)
    runs = np.split(near, np.flatnonzero(np.diff(near) > 1) + 1)
    widest = max(runs, key=len)
    return round(float(tried[widest[len(widest) // 2]]), 4)
