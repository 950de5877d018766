"""From logits to answers, on numbers small enough to check by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linnet.core.records import Decision
from linnet.engines.base import answers, predict, softmax

LN3 = math.log(3)


def logits(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_softmax_on_hand_numbers() -> None:
    np.testing.assert_allclose(softmax(logits((0, 0), (LN3, 0))), [[0.5, 0.5], [0.75, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(softmax(logits((2 * LN3, 0)), temperature=2), [[0.75, 0.25]], rtol=1e-6)


def test_softmax_of_huge_logits_is_finite() -> None:
    np.testing.assert_allclose(softmax(logits((1e30, 0), (-1e30, 0))), [[1, 0], [0, 1]])
    assert softmax(logits((1, 2, 3))).dtype == np.float32


def test_a_higher_temperature_is_less_sure_and_answers_the_same() -> None:
    row = logits((3, 1, 0))
    cool, hot = softmax(row, 0.5), softmax(row, 4)
    assert cool.max() > softmax(row).max() > hot.max()
    assert cool.argmax() == hot.argmax() == 0


def test_without_an_out_of_scope_label_the_highest_wins() -> None:
    decision = Decision(labels=["a", "b"], threshold=0.9)
    assert predict(logits((0, 0.1), (1, 0)), decision).tolist() == [1, 0]


def test_below_the_threshold_is_out_of_scope() -> None:
    # Shares 0.6/0.2/0.2, 0.4/0.4/0.2, 0.3/0.1/0.6.
    rows = np.log(np.array([[0.6, 0.2, 0.2], [0.4, 0.41, 0.19], [0.3, 0.1, 0.6]], dtype=np.float32))
    decision = Decision(labels=["a", "b", "none"], out_of_scope="none", threshold=0.5)
    assert predict(rows, decision).tolist() == [0, 2, 2]
    assert predict(rows, decision.model_copy(update={"threshold": 0.3 - 1e-6})).tolist() == [0, 1, 0]
    assert predict(rows, decision.model_copy(update={"threshold": 0.0})).tolist() == [0, 1, 0]


def test_the_temperature_counts_before_the_threshold() -> None:
    rows = logits((LN3, 0, -20))
    decision = Decision(labels=["a", "b", "none"], out_of_scope="none", threshold=0.7)
    assert predict(rows, decision).tolist() == [0]
    assert predict(rows, decision.model_copy(update={"temperature": 2.0})).tolist() == [2]


def test_answers_on_hand_numbers() -> None:
    decision = Decision(labels=["a", "b", "c"])
    rows = np.log(np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]], dtype=np.float32))
    first, even = answers(rows, decision)
    assert (first.label, first.probability) == ("b", 0.5)
    assert list(first.probabilities.items()) == [("b", 0.5), ("c", 0.3), ("a", 0.2)]
    assert (even.label, list(even.probabilities)) == ("a", ["a", "b", "c"])
    assert even.probability == pytest.approx(1 / 3, abs=1e-6)


def test_an_out_of_scope_answer_carries_its_own_probability() -> None:
    decision = Decision(labels=["a", "b", "none"], out_of_scope="none", threshold=0.5)
    (found,) = answers(np.log(np.array([[0.45, 0.35, 0.2]], dtype=np.float32)), decision)
    assert (found.label, found.probability) == ("none", 0.2)
    assert next(iter(found.probabilities)) == "a"
