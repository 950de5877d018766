"""Is a difference real, and is a loss small enough: McNemar, Holm, intervals of shares, non-inferiority."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Literal

from linnet.core.errors import DataError
from linnet.core.records import Interval, Record

Verdict = Literal["not inferior", "inferior", "undecided"]


class McNemar(Record):
    """Two candidates on the same examples. Only those count that one got right and the other wrong.

    p_exact: two-sided binomial; never too small, often too large. p_mid: half of the observed case's probability less;
    closer to its level on small sets (Fagerland, Lydersen and Laake 2013).
    """

    only_first: int
    only_second: int
    p_exact: float
    p_mid: float


class NonInferiority(Record):
    """Whether a candidate gives away less than `margin`. difference: candidate - reference; reason: in words."""

    verdict: Verdict
    margin: float
    difference: Interval
    reason: str


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """McNemar's test of two counts: right by the first alone, right by the second alone. Raises DataError below 0."""
    if only_first < 0 or only_second < 0:
        raise DataError("Counts of examples cannot be negative.")
    n, fewer = only_first + only_second, min(only_first, only_second)
    # Whole numbers: exact at any size.
    case = tail = 1
    for k in range(fewer):
        case = case * (n - k) // (k + 1)
        tail += case
    exact = 1.0 if only_first == only_second else min(1.0, 2 * tail / (1 << n))
    mid = exact - case / (1 << n) / (2 if only_first == only_second else 1)
    return McNemar(only_first=only_first, only_second=only_second, p_exact=exact, p_mid=mid)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for how many comparisons were made (Holm 1979), by name. Raises DataError outside 0..1."""
    if bad := [name for name, p in p_values.items() if not 0 <= p <= 1]:
        raise DataError(f"The p-value of {bad[0]!r} is {p_values[bad[0]]}, not between 0 and 1.")
    adjusted, running = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}


def share_interval(right: int, examples: int, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval (1927), which also holds when all or none of a few are right."""
    if not 0 <= right <= examples or not examples:
        raise DataError(f"{right} of {examples} is no share.")
    z, share = _two_sided(level), right / examples
    under = 1 + z * z / examples
    middle = (share + z * z / (2 * examples)) / under
    half = z / under * math.sqrt(share * (1 - share) / examples + z * z / (4 * examples**2))
    low, high = (0.0 if not right else middle - half), (1.0 if right == examples else middle + half)
    return Interval(value=share, low=low, high=high)


def paired_share_interval(only_first: int, only_second: int, examples: int, level: float = 0.95) -> Interval:
    """Share right of the first minus that of the second on the same examples, with Tango's score interval (1998).

    Unlike a bootstrap it does not shrink to a point where the two never differ on a few examples.
    """
    n = examples
    if min(only_first, only_second) < 0 or only_first + only_second > n or not n:
        raise DataError(f"{only_first} and {only_second} of {n} examples cannot differ.")
    value, z = (only_first - only_second) / n, _two_sided(level)

    def score(shift: float) -> float:
        b, c = only_first, only_second
        linear = (2 * n - b + c) * shift - b - c
        q = (math.sqrt(max(0.0, linear**2 + 8 * n * c * shift * (1 - shift))) - linear) / (4 * n)
        spread = n * (2 * q + shift * (1 - shift))
        return (b - c - n * shift) / math.sqrt(spread) if spread > 1e-12 else math.copysign(math.inf, value - shift)

    def edge(inside: float, outside: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if abs(score(middle)) <= z else (inside, middle)
        return (inside + outside) / 2

    return Interval(value=value, low=edge(value, -1.0), high=edge(value, 1.0))


def non_inferiority(difference: Interval, margin: float) -> NonInferiority:
    """Whether the candidate loses less than `margin`, from the 95 % interval of candidate - reference.

    Not inferior when the whole interval lies above -margin, which is a one-sided test at 2.5 % (CONSORT 2012, Piaggio
    et al.); inferior when it lies below; else undecided. Raises DataError for a negative margin.
    """
    if not margin >= 0:
        raise DataError(f"The margin is {margin}: what may be lost is at least 0.")
    low, high = f"{100 * difference.low:.1f}", f"{100 * difference.high:.1f}"
    allowed, between = f"{100 * margin:.1f} points", f"between {low} and {high} points"
    if difference.low > -margin or (difference.low == 0 == margin):
        verdict: Verdict = "not inferior"
        reason = f"The difference is {between} (95 %): the loss is less than {allowed}."
    elif difference.high < -margin:
        verdict, reason = "inferior", f"The difference is {between} (95 %): the loss is more than {allowed}."
    else:
        verdict = "undecided"
        reason = f"The difference is {between} (95 %): too few examples to say whether the loss is under {allowed}."
    return NonInferiority(verdict=verdict, margin=margin, difference=difference, reason=reason)


def _two_sided(level: float) -> float:
    if not 0 < level < 1:
        raise DataError(f"The level is {level}, not between 0 and 1.")
    return NormalDist().inv_cdf((1 + level) / 2)
