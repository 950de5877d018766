"""Cohen's kappa beside scikit-learn's, its interval, and what is said of a judge that agrees with nobody."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from linnet.core.errors import DataError
from linnet.metrics.agreement import agreement, cohen_kappa
from linnet.metrics.bootstrap import Drawing

SIDES = ("first", "second", "tie")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("labels", [SIDES, tuple(range(1, 6))])
def test_kappa_is_that_of_scikit_learn(seed: int, labels: tuple[object, ...]) -> None:
    drawn = np.random.default_rng(seed)
    first = [labels[i] for i in drawn.integers(len(labels), size=60)]
    second = [one if drawn.random() < 0.6 else labels[drawn.integers(len(labels))] for one in first]
    assert cohen_kappa(first, second, labels) == pytest.approx(cohen_kappa_score(first, second, labels=list(labels)))
    weighted = cohen_kappa_score(first, second, labels=list(labels), weights="quadratic")
    assert cohen_kappa(first, second, labels, "quadratic") == pytest.approx(weighted)


def test_an_absent_label_changes_nothing() -> None:
    first, second = ["first", "second"] * 5, ["first", "second", "second", "first", "first"] * 2
    assert cohen_kappa(first, second, SIDES) == pytest.approx(cohen_kappa_score(first, second))


def test_a_judge_that_guesses_should_not_decide() -> None:
    drawn = np.random.default_rng(0)
    people, judge = ([SIDES[i] for i in drawn.integers(3, size=200)] for _ in range(2))
    found = agreement(judge, people, SIDES)
    assert found.kappa is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.kappa < found.high < 0.4
    assert not found.decides
    assert found.sentence.endswith("Below 0.4: this judge should not decide.")
    assert found.raw.low < found.raw.value < found.raw.high


def test_a_judge_that_agrees_may_decide() -> None:
    people = list(SIDES) * 20
    judge: list[str | None] = [*people[:-6], *people[-5:], people[-6]]
    judge[0] = None
    found = agreement(judge, people, SIDES)
    assert (found.verdicts, found.unread, found.decides) == (59, 1, True)
    assert "should not decide" not in found.sentence
    assert "In 1 more cases the judge gave no verdict" in found.sentence
    assert found.raw.value == pytest.approx(sum(a == b for a, b in zip(judge[1:], people[1:], strict=True)) / 59)


def test_always_the_same_has_no_kappa() -> None:
    found = agreement(["tie"] * 20, ["tie"] * 20, SIDES)
    assert (found.kappa, found.low, found.decides) == (None, None, False)
    assert "has no value" in found.sentence
    assert "should not decide" in found.sentence


def test_several_people_on_one_example_are_drawn_together() -> None:
    drawn = np.random.default_rng(1)
    truth = [SIDES[i] for i in drawn.integers(3, size=20)]
    judge = [one if drawn.random() < 0.7 else "tie" for one in truth]
    people, said, rows = (
        [one for one in truth for _ in range(5)],
        [one for one in judge for _ in range(5)],
        [row for row in range(20) for _ in range(5)],
    )
    alone = agreement(said, people, SIDES)
    together = agreement(said, people, SIDES, "", Drawing(groups=rows))
    assert together.kappa == alone.kappa
    assert None not in (alone.low, alone.high, together.low, together.high)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)  # type: ignore[operator]
    assert together.raw.high - together.raw.low > 1.5 * (alone.raw.high - alone.raw.low)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="none of the labels"):
        agreement(["first"], ["both"], SIDES)
    with pytest.raises(DataError, match="No verdict of the judge"):
        agreement([None], ["tie"], SIDES)
    with pytest.raises(DataError, match="2 predictions and 1 references"):
        agreement(["tie", "tie"], ["tie"], SIDES)
