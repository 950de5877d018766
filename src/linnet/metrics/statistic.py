"""From one short row of sums for each example to a metric on a set, as a function of how often each is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import InputError
from linnet.metrics import text_overlap
from linnet.metrics.bootstrap import Statistic, of_sums

Floats = NDArray[np.float64]


def _macro_f1(rows: Floats) -> Statistic:
    """Over the classes that are true or answered in a resample; no label at all is no class of its own."""
    true, answered = rows[:, 0].astype(int), rows[:, 1].astype(int)
    k = int(rows.max()) + 1
    one_hot = np.vstack([np.eye(k), np.zeros(k)])  # the last row, -1, is no label
    truth, answer = one_hot[true], one_hot[answered]
    sums = np.stack([truth * (true == answered)[:, None], answer, truth], axis=1)

    def f1(total: Floats) -> Floats:
        hits, both = total[:, 0], total[:, 1] + total[:, 2]
        each = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        return np.asarray(each.sum(1) / np.maximum((both > 0).sum(1), 1), dtype=np.float64)

    return of_sums(sums, f1)


def _ratio(total: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total[:, 0] / total[:, 1], dtype=np.float64)


def _micro_f1(total: Floats) -> Floats:
    under = total[:, 1] + total[:, 2]
    return np.asarray(np.divide(2 * total[:, 0], under, out=np.ones_like(under), where=under > 0), dtype=np.float64)


def _micro_f2(total: Floats) -> Floats:
    under = total[:, 1] + 4 * total[:, 2]
    return np.asarray(np.divide(5 * total[:, 0], under, out=np.ones_like(under), where=under > 0), dtype=np.float64)


def statistic_of(name: str, rows: Sequence[Sequence[float]]) -> Statistic:
    """The metric as a function of how often each of these examples is drawn. Raises InputError for an unknown name."""
    table = np.array(rows, dtype=np.float64)
    if name == "mean":
        return of_sums(np.column_stack([table[:, 0], np.ones(len(table))]), _ratio)
    if name == "macro_f1":
        return _macro_f1(table)
    functions = {
        "ratio": _ratio, "micro_f1": _micro_f1, "micro_f2": _micro_f2, "bleu": text_overlap.bleu_of_sums,
    }  # fmt: skip
    if name == "perplexity":
        return of_sums(table, lambda total: np.exp(_ratio(total)))
    if name not in functions:
        raise InputError(f"{name!r} is no statistic of this version.", "Evaluate again.")
    return of_sums(table, functions[name])
