"""Spans as a decoder writes them, and back: offsets that hold, whatever the answer is."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.text.span_answers import parts_of, read_span_answer, span_schema, write_span_answer

TEXT = "Anna met Anna in Rome, not Ann."


def found(answer: str, text: str = TEXT) -> list[tuple[str, int, int]]:
    return [(one.label, one.start, one.end) for one in read_span_answer(answer, text)]


def test_the_same_words_twice_are_two_places() -> None:
    spans = [("NAME", 0, 4), ("NAME", 9, 13), ("PLACE", 17, 21), ("NAME", 27, 30)]
    answer = write_span_answer(TEXT, spans)
    assert json.loads(answer)[2] == {"label": "PLACE", "text": "Rome"}
    assert found(answer) == spans


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[]", []),
        ("", []),
        ('[{"label": "P", "text": "Rome"}, {"label": "N", "text": "Anna"}]', [("N", 0, 4), ("P", 17, 21)]),
        ('[{"label": "P", "text": "Rome"}, {"label": "N", "text": "Ann', [("P", 17, 21)]),  # cut
        ('[{"label": "P", "text": "Paris"}, {"label": "P", "text": " Rome "}]', [("P", 17, 21)]),  # not in the text
        ('[{"label": "P", "text": "Rome"}, {"label": "P", "text": "Rome"}]', [("P", 17, 21)]),  # there is one
        ('[{"label": "P", "text": ""}, {"label": 3, "text": "Rome"}, 7, "x", [], {"label": "P", "text": "met"}]',
         [("P", 5, 8)]),
        ("[" * 3000, []),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_answer_is_left_out(answer: str, expected: list[tuple[str, int, int]]) -> None:
    assert found(answer) == expected


def test_an_answer_says_where_it_says_a_span() -> None:
    answer = write_span_answer(TEXT, [("PLACE", 17, 21)])
    (one,) = read_span_answer(answer, TEXT)
    assert answer[one.said_from : one.said_to] == '{"label": "PLACE", "text": "Rome"}'


@given(st.text(max_size=80), st.text(max_size=40))
def test_no_answer_breaks_it_and_no_two_spans_overlap(answer: str, text: str) -> None:
    wrapped = json.dumps([{"label": "A", "text": word} for word in answer.split()])
    for said in (answer, wrapped, f"[{answer}"):
        spans = found(said, text)
        assert all(0 <= start < end <= len(text) for _, start, end in spans)
        assert all(a[2] <= b[1] for a, b in itertools.pairwise(spans))


@given(st.text(alphabet="ab. \n!", max_size=90), st.integers(1, 20))
def test_parts_are_the_text(text: str, most: int) -> None:
    parts = parts_of(text, most)
    assert "".join(part for _, part in parts) == text
    assert all(text[begin : begin + len(part)] == part and len(part) <= most for begin, part in parts)


def test_a_text_is_cut_behind_a_sentence_where_it_can() -> None:
    assert parts_of("One. Two two. Three", 14) == [(0, "One. Two two. "), (14, "Three")]
    assert parts_of("one two three", 9) == [(0, "one two "), (8, "three")]


def test_the_schema_knows_the_labels() -> None:
    assert span_schema(["A", "B"])["items"]["properties"]["label"] == {"enum": ["A", "B"]}
