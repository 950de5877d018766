"""Which of two a judge prefers, by its verdicts in both orders: win rate, sign test, and the judge's own faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from linnet.core.errors import DataError
from linnet.core.records import Interval, Record
from linnet.metrics.bootstrap import PLAIN, Drawing, mean_of, paired_bootstrap
from linnet.metrics.grading import PairVerdict
from linnet.metrics.significance import mcnemar, paired_share_interval, share_interval

ALPHA = 0.05


class Preference(Record):
    """Two candidates by a judge. win_rate: of the second, a tie counts half, with its 95 % interval.

    p_value: of no preference, adjusted by Holm where more were compared. `pairs` were asked in both orders and read;
    in `inconsistent` of them the order changed the verdict: `always_a` names the first place in both orders, `always_b`
    the second, and `position_p` is the sign test between these two. `unread` of `asked` verdicts could not be read;
    their examples, `left_out`, do not count. `better` is empty unless the preference is real.
    """

    first: str
    second: str
    examples: int
    wins_first: int
    wins_second: int
    ties: int
    win_rate: Interval
    p_value: float
    test: str
    better: str = ""
    pairs: int
    inconsistent: int
    inconsistent_share: Interval | None
    always_a: int
    always_b: int
    position_p: float
    asked: int
    unread: int
    left_out: int
    same: int
    unanswered: int
    problems: dict[str, int]
    sentence: str = ""
    judged: str = ""


def preference(names: tuple[str, str], verdicts: Sequence[PairVerdict], drawing: Drawing = PLAIN) -> Preference:
    """Win rate and test over the verdicts that count, and how steady the judge was.

    Without groups the interval is Tango's (1998) of the paired difference, moved to 0..1 (without ties it is Wilson's),
    and the test is the exact sign test over the examples that are no tie. With groups both are a paired bootstrap of
    whole groups. Raises DataError when none of the judge counts.
    """
    counted = [place for place, one in enumerate(verdicts) if one.verdict is not None]
    by_judge = [one for one in verdicts if one.why == "judge"]
    problems = Counter(text for one in verdicts for text in one.problems)
    if not verdicts or (by_judge and all(one.verdict is None for one in by_judge)):
        said = f" The most common reason: {problems.most_common(1)[0][0]}." if problems else ""
        raise DataError(f"None of the judge's {2 * len(by_judge)} verdicts could be used.{said}", "Take another judge.")
    kinds = Counter(verdicts[place].verdict for place in counted)
    rate, p_value, test = _rate(verdicts, counted, drawing)
    both = [one for one in by_judge if one.plain and one.swapped]
    changed = sum(one.plain != one.swapped for one in both)
    always_a = sum((one.plain, one.swapped) == ("first", "second") for one in both)
    always_b = sum((one.plain, one.swapped) == ("second", "first") for one in both)
    found = Preference(
        first=names[0],
        second=names[1],
        examples=len(counted),
        wins_first=kinds["first"],
        wins_second=kinds["second"],
        ties=kinds["tie"],
        win_rate=rate,
        p_value=p_value,
        test=test,
        pairs=len(both),
        inconsistent=changed,
        inconsistent_share=share_interval(changed, len(both)) if both else None,
        always_a=always_a,
        always_b=always_b,
        position_p=mcnemar(always_a, always_b).p_exact,
        asked=2 * len(by_judge),
        unread=sum((one.plain is None) + (one.swapped is None) for one in by_judge),
        left_out=len(verdicts) - len(counted),
        same=sum(one.why == "same" for one in verdicts),
        unanswered=sum(one.why == "no answer" for one in verdicts),
        problems=dict(problems.most_common(20)),
    )
    return told(found, p_value)


def _rate(verdicts: Sequence[PairVerdict], counted: Sequence[int], drawing: Drawing) -> tuple[Interval, float, str]:
    first, second = ([float(verdicts[p].verdict == side) for p in counted] for side in ("first", "second"))
    lost, won = int(sum(first)), int(sum(second))
    if drawing.groups is None:
        change = paired_share_interval(won, lost, len(counted))
        return _half(change), mcnemar(lost, won).p_exact, "sign test"
    groups = [drawing.groups[place] for place in counted]
    drawn = Drawing(drawing.seed, drawing.resamples, drawing.level, drawing.method, groups)
    found = paired_bootstrap(mean_of(second), mean_of(first), len(counted), drawn)
    return _half(found), found.p_value, "paired bootstrap of groups"


def _half(change: Interval) -> Interval:
    """Wins minus losses as a share, -1 to 1, as a win rate in which a tie counts half."""
    return Interval(value=(1 + change.value) / 2, low=(1 + change.low) / 2, high=(1 + change.high) / 2)


def told(found: Preference, p_value: float, comparisons: int = 1) -> Preference:
    """The same with this p-value, who is better, and both sentences."""
    real = p_value < ALPHA and found.wins_first != found.wins_second
    better = "" if not real else found.second if found.wins_second > found.wins_first else found.first
    test = found.test + (f", Holm over {comparisons}" if comparisons > 1 else "")
    made = found.model_copy(update={"p_value": p_value, "better": better, "test": test})
    return made.model_copy(update={"sentence": _sentence(made), "judged": _judged(made)})


def _sentence(found: Preference) -> str:
    rate = found.win_rate
    p_value = "below 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
    shown = (
        (rate.value, rate.low, rate.high)
        if found.better != found.first
        else (1 - rate.value, 1 - rate.high, 1 - rate.low)
    )
    value, low, high = (100 * one for one in shown)
    limits = f"{value:.1f} % (95 %: {low:.1f} to {high:.1f}; p = {p_value}, {found.test}, {found.examples} examples)"
    if not found.better:
        return f"No preference is shown between {found.first} and {found.second}: {found.second} wins {limits}."
    other = found.first if found.better == found.second else found.second
    return f"{found.better} is preferred to {other}: it wins {limits}, a tie counting half."


def _judged(found: Preference) -> str:
    """What the judge itself did wrong."""
    parts = []
    if found.pairs and found.inconsistent_share:
        share = 100 * found.inconsistent_share.value
        parts.append(
            f"The order of the answers changed {share:.1f} % of {found.pairs} verdicts, which count as ties "
            f"({found.always_a} times the first place in both orders, {found.always_b} times the second)."
        )
    if found.position_p < ALPHA:
        place = "first" if found.always_a > found.always_b else "second"
        parts.append(f"The judge prefers the {place} place.")
    if found.unread:
        share = 100 * found.unread / found.asked
        parts.append(
            f"{share:.1f} % of {found.asked} verdicts could not be read; {found.left_out} examples are left out."
        )
    return " ".join(parts)
