"""Rows with spans in every form that people keep them in, and what is wrong with one said in its words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError
from linnet.text.tagging import TaggedFile, read_tagged

TEXT = "Ann met Bob Lee in Oslo."
SPANS = (("NAME", 0, 3), ("NAME", 8, 15), ("PLACE", 19, 23))


def read(tmp_path: Path, *rows: dict[str, Any]) -> TaggedFile:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_tagged(path, "text", "spans")


@pytest.mark.parametrize(
    "spans",
    [
        [{"start": s, "end": e, "label": k} for k, s, e in SPANS],
        [{"start_position": s, "end_position": e, "entity_type": k, "entity_value": TEXT[s:e]} for k, s, e in SPANS],
        [{"start": s, "end": e, "labels": [k], "text": TEXT[s:e]} for k, s, e in SPANS],
        [[s, e, k] for k, s, e in reversed(SPANS)],
        [{"text": TEXT[s:e], "label": k} for k, s, e in SPANS],
        json.dumps([[s, e, k] for k, s, e in SPANS]),
    ],
)
def test_every_form_gives_the_same_offsets(tmp_path: Path, spans: Any) -> None:
    assert read(tmp_path, {"text": TEXT, "spans": spans}).rows[0].spans == SPANS


def test_tokens_and_tags_become_one_text(tmp_path: Path) -> None:
    tokens, tags = ["Ann", "met", "Bob", "Lee", "in", "Oslo", "Rome"], ["B-N", "O", "B-N", "I-N", "O", "I-P", "B-P"]
    (row,) = read(tmp_path, {"text": tokens, "spans": tags}).rows
    assert row.text == "Ann met Bob Lee in Oslo Rome"
    found = [(kind, row.text[start:end]) for kind, start, end in row.spans]
    assert found == [("N", "Ann"), ("N", "Bob Lee"), ("P", "Oslo"), ("P", "Rome")]


def test_what_was_mended_is_told(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"text": "Ann and Ann", "spans": [{"text": "Ann", "label": "N"}, {"text": "Ann", "label": "N"}]},
        {"text": TEXT, "spans": [[0, 4, "N"], [0, 3, "N"]]},
        {"text": "nothing", "spans": []},
        {"text": "nothing here", "spans": None},
    )
    assert [row.spans for row in found.rows] == [(("N", 0, 3), ("N", 8, 11)), (("N", 0, 3),), (), ()]
    assert [note.split(" spans")[0] for note in found.notes] == ["1", "1", "2"]
    assert found.labels() == ["N"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"spans": [[0, 99, "N"]]}, "line 1: the span .* does not lie in the text of 24 characters"),
        ({"spans": [[3, 3, "N"]]}, "does not lie in the text"),
        ({"spans": [[0, True, "N"]]}, "does not lie in the text"),
        ({"spans": [[3, 4, "N"]]}, "N 3..4 holds only blanks"),
        ({"spans": [[0, 7, "N"], [4, 11, "N"]]}, "'Ann met' and N 'met Bob' overlap"),
        ({"spans": [{"start": 0, "end": 3}]}, "has no label"),
        ({"spans": [{"text": "Eve", "label": "N"}]}, "is not in the text"),
        ({"spans": [{"start": 1, "end": 4, "label": "N", "text": "Ann"}]}, "holds 'nn ', and says 'Ann'"),
        ({"spans": ["Ann"]}, "is no span"),
        ({"spans": "[[0, 3"}, "no JSON"),
        ({"spans": {"NAME": "Ann"}}, "no list"),
        ({"text": " ", "spans": []}, "the text is empty"),
        ({"text": ["Ann", "met"], "spans": ["B-N"]}, "2 tokens have 1 tags"),
        ({"text": ["Ann"], "spans": [1]}, "names of the tags|must be texts"),
        ({"text": ["Ann"], "spans": ["N"]}, "is not O, B-type or I-type"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, {"text": TEXT, **row})


def test_labels_that_are_words_are_refused(tmp_path: Path) -> None:
    rows = [{"text": f"word{n}", "spans": [[0, 3, f"word{n}"]]} for n in range(250)]
    with pytest.raises(DataError, match="250 labels; at most 200"):
        read(tmp_path, *rows)
    with pytest.raises(DataError, match="no row has a span"):
        read(tmp_path, {"text": TEXT, "spans": []})
    with pytest.raises(DataError, match="no column 'spans'"):
        read(tmp_path, {"text": TEXT, "span": []})
