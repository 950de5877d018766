"""What a test set of this size cannot see: the least difference that would be found with a given chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from linnet.core.errors import DataError
from linnet.core.records import Record


class Detectable(Record):
    """The least true difference that is found with chance `power` by a two-sided test at `alpha`.

    `difference` is None when even the greatest possible one would often be missed. `sentence` says it in words.
    """

    examples: int
    difference: float | None
    power: float
    alpha: float
    sentence: str


def _quantiles(examples: int, power: float, alpha: float) -> tuple[float, float]:
    if examples < 1 or not 0 < alpha < 1 or not 0.5 <= power < 1:
        raise DataError(f"Need examples above 0, alpha in 0..1 and power in 0.5..1, have {examples}, {alpha}, {power}.")
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)


def detectable_unpaired(examples: int, share: float, power: float = 0.8, alpha: float = 0.05) -> Detectable:
    """For two test sets of `examples` each, one candidate right in `share` of them; normal approximation.

    The difference d solves d = z_alpha se(d) + z_power se(d) with se(d)^2 = (p q + p' q') / n, p' = p + d or p - d,
    whichever stays within 0..1 and is less favourable (Fleiss, Levin and Paik 2003, chapter 4, unpooled).
    """
    z, zp = _quantiles(examples, power, alpha)
    if not 0 <= share <= 1:
        raise DataError(f"A share of {share} is not between 0 and 1.")
    toward = 1 if share <= 0.5 else -1  # towards one half the variance is greatest

    def short(difference: float) -> bool:
        other = share + toward * difference
        error = math.sqrt((share * (1 - share) + other * (1 - other)) / examples)
        return difference < (z + zp) * error

    most = max(share, 1 - share)
    return _record(examples, _least(short, most), (power, alpha), f"two sets of {examples} examples")


def detectable_paired(examples: int, disagreement: float, power: float = 0.8, alpha: float = 0.05) -> Detectable:
    """For two candidates on the same examples, of which one is right and the other wrong in `disagreement` of them.

    The difference d solves d sqrt(n) = z_alpha sqrt(D) + z_power sqrt(D - d^2) (Connor 1987); at most it is D itself.
    """
    z, zp = _quantiles(examples, power, alpha)
    if not 0 <= disagreement <= 1:
        raise DataError(f"A share of {disagreement} is not between 0 and 1.")

    def short(difference: float) -> bool:
        spread = math.sqrt(max(0.0, disagreement - difference**2))
        return difference * math.sqrt(examples) < z * math.sqrt(disagreement) + zp * spread

    found = _least(short, disagreement)
    words = f"{examples} examples, {100 * disagreement:.0f} % of which the two answer differently in being right"
    return _record(examples, found, (power, alpha), words)


def detectable_mean(examples: int, deviation: float, power: float = 0.8, alpha: float = 0.05) -> Detectable:
    """For the mean of paired differences with this standard deviation: (z_alpha + z_power) deviation / sqrt(n)."""
    z, zp = _quantiles(examples, power, alpha)
    if not deviation >= 0:
        raise DataError(f"A standard deviation of {deviation} is below 0.")
    return _record(examples, (z + zp) * deviation / math.sqrt(examples), (power, alpha), f"{examples} examples")


def _least(short: Callable[[float], bool], most: float) -> float | None:
    """The difference where `short` ends, by bisection; None when it does not within `most`."""
    if most <= 0 or short(most):
        return None
    low, high = 0.0, most
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


def _record(examples: int, found: float | None, chance: tuple[float, float], words: str) -> Detectable:
    power, alpha = chance
    often = f"in {100 * power:.0f} of 100 tests at the {100 * alpha:.0f} % level"
    sentence = (
        f"With {words}, no possible difference is found {often}: use more examples."
        if found is None
        else f"With {words}, a difference of less than {100 * found:.1f} points is not reliably seen ({often})."
    )
    return Detectable(examples=examples, difference=found, power=power, alpha=alpha, sentence=sentence)
