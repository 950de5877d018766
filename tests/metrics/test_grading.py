"""What a judge wrote: read when it is a verdict or a grade, refused when it is anything else."""

from __future__ import annotations

import pytest

from linnet.core.errors import DataError, InputError
from linnet.metrics.grading import Scale, pair_verdict, parse_scale, read_grade, read_place

A, B, TIE = '{"verdict": "A"}', '{"verdict": "B"}', '{"verdict": "tie"}'


@pytest.mark.parametrize(
    ("text", "place"),
    [(A, "A"), ('```json\n{"verdict": "b"}\n```', "B"), ("tie", "tie"), (' "A" ', "A"), ("Tie\n", "tie")],
)
def test_a_verdict_is_read(text: str, place: str) -> None:
    assert read_place(text) == place


@pytest.mark.parametrize(
    "text",
    ["", "A is better", '{"verdict": "C"}', '{"verdict": ["A"]}', '{"verdict": "A", "verdict": "B"}', "[]", "null",
     '{"winner": "A"}', "NaN", "[" * 5000, '{"verdict": {"A": 1}}'],
)  # fmt: skip
def test_nonsense_is_no_verdict(text: str) -> None:
    with pytest.raises(DataError, match="could not be read"):
        read_place(text)


@pytest.mark.parametrize(
    ("text", "grade"), [('{"grade": 4}', 4), ("5", 5), ('{"grade": "2"}', 2), ('{"grade": 3.0}', 3)]
)
def test_a_grade_is_read(text: str, grade: int) -> None:
    assert read_grade(text, Scale(low=1, high=5)) == grade


@pytest.mark.parametrize(
    "text",
    ["", "4 of 5", "0", "6", '{"grade": 3.5}', '{"grade": true}', '{"grade": null}', "-1", '{"grade": "four"}',
     "9" * 5000],
)  # fmt: skip
def test_nonsense_is_no_grade(text: str) -> None:
    with pytest.raises(DataError, match="could not be read"):
        read_grade(text, Scale(low=1, high=5))


@pytest.mark.parametrize(
    ("plain", "swapped", "verdict"),
    [(A, B, "first"), (B, A, "second"), (A, A, "tie"), (B, B, "tie"), (TIE, TIE, "tie"), (A, TIE, "tie"),
     (TIE, B, "tie"), ("?", A, None), (B, "?", None)],
)  # fmt: skip
def test_a_win_needs_both_orders(plain: str, swapped: str, verdict: str | None) -> None:
    found = pair_verdict(3, (plain, swapped))
    assert (found.row, found.verdict) == (3, verdict)
    assert len(found.problems) == [plain, swapped].count("?")


def test_a_problem_of_asking_is_told() -> None:
    found = pair_verdict(0, (None, A), ("the context is full", ""))
    assert found.problems == ["the judge gave no verdict: the context is full"]


def test_scales() -> None:
    scale = parse_scale(" 1 - 5 ")
    assert (str(scale), scale.grades, scale.share(4)) == ("1-5", [1, 2, 3, 4, 5], 0.75)
    assert [scale.grade(scale.share(one)) for one in scale.grades] == scale.grades
    for bad in ("", "5", "5-1", "3-3", "1-100", "a-b", "-1-5"):
        with pytest.raises(InputError, match="scale"):
            parse_scale(bad)
