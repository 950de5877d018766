"""Answers that tag spans, as JSON: [{"label", "start", "end", "text"}], in characters of the text that was asked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from linnet.core.errors import DataError
from linnet.core.spans import Span
from linnet.metrics.spans import Match, span_counts

# What each metric of spans counts as found, and how much more recall weighs than precision.
SPAN_METRICS: dict[str, tuple[Match, int]] = {
    "span_f1": ("strict", 1),
    "span_f2": ("strict", 2),
    "span_f1_partial": ("partial", 1),
}


def write_spans(spans: Iterable[Span], text: str) -> str:
    """One answer: the spans of a text in its order. Equal spans are equal texts."""
    return json.dumps(
        [{"label": one.kind, "start": one.start, "end": one.end, "text": text[one.start : one.end]}
         for one in sorted(set(spans), key=lambda one: (one.start, one.end, one.kind))],
        ensure_ascii=False,
    )  # fmt: skip


def read_spans(answer: str) -> list[Span]:
    """The spans of an answer. Raises DataError for what is no list of spans with label, start and end."""
    try:
        found: Any = json.loads(answer)
        if not isinstance(found, list):
            raise TypeError
        return [_span(one) for one in found]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError("The answer is no list of spans with label, start and end.") from error


def _span(one: dict[str, Any]) -> Span:
    label, start, end = one["label"], one["start"], one["end"]
    if not isinstance(label, str) or type(start) is not int or type(end) is not int or not 0 <= start < end:
        raise ValueError
    return Span(label, start, end)


def span_sums(true: list[Span], found: list[Span], match: Match) -> list[float]:
    """[matched, predicted, true] of one text, over all types."""
    _, counts = span_counts([true], [found], match)
    return [float(one) for one in counts.sum(axis=(0, 1))] if counts.size else [0.0, 0.0, 0.0]
