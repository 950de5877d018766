"""Exact match, token F1, field F1 and schema validity: tables by hand, parity with scikit-learn-free definitions."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import DataError, InputError
from linnet.metrics.extraction import (
    answer_field_f1,
    exact_match,
    field_counts,
    field_f1,
    field_sums,
    normalize_answer,
    read_answer,
    schema_problems,
    token_f1,
)
from tests.shared import shared_data


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Cat's (a) hat.", "cats hat"),
        ("An apple a day", "apple day"),
        ("another theory", "another theory"),
        ("U.S.A.", "usa"),
        ("the", ""),
        ("“Ünïted”", "“ünïted”"),  # ASCII punctuation only, as in the reference
    ],
)
def test_normalising(text: str, plain: str) -> None:
    assert normalize_answer(text) == plain


@pytest.mark.parametrize(
    ("prediction", "references", "em", "f1"),
    [
        ("the Normans", ["Normans", "Vikings"], 1, 1),
        ("in the 10th century", ["10th century"], 0, 2 * (2 / 3) / (2 / 3 + 1)),
        ("Paris", ["London", "Paris, France"], 0, 2 / 3),
        ("a a b b", ["b b b"], 0, 2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3)),
        ("Rome", ["Paris"], 0, 0),
        ("", ["Paris"], 0, 0),
        ("", [""], 1, 1),
        ("the", ["an"], 1, 1),
        ("x", [""], 0, 0),
    ],
)
def test_answers_by_hand(prediction: str, references: list[str], em: float, f1: float) -> None:
    assert exact_match(prediction, references) == em
    assert token_f1(prediction, references) == pytest.approx(f1)


def test_the_true_answers_of_xquad_score_one_and_no_answer_is_empty() -> None:
    path = shared_data("xquad") / "xquad.en.json"
    if not path.is_file():
        pytest.skip("xquad is not here")
    articles = json.loads(path.read_text())["data"]
    answers = [
        [a["text"] for a in question["answers"]]
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    assert len(answers) == 1190
    assert all(normalize_answer(text) for row in answers for text in row)
    assert sum(exact_match(row[0].upper() + "!", row) for row in answers) == 1190
    assert sum(token_f1(row[0].upper() + "!", row) for row in answers) == 1190


@pytest.mark.parametrize("text", ['{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', '```\n{"a": 1}```'])
def test_reading_json(text: str) -> None:
    assert read_answer(text) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("Sure! {}", "not JSON: Expecting value, line 1, character 1"),
        ('{"a": 1', "not JSON"),
        ('{"a": 1, "a": 2}', "'a' more than once"),
        ("[NaN]", "NaN"),
        ("[Infinity]", "Infinity"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "not JSON"),
    ],
)
def test_what_is_no_json(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_answer(text)


# prediction, truth, matched, predicted, true
RECORDS: list[tuple[Any, Any, int, int, int]] = [
    ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, 2, 2, 2),
    ({"a": 1, "b": "y"}, {"a": 1, "b": "x"}, 1, 2, 2),
    ({"a": 1}, {"a": 1, "b": "x"}, 1, 1, 2),
    ({"a": 1, "c": 3}, {"a": 1}, 1, 2, 1),
    ({"a": 1.0}, {"a": 1}, 1, 1, 1),
    ({"a": True}, {"a": 1}, 0, 1, 1),
    ({"a": "1"}, {"a": 1}, 0, 1, 1),
    ({"a": " x  y "}, {"a": "x y"}, 1, 1, 1),
    ({"a": None, "b": [], "c": {}}, {}, 0, 0, 0),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1, "d": 2}}}, 1, 1, 2),
    ({"a": {"b": 1}}, {"a": 1}, 0, 1, 1),
    ({"a": [3, 1, 2]}, {"a": [1, 2, 3]}, 3, 3, 3),
    ({"a": [1, 1, 2]}, {"a": [1, 2, 2]}, 2, 3, 3),
    ({"a": [1]}, {"a": 1}, 0, 1, 1),
    ([{"n": "x", "q": 1}, {"n": "y", "q": 2}], [{"n": "y", "q": 2}, {"n": "x", "q": 1}], 4, 4, 4),
    # Values of two items swapped: every name and number occurs, only half of the pairs are right.
    ([{"n": "x", "q": 1}, {"n": "y", "q": 2}], [{"n": "x", "q": 2}, {"n": "y", "q": 1}], 2, 4, 4),
    ([{"n": "x", "q": 1}], [{"n": "y", "q": 2}, {"n": "x", "q": 2}], 1, 2, 4),
    # Greedy pairing by position would take (1, 1) first and lose one.
    ([{"a": 1, "b": 1}, {"a": 1}], [{"a": 1}, {"a": 1, "b": 1}], 3, 3, 3),
    ("x", {"a": 1}, 0, 1, 1),
]


@pytest.mark.parametrize("row", RECORDS)
def test_fields_by_hand(row: tuple[Any, Any, int, int, int]) -> None:
    prediction, truth, matched, predicted, true = row
    assert field_sums([prediction], [truth]).tolist() == [[matched, predicted, true]]
    assert field_f1(prediction, truth) == pytest.approx(2 * matched / (predicted + true) if predicted + true else 1)


def test_counts_name_the_field() -> None:
    found = field_counts({"who": "Ann", "lines": [{"sku": "a", "n": 1}]}, {"who": "Bob", "lines": [{"sku": "a"}]})
    assert found == {("who",): (0, 1, 1), ("lines", "[]", "sku"): (1, 1, 1), ("lines", "[]", "n"): (0, 1, 0)}
    assert field_f1({"a": "The Cat!"}, {"a": "cat"}, normalize_answer) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("xy"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, VALUES)
@settings(max_examples=200, deadline=None)
def test_field_f1_is_a_symmetric_share(one: Any, other: Any) -> None:
    assert field_f1(one, one) == 1
    assert 0 <= field_f1(one, other) <= 1
    assert field_f1(one, other) == pytest.approx(field_f1(other, one))


@given(st.lists(st.integers(0, 5), max_size=8), st.lists(st.integers(0, 5), max_size=8))
def test_a_list_of_numbers_is_a_multiset(one: list[int], other: list[int]) -> None:
    common = sum((Counter(one) & Counter(other)).values())
    assert field_sums([one], [other]).tolist() == [[common, len(one), len(other)]]


def test_answers_that_are_texts() -> None:
    assert answer_field_f1('{"a": 1}', ['{"a": 2}', '{"a": 1}']) == 1
    assert answer_field_f1("I do not know", ['{"a": 2}']) == 0
    with pytest.raises(DataError):
        answer_field_f1('{"a": 1}', ["no json"])


def test_a_deep_record_is_refused_in_words() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DataError, match="nested too deeply"):
        field_f1(deep, deep)


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "day": {"type": "string", "format": "date"},
        "id": {"type": "string", "format": "uuid"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "more": {"$ref": "#/$defs/more"},
    },
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"more": {"type": ["string", "null"]}},
}


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"n": 1}, []),
        ({"n": 1, "day": "2024-02-29", "id": "12345678123456781234567812345678", "tags": ["a"], "more": None}, []),
        ({}, ["$: 'n' is a required"]),
        ({"n": 0, "day": "2023-02-29"}, ["$.day: '2023-02-29' is not a 'date'", "$.n: 0 is less"]),
        ({"n": 1, "tags": ["a", "c"]}, ["$.tags[1]: 'c' is not one of"]),
        ({"n": 1, "x": 2}, ["$: Additional properties"]),
        ({"n": 1, "more": 3}, ["$.more: 3 is not of type"]),
        ({"n": 1, "id": "no"}, ["$.id: 'no' is not a 'uuid'"]),
        ({"n": 1.5}, ["$.n: 1.5 is not of type 'integer'"]),
    ],
)
def test_schema(value: Any, places: list[str]) -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    found = schema_problems(value, SCHEMA)
    assert len(found) == len(places)
    assert all(one.startswith(place) for one, place in zip(found, places, strict=True))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "bogus"}, "not valid at"),
        ({"minimum": "1"}, "not valid at"),
        ({"$ref": "http://192.0.2.1/s.json"}, "refers to"),  # the guard of every test hears an attempt to fetch it
        ({"$ref": "#/nowhere"}, "refers to"),
        (7, "not valid"),
    ],
)
def test_a_bad_schema(schema: Any, words: str) -> None:
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    with pytest.raises(InputError, match=words):
        schema_problems({}, schema)
