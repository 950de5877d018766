"""People's verdicts in a file, and how far a judge agrees with them.

A row names an example of the comparison by its `row`, or brings its own texts: question, answer_a and answer_b (or
answer), and reference where there is one. Several verdicts on one example are drawn together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError
from linnet.core.events import OnEvent, silent
from linnet.core.store import Store
from linnet.metrics.agreement import Agreement, agreement
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.grading import Graded, PairVerdict, Scale, Side
from linnet.pipeline.judge import Exchange, Judge, compare_pairs, grade
from linnet.text.conversation_rows import RawRows, read_rows, text_of

SIDES: tuple[Side, ...] = ("first", "second", "tie")
TEXTS = ("question", "reference", "instruction")
_NAMES: dict[str, Side] = {"a": "first", "first": "first", "b": "second", "second": "second", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Human:
    """What a person said of an example: of the row with this number, or of texts of their own."""

    said: Side | int
    row: int = 0
    own: Exchange | None = None


def read_human(path: Path, scale: Scale | None = None) -> list[Human]:
    """People's verdicts, or with `scale` their grades.

    Raises NotFound, or DataError that names file, row and column.
    """
    rows = read_rows(path)
    answers = ("answer",) if scale else ("answer_a", "answer_b")
    by_row, label = "row" in rows.rows[0], "grade" if scale else "verdict"
    needed = (label, "row") if by_row else (label, "question", *answers)
    found = []
    for index in range(len(rows.rows)):
        texts, where = _texts(rows, index, needed), rows.where(index)
        said = _said(texts[label], where, scale)
        if by_row:
            found.append(Human(said, _number(texts["row"], f"{where}: row")))
            continue
        reference = (texts["reference"],) if texts.get("reference") else ()
        shown = tuple(texts[name] for name in answers)
        own = Exchange(index, texts["question"], shown, reference, texts.get("instruction", ""))
        found.append(Human(said, own=own))
    return found


def _texts(rows: RawRows, index: int, needed: Sequence[str]) -> dict[str, str]:
    row, where = rows.rows[index], rows.where(index)
    for name in needed:
        if row.get(name) in (None, ""):
            raise DataError(
                f"{where}: {name} is missing.",
                "A row has row and verdict, or question, answer_a, answer_b and verdict; for grades answer and grade.",
            )
    return {name: text_of(row.get(name), where) for name in {*needed, *TEXTS} if name in row}


def _said(text: str, where: str, scale: Scale | None) -> Side | int:
    if scale is None:
        side = _NAMES.get(text.strip().lower())
        if side is None:
            raise DataError(f"{where}: the verdict {text[:40]!r} is none of A, B and tie.", "Correct the row.")
        return side
    number = _number(text, f"{where}: grade")
    if number not in scale.grades:
        raise DataError(f"{where}: the grade {number} is not on the scale {scale}.", "Correct the row, or --scale.")
    return number


def _number(text: str, where: str) -> int:
    try:
        if (value := float(text)) == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise DataError(f"{where} is {text[:40]!r}: a whole number is needed.", "Correct the row.")


def pair_agreement(
    store: Store, judge: Judge, verdicts: Sequence[Sequence[PairVerdict]], on_event: OnEvent = silent
) -> Agreement:
    """How far the judge's verdicts and people's agree. `verdicts` are those of each comparison.

    Raises InputError for row numbers where there are several comparisons, DataError, and what asking raises.
    """
    people = read_human(Path(judge.human).expanduser())
    if people[0].own is not None:
        said = compare_pairs(store, judge, [one.own for one in people if one.own], on_event)
        found: list[Any] = [one.verdict if one.why == "judge" else None for one in said]
    else:
        if len(verdicts) != 1:
            raise InputError("--human with row numbers needs exactly two candidates.", "Compare two, or give texts.")
        by_row = {one.row: one.verdict if one.why == "judge" else None for one in verdicts[0]}
        found = _of_rows(people, by_row, judge.human)
    return agreement(found, [one.said for one in people], SIDES, "", Drawing(groups=_examples(people)))


def grade_agreement(
    store: Store, judge: Judge, graded: tuple[Graded, Sequence[Exchange]], on_event: OnEvent = silent
) -> Agreement:
    """How far the judge's grades and people's agree, with kappa weighted by squares. Raises as `pair_agreement`."""
    people = read_human(Path(judge.human).expanduser(), scale=judge.scale)
    if people[0].own is not None:
        asked: Sequence[Exchange] = [one.own for one in people if one.own]
        grades = _grades(grade(store, judge, asked, on_event), asked, judge.scale)
        found: list[Any] = list(grades)
    else:
        rows = dict(zip((one.row for one in graded[1]), _grades(*graded, judge.scale), strict=True))
        found = _of_rows(people, rows, judge.human)
    drawing = Drawing(groups=_examples(people))
    return agreement(found, [one.said for one in people], judge.scale.grades, "quadratic", drawing)


def _grades(graded: Graded, asked: Sequence[Exchange], scale: Scale) -> list[int | None]:
    """The grades that the judge gave itself: not those of missing answers."""
    values = [score.value for score in graded.scores.per_example]
    return [
        None if value is None or one.answers[0] is None else scale.grade(value)
        for value, one in zip(values, asked, strict=True)
    ]


def _of_rows(people: Sequence[Human], by_row: Mapping[int, Any], path: str) -> list[Any]:
    if absent := [one.row for one in people if one.row not in by_row]:
        raise DataError(
            f"{path}: row {absent[0]} is none of the {len(by_row)} examples.",
            "`row` is the row number in the examples' file, as in predictions.jsonl of the run.",
        )
    return [by_row[one.row] for one in people]


def _examples(people: Sequence[Human]) -> list[str]:
    return [f"row {one.row}" if one.own is None else repr((one.own.question, one.own.answers)) for one in people]
