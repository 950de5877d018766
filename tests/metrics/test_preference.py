"""Win rates of judges with known faults: wins need both orders, the place that is preferred is found."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from linnet.core.errors import DataError
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.grading import PairVerdict, pair_verdict
from linnet.metrics.preference import preference
from linnet.metrics.significance import share_interval

WRITTEN = {"first": ("A", "B"), "second": ("B", "A"), "tie": ("tie", "tie"), "always A": ("A", "A"), "none": ("?", "A")}
NAMES = ("old", "new")


def verdicts(**counts: int) -> list[PairVerdict]:
    kinds = [kind.replace("_", " ") for kind, count in counts.items() for _ in range(count)]
    return [pair_verdict(row, WRITTEN[kind]) for row, kind in enumerate(kinds)]


def test_without_ties_it_is_wilson_and_the_sign_test() -> None:
    found = preference(NAMES, verdicts(first=30, second=50))
    wilson = share_interval(50, 80)
    assert found.win_rate.value == pytest.approx(50 / 80)
    assert (found.win_rate.low, found.win_rate.high) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    assert found.p_value == pytest.approx(binomtest(30, 80).pvalue)
    assert found.better == "new"
    assert found.sentence.startswith("new is preferred to old: it wins 62.5 % (95 %: ")
    assert found.judged.startswith("The order of the answers changed 0.0 % of 80 verdicts")


def test_the_other_way_round_says_the_same() -> None:
    found = preference(NAMES, verdicts(first=50, second=30, tie=10))
    back = preference(NAMES[::-1], verdicts(first=30, second=50, tie=10))
    assert (found.better, back.better) == ("old", "old")
    assert found.sentence == back.sentence
    assert found.win_rate.value == pytest.approx(1 - back.win_rate.value)


def test_ties_count_half_and_make_no_preference() -> None:
    found = preference(NAMES, verdicts(first=2, second=4, tie=14))
    assert found.win_rate.value == pytest.approx(0.55)
    assert found.p_value == pytest.approx(binomtest(2, 6).pvalue)
    assert found.better == ""
    assert found.sentence.startswith("No preference is shown between old and new: new wins 55.0 %")
    only = preference(NAMES, verdicts(tie=20))
    assert only.win_rate.low < 0.5 < only.win_rate.high
    assert only.p_value == 1


def test_a_judge_of_places_decides_nothing() -> None:
    found = preference(NAMES, verdicts(always_A=40, tie=5))
    assert (found.wins_first, found.wins_second, found.ties) == (0, 0, 45)
    assert (found.pairs, found.inconsistent, found.always_a, found.always_b) == (45, 40, 40, 0)
    assert found.position_p < 0.001
    assert found.better == ""
    assert "The judge prefers the first place." in found.judged


def test_what_cannot_be_read_is_left_out_and_counted() -> None:
    found = preference(NAMES, verdicts(first=5, second=5, none=10))
    assert (found.examples, found.left_out, found.asked, found.unread) == (10, 10, 40, 10)
    assert found.problems == {"the judge's verdict could not be read: not counted": 10}
    assert "25.0 % of 40 verdicts could not be read; 10 examples are left out." in found.judged
    with pytest.raises(DataError, match=r"None of the judge's 8 verdicts could be used\. .*could not be read"):
        preference(NAMES, verdicts(none=4))


def test_what_was_not_asked_is_no_verdict_of_the_judge() -> None:
    known = [PairVerdict(row=0, verdict="tie", why="same"), PairVerdict(row=1, verdict="second", why="no answer")]
    found = preference(NAMES, [*known, *verdicts(first=1)])
    assert (found.examples, found.pairs, found.asked, found.same, found.unanswered) == (3, 1, 2, 1, 1)
    assert (found.wins_first, found.wins_second, found.ties) == (1, 1, 1)


def test_groups_are_drawn_whole() -> None:
    made = verdicts(first=30, second=50)
    groups = [f"g{row // 10}" for row in range(80)]
    found = preference(NAMES, made, Drawing(groups=groups))
    plain = preference(NAMES, made)
    assert found.test == "paired bootstrap of groups"
    assert found.win_rate.value == plain.win_rate.value
    assert found.win_rate.high - found.win_rate.low > plain.win_rate.high - plain.win_rate.low
