"""Spans against seqeval, and against a table made by hand."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import DataError
from linnet.core.spans import Span, bio_spans
from linnet.metrics.bootstrap import bootstrap, of_sums
from linnet.metrics.spans import f_beta, span_counts, span_report

TAGS = st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b", "B-c"])
ROWS = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=12), min_size=1, max_size=6)


@pytest.mark.parametrize("strict", [False, True])
@given(rows=ROWS, beta=st.sampled_from([1.0, 2.0, 0.5]))
@settings(max_examples=150, deadline=None)
def test_equal_to_seqeval(strict: bool, rows: list[list[tuple[str, str]]], beta: float) -> None:
    lenient = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="seqeval is not installed")
    schemes, strictly = pytest.importorskip("seqeval.scheme"), pytest.importorskip("seqeval.metrics.v1")
    reference = partial(strictly.precision_recall_fscore_support, scheme=schemes.IOB2) if strict else None
    reference = reference or lenient.precision_recall_fscore_support
    true, predicted = [[t for t, _ in row] for row in rows], [[p for _, p in row] for row in rows]
    spans = [[bio_spans(tags, strict=strict) for tags in side] for side in (true, predicted)]
    if not any(spans[0]):  # seqeval fails on a truth without entities
        return
    found = span_report(*spans, beta=beta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        micro, macro, each = (
            reference(true, predicted, average=average, beta=beta, zero_division=0)
            for average in ("micro", "macro", None)
        )
    assert (found.micro.precision, found.micro.recall, found.micro.f) == pytest.approx(micro[:3])
    assert (found.macro_precision, found.macro_recall, found.macro_f) == pytest.approx(macro[:3])
    assert [row.f for row in found.per_type.values()] == pytest.approx(list(each[2]))
    assert [row.true for row in found.per_type.values()] == list(each[3])


@pytest.mark.parametrize(
    ("tags", "lenient", "strict"),
    [
        ("O I-a I-a O", [("a", 1, 3)], []),
        ("B-a I-b I-b", [("a", 0, 1), ("b", 1, 3)], [("a", 0, 1)]),
        ("B-a B-a I-a", [("a", 0, 1), ("a", 1, 3)], [("a", 0, 1), ("a", 1, 3)]),
        ("B-a O I-a", [("a", 0, 1), ("a", 2, 3)], [("a", 0, 1)]),
        ("B-a-b I-a-b", [("a-b", 0, 2)], [("a-b", 0, 2)]),
    ],
)
def test_spans_of_bio(tags: str, lenient: list[Span], strict: list[Span]) -> None:
    assert bio_spans(tags.split()) == lenient
    assert bio_spans(tags.split(), strict=True) == strict


@pytest.mark.parametrize("tag", ["", "X-a", "B", "I-", "b-a", "PER"])
def test_a_tag_that_is_none(tag: str) -> None:
    with pytest.raises(DataError, match="Token 1"):
        bio_spans(["O", tag])


S = Span
# truth, answer, strict, partial, overlap: matched by hand
TABLE = [
    ([S("a", 0, 5)], [S("a", 0, 5)], 1, 1, 1),
    ([S("a", 0, 5)], [S("a", 0, 4)], 0, 0.5, 1),
    ([S("a", 0, 5)], [S("a", 5, 9)], 0, 0, 0),
    ([S("a", 0, 5)], [S("b", 0, 5)], 0, 0, 0),
    ([S("a", 0, 5)], [S("a", 0, 2), S("a", 3, 5)], 0, 0.5, 1),
    ([S("a", 0, 2), S("a", 3, 5)], [S("a", 0, 5)], 0, 0.5, 1),
    ([S("a", 0, 4), S("a", 4, 8)], [S("a", 0, 4), S("a", 3, 8)], 1, 1.5, 2),
    ([S("a", 0, 5)], [S("a", 0, 5), S("a", 0, 5)], 1, 1, 1),
    ([], [S("a", 0, 5)], 0, 0, 0),
    ([S("a", 0, 5)], [], 0, 0, 0),
]


@pytest.mark.parametrize("row", TABLE)
def test_matching_by_hand(row: tuple[list[Span], list[Span], float, float, float]) -> None:
    true, predicted, *wanted = row
    for match, value in zip(("strict", "partial", "overlap"), wanted, strict=True):
        _, counts = span_counts([true], [predicted], match)
        assert counts[..., 0].sum() == value
        assert counts[..., 1].sum() == len(set(predicted))


def test_f2_weighs_recall() -> None:
    true, predicted = [[S("a", 0, 2), S("a", 3, 5)]], [[S("a", 0, 2)]]
    found = span_report(true, predicted, beta=2)
    assert (found.micro.precision, found.micro.recall) == (1, 0.5)
    assert found.micro.f == pytest.approx(5 * 1 * 0.5 / (4 * 1 + 0.5))


def test_nothing_to_find_and_nothing_found() -> None:
    found = span_report([[], []], [[], []])
    assert (found.micro.f, found.macro_f, found.per_type) == (0, 0, {})


@pytest.mark.parametrize("span", [S("a", 3, 3), S("a", 5, 2), S("a", -1, 2)])
def test_a_span_that_is_none(span: Span) -> None:
    with pytest.raises(DataError, match="Example 1: the predicted span"):
        span_report([[], []], [[], [span]])


def test_counts_feed_the_bootstrap() -> None:
    generator = np.random.default_rng(0)
    true = [[S("a", 0, 2), S("b", 4, 6)] for _ in range(200)]
    predicted = [[s for s in row if generator.random() < 0.8] for row in true]
    _, counts = span_counts(true, predicted)
    found = bootstrap(of_sums(counts.sum(axis=1), f_beta), len(true))
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(span_report(true, predicted).micro.f)
