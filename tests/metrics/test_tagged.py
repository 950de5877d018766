"""Metrics of spans as answers, by hand; and what no list of spans is."""

from __future__ import annotations

import json

import pytest

from linnet.core.errors import DataError
from linnet.core.spans import Span
from linnet.metrics.judging import interval, judge
from linnet.metrics.tagged import read_spans, write_spans

TEXT = "Ann met Bob Lee in Oslo."
TRUE = [Span("N", 0, 3), Span("N", 8, 15), Span("P", 19, 23)]


def test_an_answer_says_the_spans_in_their_order_once() -> None:
    said = write_spans([TRUE[2], *TRUE], TEXT)
    assert json.loads(said)[1] == {"label": "N", "start": 8, "end": 15, "text": "Bob Lee"}
    assert read_spans(said) == TRUE


def test_f1_f2_and_partial_are_micro_over_all_texts() -> None:
    near = [Span("N", 0, 3), Span("N", 8, 11), Span("N", 19, 23)]  # right, half of it, another label
    answers = [write_spans(near, TEXT), "[]"]
    references = [[write_spans(TRUE, TEXT)], [write_spans(TRUE[:1], TEXT)]]
    values = {name: interval(judge(name, answers, references)).value for name in ("span_f1", "span_f2")}
    assert values == pytest.approx({"span_f1": 2 * 1 / (3 + 4), "span_f2": 5 * 1 / (3 + 4 * 4)})
    assert interval(judge("span_f1_partial", answers, references)).value == pytest.approx(2 * 1.5 / 7)


def test_a_text_without_spans_that_gets_none_is_right() -> None:
    found = judge("span_f1", ["[]", "[]"], [["[]"], [write_spans(TRUE, TEXT)]])
    assert found.values == [1.0, 0.0]


def test_an_answer_that_is_no_list_of_spans_finds_nothing_and_says_so() -> None:
    wanted = [[write_spans(TRUE, TEXT)]] * 6
    wrong = ["Ann", None, '{"label": "N"}', '[{"label": "N", "start": 3, "end": 3}]', "[1]", "[" * 100_000]
    found = judge("span_f1", wrong, wanted)
    assert found.values == [0.0] * 6
    assert len(found.problems) == 6
    with pytest.raises(DataError, match="no list of spans"):
        read_spans('[{"label": 1, "start": 0, "end": 2}]')
