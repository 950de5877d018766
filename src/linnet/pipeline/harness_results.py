"""What lm-evaluation-harness measured, as judgements and intervals of the store. Runs no model.

The harness's own number is the value in every case; the interval is Wilson's for shares of right answers, else
bootstrap over the examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnet.core.errors import DataError
from linnet.core.records import Interval
from linnet.metrics import judging
from linnet.metrics.judging import Judgement

RESAMPLES, LEAST = 100, 50  # of a metric that has no sums to draw
Aggregate = Callable[[Sequence[Any]], float]


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric: its interval, its judgement where examples can be paired with another model's, and which way is
    better."""

    name: str
    interval: Interval
    judgement: Judgement | None
    higher_is_better: bool


def measured(name: str, found: Mapping[str, Any], tasks: Mapping[str, Any], version: str) -> list[Measured]:
    """Every metric of the TASK `name`: those of a group first, then each task's. `found` is the harness's result.

    Raises DataError when nothing was measured.
    """
    made: list[Measured] = []
    leaves: dict[str, list[Measured]] = {}
    for task, held in tasks.items():
        better = found["higher_is_better"].get(task, {})
        for key, value in found["results"][task].items():
            metric, _, chosen = key.partition(",")
            if not chosen or metric.endswith("_stderr") or not _is_number(value):
                continue
            samples = [one for one in found["samples"][task] if one["filter"] == chosen and metric in one]
            shown = metric if chosen == "none" else key
            full = shown if task == name and len(tasks) == 1 else f"{task}:{shown}"
            one = _one((full, version), float(value), [s[metric] for s in samples], held.aggregation()[metric])
            if one is not None:
                made.append(Measured(full, *one, better.get(metric) is not False))
                leaves.setdefault(key, []).append(made[-1])
    groups = [one for group, values in found.get("groups", {}).items() for one in _group(group, values, name, leaves)]
    if not made:
        raise DataError(f"{name} measured nothing that is a number.", "Look at its metric_list.")
    return groups + made


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one(
    named: tuple[str, str], value: float, items: Sequence[Any], aggregate: Aggregate
) -> tuple[Interval, Judgement | None] | None:
    kind = _KINDS.get(getattr(aggregate, "__name__", ""))
    if kind is not None:
        statistic, row, own = kind
        judged = Judgement(
            metric=named[0],
            version=named[1],
            statistic=statistic,
            rows=[row(item) for item in items],
            values=[own(row(item)) for item in items],
        )
        if (interval := _interval(judged, value)) is not None:
            return interval, judged
    interval = _resampled(items, aggregate, value)
    return None if interval is None else (interval, None)


def _interval(judged: Judgement, value: float) -> Interval | None:
    """None unless these sums give the harness's own number."""
    if not judged.counted:
        return None
    found = judging.interval(judged)
    return found if math.isclose(found.value, value, rel_tol=1e-6, abs_tol=1e-9) else None


def _mean(item: Any) -> list[float]:
    value = float(item)
    return [value] if math.isfinite(value) else []


def _exponent(row: Sequence[float]) -> float | None:
    return math.exp(row[0] / row[1]) if row and row[1] and row[0] / row[1] < 700 else None


# aggregation of the harness -> statistic, what an example gives to it, an example's own value
_KINDS: dict[str, tuple[str, Callable[[Any], list[float]], Callable[[Sequence[float]], float | None]]] = {
    "mean": ("mean", _mean, lambda row: row[0] if row else None),
    "nanmean": ("mean", _mean, lambda row: row[0] if row else None),
    "perplexity": ("perplexity", lambda item: [-float(item), 1.0], _exponent),
    "weighted_perplexity": ("perplexity", lambda item: [-float(item[0]), float(item[1])], _exponent),
    "bits_per_byte": (
        "ratio",
        lambda item: [-float(item[0]) / math.log(2), float(item[1])],
        lambda row: row[0] / row[1] if row[1] else None,
    ),
}


def _resampled(items: Sequence[Any], aggregate: Aggregate, value: float) -> Interval | None:
    """For what is no sum over examples (BLEU, F1): the harness's own function on resamples. None where too few have a
    value."""
    rng, values = np.random.default_rng(0), []
    for _ in range(RESAMPLES if len(items) > 1 else 0):
        try:
            one = float(aggregate([items[place] for place in rng.integers(0, len(items), len(items))]))
        except (ArithmeticError, LookupError, TypeError, ValueError):
            continue  # a class absent
        if math.isfinite(one):
            values.append(one)
    if len(values) < LEAST:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(value=value, low=float(low), high=float(high))


def _group(
    group: str, values: Mapping[str, Any], name: str, leaves: Mapping[str, Sequence[Measured]]
) -> list[Measured]:
    """A group's mean over examples, or over its tasks, whichever gives the harness's number; else it is left out."""
    made: list[Measured] = []
    for key, value in values.items():
        metric, _, chosen = key.partition(",")
        parts = [one.judgement for one in leaves.get(key, ()) if one.judgement and one.judgement.statistic == "mean"]
        if not chosen or not _is_number(value) or not parts or group != name:
            continue
        shown = metric if chosen == "none" else key
        for by_task in (False, True):
            judged = _joined(shown, parts, by_task)
            if (interval := _interval(judged, float(value))) is not None:
                made.append(Measured(shown, interval, judged, leaves[key][0].higher_is_better))
                break
    return made


def _joined(metric: str, parts: Sequence[Judgement], by_task: bool) -> Judgement:
    total = sum(len(one.counted) for one in parts)
    rows: list[list[float]] = []
    for one in parts:
        weight = total / len(parts) / max(1, len(one.counted)) if by_task else 1.0
        rows += [[row[0] * weight] if row else [] for row in one.rows]
    own = [value for one in parts for value in one.values]
    return Judgement(metric=metric, version=parts[0].version, statistic="mean", rows=rows, values=own)
