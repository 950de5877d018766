"""Tagged spans against the true ones: precision, recall and F-beta for each type, strict or partial.

A span is a type and a half-open stretch, in characters or in tokens. Knows no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError
from linnet.core.records import Record
from linnet.core.spans import Span
from linnet.metrics.scores import same_length

Match = Literal["strict", "partial", "overlap"]
Floats = NDArray[np.float64]
VERSION = "1"


class SpanScore(Record):
    """Precision, recall and F-beta of one type, or of all. `matched` counts half where a partial match does."""

    precision: float
    recall: float
    f: float
    true: int
    predicted: int
    matched: float


class SpanReport(Record):
    """Scores of a set. macro: the mean over the types that occur as truth or as answer; 0 of nothing."""

    match: Match
    beta: float
    micro: SpanScore
    macro_precision: float
    macro_recall: float
    macro_f: float
    per_type: dict[str, SpanScore]


def span_counts(
    true: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], match: Match = "strict"
) -> tuple[list[str], Floats]:
    """The types, sorted, and for each example and type how many matched, were predicted, are true.

    Shape (examples, types, 3): rows to sum, or to draw in a bootstrap. A span given twice counts once. Matches are one
    to one. "strict": same type and bounds. "partial": same type and some overlap; a match whose bounds differ counts
    one half, as in MUC-5 and SemEval-2013 task 9. "overlap": the same, and counts whole (SemEval's "type"). Exact
    matches are taken first, then the longest overlaps. Raises DataError for lists of different length and for a span
    that ends before it begins.
    """
    same_length(predicted, true)
    truth = [_distinct(spans, place, "true") for place, spans in enumerate(true)]
    answer = [_distinct(spans, place, "predicted") for place, spans in enumerate(predicted)]
    kinds = sorted({span.kind for spans in [*truth, *answer] for span in spans})
    column = {kind: index for index, kind in enumerate(kinds)}
    counts = np.zeros((len(truth), len(kinds), 3), dtype=np.float64)
    for row, (right, found) in enumerate(zip(truth, answer, strict=True)):
        for kind in {span.kind for span in [*right, *found]}:
            ours = [span for span in found if span.kind == kind]
            theirs = [span for span in right if span.kind == kind]
            counts[row, column[kind]] = _matched(ours, theirs, match), len(ours), len(theirs)
    return kinds, counts


def _distinct(spans: Sequence[Span], place: int, which: str) -> list[Span]:
    found = sorted({Span(*span) for span in spans})
    for span in found:
        if not 0 <= span.start < span.end:
            where = f"{span.kind} {span.start}..{span.end}"
            raise DataError(f"Example {place}: the {which} span {where} is empty or reversed.")
    return found


def _matched(ours: list[Span], theirs: list[Span], match: Match) -> float:
    exact = set(ours) & set(theirs)
    if match == "strict":
        return len(exact)
    left = [span for span in ours if span not in exact]
    open_ = [span for span in theirs if span not in exact]
    common = [(min(a.end, b.end) - max(a.start, b.start), a, b) for a in left for b in open_]
    used: set[tuple[str, Span]] = set()
    pairs = 0
    for length, a, b in sorted(common, key=lambda found: (-found[0], found[1], found[2])):
        if length > 0 and ("ours", a) not in used and ("theirs", b) not in used:
            used |= {("ours", a), ("theirs", b)}
            pairs += 1
    return len(exact) + pairs * (0.5 if match == "partial" else 1.0)


def f_beta(sums: Floats, beta: float = 1.0) -> Floats:
    """F-beta of matched, predicted, true on the last axis: (1 + b^2) m / (p + b^2 t), van Rijsbergen 1979. 0/0 is 0."""
    matched, predicted, true = sums[..., 0], sums[..., 1], sums[..., 2]
    under = predicted + beta**2 * true
    return np.divide((1 + beta**2) * matched, under, out=np.zeros_like(under), where=under > 0)


def span_report(
    true: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], match: Match = "strict", beta: float = 1.0
) -> SpanReport:
    """Scores for each type and of all, micro and macro. Raises DataError as `span_counts`."""
    kinds, counts = span_counts(true, predicted, match)
    sums = counts.sum(axis=0)
    per_type = {kind: _score(row, beta) for kind, row in zip(kinds, sums, strict=True)}
    rows = list(per_type.values())
    share = 1 / max(1, len(rows))
    return SpanReport(
        match=match,
        beta=beta,
        micro=_score(sums.sum(axis=0), beta),
        macro_precision=share * sum(row.precision for row in rows),
        macro_recall=share * sum(row.recall for row in rows),
        macro_f=share * sum(row.f for row in rows),
        per_type=per_type,
    )


def _score(sums: Floats, beta: float) -> SpanScore:
    matched, predicted, true = (float(value) for value in sums)
    return SpanScore(
        precision=matched / predicted if predicted else 0.0,
        recall=matched / true if true else 0.0,
        f=float(f_beta(sums, beta)),
        true=int(true),
        predicted=int(predicted),
        matched=matched,
    )
