"""People's verdicts as they come in files: by row or with their own texts, and refused by file, row and column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.errors import DataError, NotFound
from linnet.metrics.grading import Scale
from linnet.pipeline.judge_human import read_human

GRADES = Scale(low=1, high=5)


def written(path: Path, content: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def test_verdicts_by_row_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("row,who,verdict\n2,ann,A\n2,bob, Second \n7,ann,TIE\n")
    assert [(one.row, one.said, one.own) for one in read_human(path)] == [
        (2, "first", None),
        (2, "second", None),
        (7, "tie", None),
    ]


def test_verdicts_with_their_own_texts(tmp_path: Path) -> None:
    row: dict[str, object] = {"question": "Q", "answer_a": "x", "answer_b": "y", "verdict": "b", "reference": "z"}
    (found,) = read_human(written(tmp_path / "h.jsonl", [row]))
    assert found.said == "second"
    assert found.own is not None
    assert (found.own.question, found.own.answers, found.own.references) == ("Q", ("x", "y"), ("z",))


def test_grades(tmp_path: Path) -> None:
    by_row = read_human(written(tmp_path / "a.jsonl", [{"row": 1, "grade": 5}, {"row": "2", "grade": "3"}]), GRADES)
    assert [(one.row, one.said) for one in by_row] == [(1, 5), (2, 3)]
    (own,) = read_human(written(tmp_path / "b.jsonl", [{"question": "Q", "answer": "x", "grade": 1}]), GRADES)
    assert own.own is not None
    assert (own.said, own.own.answers) == (1, ("x",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"row": 1, "verdict": "C"}], "line 1: the verdict 'C' is none of A, B and tie"),
        ([{"row": "x", "verdict": "A"}], "row is 'x': a whole number is needed"),
        ([{"row": 1.5, "verdict": "A"}], "a whole number is needed"),
        ([{"row": "1e999", "verdict": "A"}], "a whole number is needed"),
        ([{"verdict": "A"}], "question is missing"),
        ([{"question": "Q", "answer_a": "x", "verdict": "A"}], "answer_b is missing"),
        ([{"row": 1}], "verdict is missing"),
        ([{"row": 1, "verdict": "A"}, {"verdict": "A"}], "h.jsonl, line 2: row is missing"),
    ],
)
def test_verdicts_that_cannot_be_understood(tmp_path: Path, content: list[dict[str, object]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_human(written(tmp_path / "h.jsonl", content))


def test_grades_that_cannot_be_understood(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the grade 6 is not on the scale 1-5"):
        read_human(written(tmp_path / "h.jsonl", [{"row": 1, "grade": 6}]), GRADES)
    with pytest.raises(DataError, match="grade is missing"):
        read_human(written(tmp_path / "h.jsonl", [{"row": 1, "verdict": "A"}]), GRADES)
    with pytest.raises(NotFound):
        read_human(tmp_path / "absent.csv")
