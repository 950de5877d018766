"""What a judge wrote, read as a verdict on two answers or as a grade of one. Nothing is guessed. Knows no model.

A verdict on a pair counts for one answer only when it names that answer in both orders; else it is a tie.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from linnet.core.errors import DataError, InputError
from linnet.core.records import Record
from linnet.metrics.extraction import read_answer
from linnet.metrics.scores import Scores

VERSION = "1"
MOST_GRADES = 21
UNREAD = "the judge's verdict could not be read: not counted"
Side = Literal["first", "second", "tie"]
PLACES = ("A", "B", "tie")
_SCALE = re.compile(r"(\d{1,3})\s*-\s*(\d{1,3})")
_SWAPPED: dict[str, Side] = {"A": "second", "B": "first", "tie": "tie"}
_SHOWN: dict[str, Side] = {"A": "first", "B": "second", "tie": "tie"}


class Scale(Record):
    """Whole grades from `low` to `high`, both possible; the higher the better."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"

    @property
    def grades(self) -> list[int]:
        """Every grade, the lowest first."""
        return list(range(self.low, self.high + 1))

    def share(self, grade: int) -> float:
        """The grade as a share of the scale: 0 the lowest, 1 the highest."""
        return (grade - self.low) / (self.high - self.low)

    def grade(self, share: float) -> int:
        """The grade that has this share of the scale."""
        return round(self.low + share * (self.high - self.low))


def parse_scale(text: str) -> Scale:
    """'1-5' as a scale. Raises InputError for anything else, and for more than MOST_GRADES grades."""
    found = _SCALE.fullmatch(text.strip())
    if found is None or not int(found[1]) < int(found[2]):
        raise InputError(f"{text[:40]!r} is no scale.", "Write the lowest and the highest grade: --scale 1-5")
    scale = Scale(low=int(found[1]), high=int(found[2]))
    if len(scale.grades) > MOST_GRADES:
        raise InputError(f"The scale {scale} has {len(scale.grades)} grades: at most {MOST_GRADES} are possible.")
    return scale


class Graded(Record):
    """A judge's grades of all answers as shares of the scale. `judge` is what it was: model, rubric, scale."""

    scores: Scores
    judge: dict[str, str]


class PairVerdict(Record):
    """A judge's verdict on two answers. `plain`: with the first answer in place A; `swapped`: in place B; None where
    it could not be read or nothing was asked. `verdict` is None when it does not count.

    `why` says what decided: "judge", "same" (equal texts) or "no answer" (one of the two is missing).
    """

    row: int
    plain: Side | None = None
    swapped: Side | None = None
    verdict: Side | None = None
    why: Literal["judge", "same", "no answer"] = "judge"
    problems: list[str] = Field(default=[])


def read_place(text: str) -> str:
    """'A', 'B' or 'tie': the `verdict` of a JSON object, or the whole text. Raises DataError for all else."""
    found = _value(text, "verdict")
    named = {place.lower(): place for place in PLACES}
    if isinstance(found, str) and (place := named.get(found.strip().lower())):
        return place
    raise DataError(UNREAD)


def read_grade(text: str, scale: Scale) -> int:
    """A grade of the scale: the `grade` of a JSON object, or the whole text. Raises DataError for all else."""
    found = _value(text, "grade")
    if isinstance(found, str) and re.fullmatch(r"\s*\d{1,3}\s*", found):
        found = int(found)
    if isinstance(found, int | float) and not isinstance(found, bool) and found in scale.grades:
        return int(found)
    raise DataError(UNREAD)


def _value(text: str, key: str) -> Any:
    try:
        found = read_answer(text)
    except DataError:
        return text
    return found.get(key) if isinstance(found, dict) else found


def pair_verdict(row: int, texts: tuple[str | None, str | None], problems: tuple[str, str] = ("", "")) -> PairVerdict:
    """The verdict of what a judge wrote in both orders, the first with the first answer in place A.

    `problems` are those of asking, told instead of "could not be read" where there are any.
    """
    read: list[str | None] = []
    wrong: list[str] = []
    for text, problem in zip(texts, problems, strict=True):
        try:
            read.append(read_place(text or ""))
        except DataError as error:
            read.append(None)
            wrong.append(f"the judge gave no verdict: {problem}"[:300] if problem else error.message)
    plain = _SHOWN[read[0]] if read[0] else None
    swapped = _SWAPPED[read[1]] if read[1] else None
    verdict: Side | None = None if plain is None or swapped is None else plain if plain == swapped else "tie"
    return PairVerdict(row=row, plain=plain, swapped=swapped, verdict=verdict, problems=wrong)
