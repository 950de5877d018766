"""Intervals by drawing the examples again: percentile and BCa, paired differences, whole groups at a time.

A statistic is a function of how often each example is drawn, shape (resamples, examples) to (resamples,): so one
drawing serves every metric, and two candidates are compared on the same draws. Deterministic by seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linnet.core.errors import DataError
from linnet.core.records import Interval

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Statistic = Callable[[Floats], Floats]
Method = Literal["percentile", "bca"]
BLOCK = 4_000_000  # weights at once: 32 MB


class Estimate(Interval):
    """A value with its interval at `level`, and how that was found.

    units: what was drawn, examples or groups. undefined: resamples in which the statistic has no value; they are left
    out. method: "percentile" also where BCa was asked for and has no value, as when all resamples lie on one side.
    """

    level: float
    method: Method
    resamples: int
    units: int
    undefined: int


class Difference(Estimate):
    """first - second on the same draws. p_value: two-sided, of no difference."""

    p_value: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to draw. groups: one label per example; examples of a group are drawn together (cluster bootstrap)."""

    seed: int = 0
    resamples: int = 2000
    level: float = 0.95
    method: Method = "percentile"
    groups: Sequence[object] | None = None


PLAIN = Drawing()


def mean_of(values: ArrayLike) -> Statistic:
    """The mean of one value per example. Raises DataError for a value that is not finite."""
    return ratio_of(values, np.ones(np.shape(values)))


def ratio_of(above: ArrayLike, under: ArrayLike) -> Statistic:
    """sum(above) / sum(under), one of each per example: micro averages, length ratios."""
    return of_sums(np.stack([np.asarray(above, float), np.asarray(under, float)], axis=-1), _ratio)


def _ratio(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1], dtype=np.float64)


def of_sums(rows: ArrayLike, function: Callable[[Floats], Floats]) -> Statistic:
    """A function of sums over the examples: rows (examples, ...), function of (resamples, ...) to (resamples,)."""
    table = np.asarray(rows, dtype=np.float64)
    if not len(table):
        raise DataError("An interval needs at least one example.")
    if not np.isfinite(table).all():
        raise DataError(
            "An interval needs a finite value for every example.", "Leave out the examples that have none first."
        )
    flat = table.reshape(len(table), -1)
    return lambda weights: function((weights @ flat).reshape(len(weights), *table.shape[1:]))


def of_examples(function: Callable[[Indices], float]) -> Statistic:
    """Any function of the drawn examples' indices, called once for each resample: slow, for what has no sums."""
    return lambda weights: np.array(
        [function(np.repeat(np.arange(len(row)), row.astype(np.int64))) for row in weights], dtype=np.float64
    )


@dataclass(frozen=True, slots=True)
class _Units:
    """What is drawn: the number of units, and for each example its unit."""

    count: int
    of_example: Indices

    def weights(self, drawn: Floats) -> Floats:
        return drawn[:, self.of_example]


def _units(examples: int, groups: Sequence[object] | None) -> _Units:
    if examples < 1:
        raise DataError("An interval needs at least one example.")
    if groups is None:
        return _Units(examples, np.arange(examples))
    if len(groups) != examples:
        raise DataError(f"There are {examples} examples and {len(groups)} group labels.")
    place: dict[object, int] = {}
    of_example = np.array([place.setdefault(group, len(place)) for group in groups], dtype=np.int64)
    return _Units(len(place), of_example)


def draws(statistic: Statistic, examples: int, drawing: Drawing = PLAIN) -> Floats:
    """The statistic in each resample (Efron 1979), shape (resamples,); NaN where it has no value."""
    units = _units(examples, drawing.groups)
    generator = np.random.Generator(np.random.Philox(drawing.seed))
    even, found = np.full(units.count, 1 / units.count), []
    step = max(1, BLOCK // examples)
    for start in range(0, drawing.resamples, step):
        size = min(step, drawing.resamples - start)
        drawn = generator.multinomial(units.count, even, size=size).astype(np.float64)
        found.append(statistic(units.weights(drawn)))
    return np.concatenate(found)


def jackknife(statistic: Statistic, examples: int, groups: Sequence[object] | None = None) -> Floats:
    """The statistic without each unit in turn, shape (units,)."""
    units, found = _units(examples, groups), []
    step = max(1, BLOCK // examples)
    for start in range(0, units.count, step):
        size = min(step, units.count - start)
        kept = np.ones((size, units.count))
        kept[np.arange(size), start + np.arange(size)] = 0
        found.append(statistic(units.weights(kept)))
    return np.concatenate(found)


def percentile_limits(drawn: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of the resamples."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bca_limits(value: float, drawn: Floats, left_out: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Bias-corrected and accelerated limits (Efron 1987), from the resamples and the jackknife values.

    None where they have no value: every resample on one side of the estimate, or equal jackknife values.
    """
    normal = NormalDist()
    below = float(((drawn < value).mean() + (drawn <= value).mean()) / 2)
    away = left_out.mean() - left_out
    spread = float((away**2).sum())
    if not 0 < below < 1 or spread <= 0 or not np.isfinite(spread):
        return None
    bias, acceleration = normal.inv_cdf(below), float((away**3).sum()) / (6 * spread**1.5)
    shares = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        moved = bias + normal.inv_cdf(tail)
        if (under := 1 - acceleration * moved) <= 0:
            return None
        shares.append(normal.cdf(bias + moved / under))
    low, high = np.quantile(drawn, shares)
    return float(low), float(high)


def bootstrap(statistic: Statistic, examples: int, drawing: Drawing = PLAIN) -> Estimate:
    """The statistic of all examples, with its interval.

    Raises DataError where the statistic has no value for the whole set, or in fewer than half of the resamples.
    """
    return _estimate(statistic, examples, drawing)[0]


def _estimate(statistic: Statistic, examples: int, drawing: Drawing) -> tuple[Estimate, Floats]:
    value = float(statistic(np.ones((1, examples)))[0])
    every = draws(statistic, examples, drawing)
    drawn = every[np.isfinite(every)]
    if not np.isfinite(value) or 2 * len(drawn) < len(every):
        raise DataError(
            f"The metric has no value in {len(every) - len(drawn)} of {len(every)} resamples of {examples} examples.",
            "Add examples: a class may be absent, or almost.",
        )
    limits = None
    if drawing.method == "bca" and drawn.min() < drawn.max():
        limits = bca_limits(value, drawn, jackknife(statistic, examples, drawing.groups), drawing.level)
    low, high = limits or percentile_limits(drawn, drawing.level)
    found = Estimate(
        value=value, low=low, high=high, level=drawing.level, method="bca" if limits else "percentile",
        resamples=drawing.resamples, units=_units(examples, drawing.groups).count, undefined=len(every) - len(drawn),
    )  # fmt: skip
    return found, drawn


def paired_bootstrap(first: Statistic, second: Statistic, examples: int, drawing: Drawing = PLAIN) -> Difference:
    """first - second, both on the same draws of the same examples, with interval and p-value. Raises as `bootstrap`.

    The p-value is twice the smaller share of resamples on either side of zero, (1 + count) / (1 + resamples) so that
    it is never 0 (Koehn 2004; Davison and Hinkley 1997, section 4.2).
    """
    found, drawn = _estimate(lambda weights: first(weights) - second(weights), examples, drawing)
    side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Difference(**found.to_json(), p_value=min(1.0, 2 * (1 + side) / (1 + len(drawn))))
