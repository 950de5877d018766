"""What every engine offers, and how logits become an answer. Knows no library that runs models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Decision

Array = NDArray[np.float32]


class Classifier(Protocol):
    """A model that scores labels for texts."""

    max_tokens: int

    def logits(self, texts: Sequence[str]) -> Array:
        """Scores before softmax, shape (texts, labels). Longer texts are cut at `max_tokens`."""
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Length of each text in tokens, special tokens included, before any cutting."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A label, its calibrated probability, and the probability of every label."""

    label: str
    probability: float
    probabilities: dict[str, float]


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Probabilities, shape (n, labels), of logits divided by `temperature`."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    exponent = np.exp(scaled)
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float32)


def predict(logits: Array, decision: Decision) -> NDArray[np.int64]:
    """Index of the answer for each row of logits.

    With an out-of-scope label, a row whose best in-scope probability is below the threshold is out of scope,
    and every other row gets its best in-scope label.
    """
    if decision.out_of_scope is None:
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)
    outside = decision.labels.index(decision.out_of_scope)
    probabilities = softmax(logits, decision.temperature)
    probabilities[:, outside] = -1.0
    best = probabilities.argmax(axis=1)
    sure = probabilities[np.arange(len(best)), best] >= decision.threshold
    return np.asarray(np.where(sure, best, outside), dtype=np.int64)


def answers(logits: Array, decision: Decision) -> list[Answer]:
    """The answer for each row of logits, with all probabilities, the highest first."""
    probabilities = softmax(logits, decision.temperature)
    found = []
    for row, index in zip(probabilities, predict(logits, decision), strict=True):
        order = np.argsort(-row, kind="stable")
        shares = {decision.labels[i]: round(float(row[i]), 6) for i in order}
        found.append(Answer(decision.labels[index], round(float(row[index]), 6), shares))
    return found
