"""Do a judge and people say the same: raw agreement, and Cohen's kappa with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError
from linnet.core.records import Interval, Record
from linnet.metrics.bootstrap import PLAIN, Drawing, Statistic, bootstrap, mean_of, of_sums
from linnet.metrics.scores import same_length
from linnet.metrics.significance import share_interval

Floats = NDArray[np.float64]
Weights = Literal["", "quadratic"]
LEAST_KAPPA = 0.4  # the lower end of "moderate" (Landis and Koch 1977)


class Agreement(Record):
    """How far a judge and people agree on `verdicts`. kappa is None where it has no value; without `low` and `high`
    its interval has none. `unread`: verdicts of people on what the judge gave none.

    `decides` is whether the judge agrees well enough to be asked instead of people.
    """

    verdicts: int
    unread: int
    raw: Interval
    kappa: float | None
    low: float | None
    high: float | None
    weights: Weights
    decides: bool
    sentence: str


def kappa_statistic(
    first: Sequence[object], second: Sequence[object], labels: Sequence[object], weights: Weights = ""
) -> Statistic:
    """Cohen's kappa (1960) of two raters; "quadratic": weighted (1968), for labels in their order.

    Raises DataError for no verdicts, lists of different lengths, and a label that is none.
    """
    same_length(first, second)
    place = {label: index for index, label in enumerate(labels)}
    if bad := [one for one in (*first, *second) if one not in place]:
        raise DataError(f"{str(bad[0])[:80]!r} is none of the labels: {', '.join(map(str, labels))[:200]}.")
    k = len(place)
    rows = np.zeros((len(first), k, k))
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        rows[index, place[one], place[other]] = 1
    apart = np.arange(k)[:, None] - np.arange(k)[None, :]
    cost = (apart**2 if weights else apart != 0).astype(np.float64)

    def kappa(total: Floats) -> Floats:
        by_chance = total.sum(2)[:, :, None] * total.sum(1)[:, None, :] / total.sum((1, 2))[:, None, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(1 - (cost * total).sum((1, 2)) / (cost * by_chance).sum((1, 2)), dtype=np.float64)

    return of_sums(rows, kappa)


def cohen_kappa(
    first: Sequence[object], second: Sequence[object], labels: Sequence[object], weights: Weights = ""
) -> float | None:
    """`kappa_statistic` of all examples; None where both raters always give one and the same label."""
    value = float(kappa_statistic(first, second, labels, weights)(np.ones((1, len(first))))[0])
    return value if np.isfinite(value) else None


def agreement(
    judge: Sequence[object | None],
    people: Sequence[object],
    labels: Sequence[object],
    weights: Weights = "",
    drawing: Drawing = PLAIN,
) -> Agreement:
    """How far the judge's verdicts and people's agree, one of each for each place; None where the judge gave none.

    Raises DataError where no verdict can be compared, and what `kappa_statistic` raises.
    """
    same_length(judge, people)
    both = [place for place, one in enumerate(judge) if one is not None]
    if not both:
        raise DataError("No verdict of the judge could be compared with one of people.", "Look at what it wrote.")
    one, other = [judge[place] for place in both], [people[place] for place in both]
    groups = None if drawing.groups is None else [drawing.groups[place] for place in both]
    drawn = Drawing(drawing.seed, drawing.resamples, drawing.level, drawing.method, groups)
    equal = [float(a == b) for a, b in zip(one, other, strict=True)]
    repeated = groups is not None and len(set(groups)) < len(groups)
    raw: Interval = share_interval(int(sum(equal)), len(equal))
    if repeated:
        raw = Interval.model_validate(
            bootstrap(mean_of(equal), len(equal), drawn).model_dump(include={*Interval.model_fields})
        )
    value = cohen_kappa(one, other, labels, weights)
    try:
        limits: Interval | None = bootstrap(kappa_statistic(one, other, labels, weights), len(one), drawn)
    except DataError:  # no value in too many resamples
        limits = None
    found = Agreement(
        verdicts=len(both),
        unread=len(judge) - len(both),
        raw=raw,
        kappa=value,
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        weights=weights,
        decides=value is not None and value >= LEAST_KAPPA,
        sentence="",
    )
    return found.model_copy(update={"sentence": in_words(found)})


def in_words(found: Agreement) -> str:
    """'Judge and people agree in 78.0 % of 50 verdicts ...', and whether this judge should decide."""
    raw = f"{100 * found.raw.value:.1f} % of {found.verdicts} verdicts (95 %: {100 * found.raw.low:.1f} to "
    name = "Cohen's kappa, weighted by squares," if found.weights else "Cohen's kappa"
    told = f"Judge and people agree in {raw}{100 * found.raw.high:.1f}). "
    if found.kappa is None:
        return f"{told}{name} has no value, for both always say the same: this judge should not decide on that."
    limits = "" if found.low is None else f" (95 %: {found.low:.2f} to {found.high:.2f})"
    told += f"{name} is {found.kappa:.2f}{limits}."
    if found.unread:
        told += f" In {found.unread} more cases the judge gave no verdict."
    return told if found.decides else f"{told} Below {LEAST_KAPPA}: this judge should not decide."
