"""Bad input to a metric is answered in words, example by example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from linnet.core.errors import DataError
from linnet.metrics.scores import Scores, score_each

NAME = ("same", "1")


def same(prediction: str, references: Sequence[str]) -> float:
    return float(prediction in references)


def moody(prediction: str, references: Sequence[str]) -> Any:
    return {"nan": math.nan, "text": "0.5", "none": None, "numpy": np.float32(0.25)}.get(prediction) or 1 / len(
        prediction
    )


def test_the_mean_is_over_what_could_be_counted() -> None:
    found = score_each(NAME, same, ["a", "b", "c"], [["a"], ["x", "b"], ["d"]])
    assert (found.value, found.counted, found.problems) == (pytest.approx(2 / 3), 3, {})
    assert Scores.model_validate(found.to_json()) == found


def test_missing_predictions_and_references() -> None:
    found = score_each(NAME, same, [None, "b", " ", "d"], [["a"], [], ["c"], "d"])
    assert [score.value for score in found.per_example] == [0, None, 0, None]
    assert (found.value, found.counted) == (0, 2)
    assert found.problems[0] == "there is no prediction: counted as 0"
    assert found.problems[1] == "there is no reference: not counted"
    assert found.problems[2] == "the prediction is empty"
    assert "need a list" in found.problems[3]


def test_an_empty_prediction_that_is_right_is_no_problem() -> None:
    assert score_each(NAME, same, [""], [[""]]).problems == {}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_metric_that_raises_costs_its_example_only() -> None:
    found = score_each(NAME, moody, ["nan", "text", "", "numpy", "ab"], [["x"]] * 5)
    assert [score.value for score in found.per_example] == [None, None, None, 0.25, 0.5]
    assert found.problems[0] == "the metric raised ValueError: gave nan, need a finite number: not counted"
    assert "gave str, need a number" in found.problems[1]
    assert "ZeroDivisionError" in found.problems[2]
    assert found.value == pytest.approx(0.375)


def test_strict_stops_at_the_first() -> None:
    with pytest.raises(DataError, match="Example 1: there is no reference"):
        score_each(NAME, same, ["a", "b"], [["a"], []], strict=True)


def test_nothing_counted_has_no_value() -> None:
    assert score_each(NAME, same, ["a"], [[]]).value is None


@pytest.mark.parametrize(("predictions", "references"), [([], []), (["a"], []), (["a"], [["a"], ["b"]])])
def test_lists_that_do_not_fit(predictions: list[str], references: list[list[str]]) -> None:
    with pytest.raises(DataError):
        score_each(NAME, same, predictions, references)
