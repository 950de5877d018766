"""The four rules of the choice, on contenders made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Choice, Evaluation, Footprint, Interval
from linnet.core.store import Store
from linnet.core.task import BudgetPart, QualityPart
from linnet.stages.choose import Contender, choose, decide, over_budget

MB = 10**6
NO_LIMIT = BudgetPart()


def evaluation(name: str, score: float, accuracy: float | None = None) -> Evaluation:
    def interval(value: float) -> Interval:
        return Interval(value=value, low=value - 0.02, high=value + 0.02)

    return Evaluation(
        candidate=name,
        split="validation",
        examples=100,
        macro_f1=interval(score),
        accuracy=interval(score if accuracy is None else accuracy),
        expected_calibration_error=0.01,
        per_class={},
        confusion=[],
        labels=["a", "b"],
    )


def contender(
    name: str,
    score: float,
    *,
    size: int = 100,
    p95: float = 5,
    memory: int = 200,
    accuracy: float = 0.5,
    broken: str = "",
) -> Contender:
    footprint = Footprint(
        size_bytes=size * MB,
        latency_ms_p50=p95 / 2,
        latency_ms_p95=p95,
        documents_per_second=100,
        peak_memory_bytes=memory * MB,
        energy_joules_per_1000=None,
        energy_note="no counter",
    )
    return Contender(name, evaluation(name, score, accuracy), footprint, broken)


BASELINE = ("tfidf_logistic", evaluation("tfidf_logistic", 0.7, 0.4))


def chosen(*contenders: Contender, budget: BudgetPart = NO_LIMIT, **quality: object) -> Choice:
    found = decide(list(contenders), BASELINE, budget, QualityPart.model_validate(quality))
    backwards = decide(list(reversed(contenders)), BASELINE, budget, QualityPart.model_validate(quality))
    assert found.candidate == backwards.candidate
    assert {found.candidate, *found.rejected} == {c.name for c in contenders}
    assert found.candidate not in found.rejected
    assert all(found.rejected.values())
    return found


def test_the_smallest_that_loses_little_enough_wins() -> None:
    found = chosen(
        contender("fp32", 0.930, size=90), contender("int8", 0.925, size=23), contender("tiny", 0.900, size=5)
    )
    assert found.candidate == "int8"
    assert "smallest of 2 that lose at most 0.01" in found.reason
    assert "0.0050 below fp32" in found.reason
    assert found.rejected["fp32"] == "good enough, but 3.9 times the size of int8"
    assert found.rejected["tiny"] == "loses 0.0300 macro_f1 against fp32; 0.01 is allowed"
    assert (found.recommends_baseline, found.warnings) == (False, [])


@pytest.mark.parametrize(
    ("small", "max_loss", "name"),
    [(0.92, 0.01, "int8"), (0.9199, 0.01, "fp32"), (0.93, 0.0, "int8"), (0.9299, 0.0, "fp32"), (0.5, 1.0, "int8")],
)
def test_max_loss_at_its_edge(small: float, max_loss: float, name: str) -> None:
    assert chosen(contender("fp32", 0.93), contender("int8", small, size=20), max_loss=max_loss).candidate == name


def test_the_best_is_said_to_be_the_best() -> None:
    found = chosen(contender("fp32", 0.93), contender("int8", 0.80, size=20))
    assert found.reason.startswith("Best of all that fit, with macro_f1 0.9300 on the validation examples (100.0 MB")


def test_at_equal_size_the_faster_and_then_the_name() -> None:
    found = chosen(contender("slow", 0.93, p95=9), contender("quick", 0.93, p95=3))
    assert found.candidate == "quick"
    assert found.rejected["slow"] == "as good within the allowed loss and as small, but slower than quick"
    assert chosen(contender("b", 0.93), contender("a", 0.93)).candidate == "a"


def test_the_metric_is_the_one_that_was_asked_for() -> None:
    both = contender("f1", 0.9, accuracy=0.6), contender("acc", 0.7, accuracy=0.9)
    assert chosen(*both).candidate == "f1"
    found = chosen(*both, metric="accuracy")
    assert found.candidate == "acc"
    assert "loses 0.3000 accuracy" in found.rejected["f1"]


LIMITS = [
    ("size", "99 MB", "its 100.0 MB exceed the size limit of 99.0 MB"),
    ("memory", "199 MB", "its peak memory of 200 MB exceeds the limit of 199 MB"),
    ("latency_p95_ms", 4.9, "its p95 latency of 5.00 ms exceeds the limit of 4.9 ms"),
]


@pytest.mark.parametrize(("key", "limit", "why"), LIMITS)
def test_what_breaks_the_budget_is_no_reference(key: str, limit: object, why: str) -> None:
    small = contender("small", 0.80, size=10, memory=50, p95=1)
    found = chosen(contender("big", 0.99), small, budget=BudgetPart.model_validate({key: limit}))
    assert found.candidate == "small"
    assert found.rejected == {"big": why}


@pytest.mark.parametrize(("key", "limit"), [("size", 100 * MB), ("memory", 200 * MB), ("latency_p95_ms", 5)])
def test_a_limit_itself_is_allowed(key: str, limit: int) -> None:
    budget = BudgetPart.model_validate({key: limit})
    assert over_budget(contender("a", 0.9).footprint, budget) == ""


@pytest.mark.parametrize(
    ("speed", "why"), [(9.94, "its 9.9 tokens per second are below the 10 that are asked for"), (10.0, ""), (None, "")]
)
def test_the_least_tokens_per_second(speed: float | None, why: str) -> None:
    """Nothing is held against what writes no text."""
    found = contender("a", 0.9).footprint.model_copy(update={"tokens_per_second": speed})
    assert over_budget(found, BudgetPart(tokens_per_second=10)) == why


def test_a_failed_gate_rejects_whatever_the_score() -> None:
    found = chosen(contender("int8", 0.99, size=20, broken="gate failed: parity, 0.3"), contender("fp32", 0.90))
    assert found.candidate == "fp32"
    assert found.rejected["int8"] == "gate failed: parity, 0.3"


def test_nothing_fits_and_each_one_says_why() -> None:
    budget = BudgetPart.model_validate({"size": "50 MB"})
    with pytest.raises(InputError, match="No candidate fits") as caught:
        chosen(contender("fp32", 0.9), contender("int8", 0.9, size=20, broken="gate failed: x"), budget=budget)
    assert "fp32: its 100.0 MB exceed the size limit of 50.0 MB" in caught.value.message
    assert "int8: gate failed: x" in caught.value.message
    assert "Relax [budget]" in caught.value.hint


def test_the_floor() -> None:
    assert chosen(contender("fp32", 0.93), contender("int8", 0.925, size=20), floor=0.925).candidate == "int8"
    found = chosen(contender("fp32", 0.93), contender("int8", 0.9249, size=20), floor=0.925)
    assert found.candidate == "fp32"
    assert found.rejected["int8"] == "its macro_f1 of 0.9249 is below the floor of 0.925"
    with pytest.raises(
        InputError, match=r"No candidate meets the floor of 0\.95; the nearest is fp32 with macro_f1 0\.9300"
    ):
        chosen(contender("fp32", 0.93), contender("int8", 0.92, size=20), floor=0.95)


@pytest.mark.parametrize(("score", "recommended"), [(0.69, True), (0.70, True), (0.71, False)])
def test_a_baseline_that_is_as_good_is_recommended(score: float, recommended: bool) -> None:
    found = chosen(contender("fp32", score))
    assert found.recommends_baseline == recommended
    assert [("tfidf_logistic is as good" in warning) for warning in found.warnings] == [True] * recommended


def test_a_linear_model_that_is_as_good_is_said_to_be_enough() -> None:
    found = chosen(contender("fp32", 0.69))
    assert found.warnings[0].startswith("A linear model is enough: the simple baseline tfidf_logistic is as good")
    assert "A linear model is enough" in found.reasons
    assert "It scores 0.2000 more than tfidf_logistic does." in chosen(contender("fp32", 0.9)).reasons


def test_the_paragraph_names_the_choice_and_the_front() -> None:
    found = chosen(contender("fp32", 0.93), contender("int8", 0.925, size=20), contender("bad", 0.5, size=20))
    assert found.front == ["fp32", "int8"]
    assert found.reasons.startswith("int8 was chosen. The smallest of 2")
    assert "none beats another: fp32, int8." in found.reasons


def test_without_anything_simple_nothing_is_recommended() -> None:
    found = decide([contender("fp32", 0.0)], None, NO_LIMIT, QualityPart())
    assert (found.recommends_baseline, found.warnings) == (False, [])


def test_the_choice_is_kept_and_made_anew_when_something_changes(tmp_path: Path) -> None:
    store, quality = Store(tmp_path), QualityPart()
    rows = [contender("fp32", 0.93), contender("int8", 0.925, size=20)]
    first, step = choose(store, rows, BASELINE, NO_LIMIT, quality)
    again, reused = choose(store, rows[::-1], BASELINE, NO_LIMIT, quality)
    assert (first, step.reused, reused.reused) == (again, False, True)
    other, step = choose(store, rows, BASELINE, NO_LIMIT, QualityPart(max_loss=0))
    assert (other.candidate, step.reused) == ("fp32", False)
