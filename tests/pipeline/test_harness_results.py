"""The harness's own number with an interval, for metrics that are sums over examples and for those that are not."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from linnet.core.errors import DataError
from linnet.pipeline.harness_results import measured


def mean(items: list[float]) -> float:
    return sum(items) / len(items)


def weighted_perplexity(items: list[tuple[float, int]]) -> float:
    return math.exp(-sum(value for value, _ in items) / sum(weight for _, weight in items))


def bits_per_byte(items: list[tuple[float, int]]) -> float:
    return -sum(value for value, _ in items) / sum(weight for _, weight in items) / math.log(2)


def median(items: list[float]) -> float:
    return sorted(items)[len(items) // 2]


def result(task: str, values: dict[str, tuple[Any, list[Any]]], lower: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """A result of the harness for one task, and the task."""
    rows = [
        {"filter": "none"} | {name: items[place] for name, (_, items) in values.items()}
        for place in range(len(next(iter(values.values()))[1]))
    ]
    found = {
        "results": {task: {f"{name},none": function(items) for name, (function, items) in values.items()}},
        "samples": {task: rows},
        "higher_is_better": {task: {name: name not in lower for name in values}},
    }
    return found, SimpleNamespace(aggregation=lambda: {name: function for name, (function, _) in values.items()})


def test_sums_are_judgements_and_the_rest_is_resampled() -> None:
    pairs = [(-3.0 - i, 2 + i % 3) for i in range(10)]
    found, task = result(
        "t",
        {
            "acc": (mean, [1.0, 0.0] * 5),
            "word_perplexity": (weighted_perplexity, pairs),
            "bits_per_byte": (bits_per_byte, pairs),
            "middle": (median, [float(i) for i in range(10)]),
        },
        lower=("word_perplexity", "bits_per_byte"),
    )
    made = {one.name: one for one in measured("t", found, {"t": task}, "v")}
    for name, one in made.items():
        assert one.interval.value == pytest.approx(found["results"]["t"][f"{name},none"])
        assert one.interval.low < one.interval.value < one.interval.high
    assert made["middle"].judgement is None
    assert made["acc"].judgement is not None
    assert made["acc"].judgement.is_share
    assert made["acc"].higher_is_better
    assert not made["bits_per_byte"].higher_is_better


@pytest.mark.parametrize("by_size", [True, False])
def test_a_group_is_a_mean_of_examples_or_of_tasks(by_size: bool) -> None:
    one, first = result("a", {"acc": (mean, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])})
    two, second = result("b", {"acc": (mean, [1.0, 1.0])})
    found = {key: {**one[key], **two[key]} for key in one}
    found["groups"] = {"g": {"acc,none": 3 / 8 if by_size else (1 / 6 + 1) / 2}}
    made = measured("g", found, {"a": first, "b": second}, "v")
    assert [one.name for one in made] == ["acc", "a:acc", "b:acc"]
    assert made[0].interval.value == pytest.approx(found["groups"]["g"]["acc,none"])
    found["groups"]["g"]["acc,none"] = 0.9  # weighed in a way that is not known here
    assert [one.name for one in measured("g", found, {"a": first, "b": second}, "v")] == ["a:acc", "b:acc"]


def test_nothing_measured_is_said() -> None:
    found, task = result("t", {"acc": (lambda items: math.nan, [math.nan])})
    with pytest.raises(DataError, match="measured nothing"):
        measured("t", found, {"t": task}, "v")
