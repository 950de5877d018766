"""Successive halving on judgements made by hand: who goes on, who is left out and why, and how often each is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from linnet.core.records import Choice
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.judging import Judgement
from linnet.pipeline.search import Ask, Round, Searched, behind, halve, shares

Rows = dict[str, list[float]]


def judgement(rows: list[float], metric: str = "exact_match") -> Judgement:
    table = [[row] for row in rows]
    return Judgement(metric=metric, version="1", statistic="mean", rows=table, values=list(rows))


def asking(rows: Rows, metric: str = "exact_match") -> tuple[Ask, list[tuple[str, int]]]:
    """Answers that are there already, and a list of who was asked how many."""
    asked: list[tuple[str, int]] = []

    def ask(name: str, size: int) -> tuple[Judgement, float]:
        asked.append((name, size))
        return judgement(rows[name][:size], metric), 1.0

    return ask, asked


def right(count: int, share: float, seed: int) -> list[float]:
    """Answers of which so many are right, in an order of their own."""
    found = np.zeros(count)
    found[: round(share * count)] = 1.0
    return [float(x) for x in np.random.default_rng(seed).permutation(found)]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (20, [20]), (29, [29]), (30, [20, 30]), (70, [20, 40, 70]), (160, [20, 40, 80, 160]),
     (200, [25, 50, 100, 200]), (1000, [125, 250, 500, 1000])],
)  # fmt: skip
def test_the_shares_double_until_all_are_asked(count: int, sizes: list[int]) -> None:
    assert shares(count) == sizes


def run(rows: Rows, margin: float = 0.01) -> tuple[list[Round], list[tuple[str, int]]]:
    ask, asked = asking(rows)
    return halve(list(rows), shares(len(next(iter(rows.values())))), ask, margin, Drawing(seed=3)), asked


def test_those_far_behind_are_asked_a_share_and_the_others_all() -> None:
    rows = {
        "best": right(200, 0.9, 1), "near": right(200, 0.88, 2), "poor": right(200, 0.1, 3), "none": [0.0] * 200,
    }  # fmt: skip
    rounds, asked = run(rows)
    assert [one.questions for one in rounds] == [25, 50, 100, 200]
    assert set(rounds[0].dropped) == {"poor", "none"}
    assert rounds[0].dropped["none"].startswith("on 25 questions ")
    assert "points behind best (95 %: " in rounds[0].dropped["none"]
    assert [size for name, size in asked if name == "none"] == [25]
    assert [size for name, size in asked if name == "near"] == [25, 50, 100, 200]
    assert rounds[-1].scores == {"best": pytest.approx(0.9), "near": pytest.approx(0.88)}
    assert sum(one.seconds for one in rounds) == len(asked)


def test_what_may_be_lost_is_not_held_against_anybody() -> None:
    rows = {"best": right(200, 0.9, 1), "poor": right(200, 0.1, 3)}
    assert "poor" in run(rows)[0][0].dropped
    assert [one.dropped for one in run(rows, margin=1.0)[0]] == [{}, {}, {}, {}]


def test_a_small_difference_is_not_enough_to_leave_anybody_out_early() -> None:
    """1 of 25 answers fewer may be chance: a bootstrap of equal answers would call it sure."""
    first = [1.0] * 200
    other = [0.0, *[1.0] * 199]
    rounds, _ = run({"first": first, "other": other}, margin=0.0)
    assert [one.dropped for one in rounds] == [{}, {}, {}, {}]


def test_when_one_is_left_the_rounds_between_are_not_asked() -> None:
    rounds, asked = run({"best": [1.0] * 200, "none": [0.0] * 200})
    assert [one.questions for one in rounds] == [25, 200]
    assert asked == [("best", 25), ("none", 25), ("best", 200)]


def test_only_the_worse_half_goes_in_a_round() -> None:
    rows = {"best": [1.0] * 200} | {f"poor{i}": [0.0] * 200 for i in range(4)}
    rounds, _ = run(rows)
    # Equal ones keep their order: the last two of five go first.
    assert [list(one.dropped) for one in rounds] == [["poor2", "poor3"], ["poor1"], ["poor0"], []]


def test_the_same_again_and_in_any_order() -> None:
    rows = {name: right(160, share, seed) for seed, (name, share) in enumerate([("a", 0.9), ("b", 0.5), ("c", 0.2)])}
    first = run(rows)[0]
    assert first == run(rows)[0]
    backwards = run(dict(reversed(rows.items())))[0]
    assert [set(one.dropped) for one in first] == [set(one.dropped) for one in backwards]


def test_questions_of_a_group_count_together() -> None:
    """25 questions of two people prove little, however many each of them asked."""
    rows = {"best": [1.0] * 12 + [0.0] * 13, "poor": [0.0] * 12 + [0.5] * 13}
    apart = behind(judgement(rows["poor"]), judgement(rows["best"]), Drawing(seed=1))
    grouped = Drawing(seed=1, groups=["anna"] * 12 + ["ben"] * 13)
    together = behind(judgement(rows["poor"]), judgement(rows["best"]), grouped)
    assert apart is not None
    assert together is not None
    assert together.high > apart.high
    assert together.value == pytest.approx(apart.value)


def scaled(metric: str) -> Callable[[float], list[float]]:
    return lambda value: [value * (100 if metric == "chrf" else 1)] * 30


@pytest.mark.parametrize("metric", ["chrf", "rougeL"])
def test_a_margin_means_the_same_for_every_metric(metric: str) -> None:
    rows = scaled(metric)
    found = behind(judgement(rows(0.5), metric), judgement(rows(0.8), metric), Drawing())
    assert found is not None
    assert [found.value, found.low, found.high] == pytest.approx([-0.3] * 3)


def test_what_is_told_of_a_search() -> None:
    rounds = [
        Round(questions=25, scores={"a": 0.9, "b": 0.1}, dropped={"b": "far behind"}, seconds=2.0),
        Round(questions=100, scores={"a": 0.9}, dropped={}, seconds=4.5),
    ]
    found = Searched(
        strategy="halving", questions=100, candidates=["a", "b", "c", "d"], excluded={"c": "too large"},
        failed={"d": "gate failed"}, rounds=rounds,
    )  # fmt: skip
    choice = Choice(candidate="a", reason="Best.", rejected={}, front=["a"], reasons="a was chosen. Best.")
    told = found.told(choice)
    assert [one["share"] for one in told["rounds"]] == [0.25, 1.0]
    assert (told["seconds"], told["dropped"], told["front"]) == (6.5, {"b": "far behind"}, ["a"])
    assert told["choice"] == "a"
    assert found.in_words() == (
        "4 candidates. 1 was left out before anything ran, by its forecast. 1 failed a gate or a limit. "
        "1 was surely too far behind after 25 of 100 questions. 1 answered all 100 validation questions."
    )
