"""What every engine offers, and how logits become an answer. Knows no library that runs models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linnet.core.records import Decision
from linnet.engines.requests.generation import Cancel, GenerateRequest, Generation, Message, Piece

Array = NDArray[np.float32]
GGUF = "model.gguf"  # a decoder in the folder of a step, or of a bundle's engine


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


class Decoder(Protocol):
    """A model that writes text. Safe to use from many threads; `has_template` says whether it takes messages."""

    has_template: bool

    @property
    def context(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        ...

    def generate(self, request: GenerateRequest, cancel: Cancel | None = None) -> Iterator[Piece | Generation]:
        """Pieces of text, then one Generation. The request is checked before this returns.

        Raises InputError, ContextExceeded, ResourceMissing or EngineError.
        """
        ...

    def prompt_ids(self, request: GenerateRequest) -> list[int]:
        """The request's prompt as token ids. Raises InputError."""
        ...

    def tokenize(self, text: str, *, add_special: bool = False, control_tokens: bool = False) -> list[int]:
        """Token ids; without `control_tokens` no id stands for a control token that the text spells out."""
        ...

    def detokenize(self, ids: Sequence[int]) -> str: ...

    def apply_template(self, messages: Sequence[Message], *, thinking: bool | None = None) -> str:
        """The chat as one text, ready for the answer. Raises InputError where there is no template."""
        ...

    def embed(self, texts: Sequence[str | Sequence[int]]) -> Array:
        """Unit vectors of texts or of token ids, shape (texts, width)."""
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
