"""One metric over many examples: a value for each, or words that say why there is none. Knows no metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from linnet.core.errors import DataError
from linnet.core.records import Record

NO_REFERENCE = "there is no reference: not counted"
NO_PREDICTION = "there is no prediction: counted as 0"
EMPTY = "the prediction is empty"
# The prediction and its references to a number, 0 to 1 for most metrics.
ScoreOne = Callable[[str, Sequence[str]], float]


class Score(Record):
    """One example's value; None where there is none. `problem` is empty where all was well."""

    value: float | None
    problem: str = ""


class Scores(Record):
    """A metric over a set: the mean of the `counted` values; None when nothing could be counted.

    `version` names the definition, and the library where one computes it: see `metrics.identity`.
    """

    metric: str
    version: str
    value: float | None
    counted: int
    per_example: list[Score]

    @property
    def problems(self) -> dict[int, str]:
        """What was wrong, by the example's place in the set."""
        return {place: score.problem for place, score in enumerate(self.per_example) if score.problem}


def collect(metric: str, version: str, per_example: Sequence[Score]) -> Scores:
    """The record of these values: their mean over the examples that have one."""
    values = [score.value for score in per_example if score.value is not None]
    return Scores(
        metric=metric,
        version=version,
        value=math.fsum(values) / len(values) if values else None,
        counted=len(values),
        per_example=list(per_example),
    )


def same_length(predictions: Sequence[object], references: Sequence[object]) -> None:
    """Raise DataError unless there is one entry of `references` for each prediction, and at least one."""
    if len(predictions) != len(references):
        raise DataError(
            f"There are {len(predictions)} predictions and {len(references)} references.",
            "Give one prediction for each example; None where there is none.",
        )
    if not predictions:
        raise DataError("There is nothing to judge: the set has no examples.")


def checked(value: object) -> float:
    """The value as a finite float. Raises ValueError in words."""
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        number = float(value)
        if math.isfinite(number):
            return number
        raise ValueError(f"gave {number}, need a finite number")
    raise ValueError(f"gave {type(value).__name__}, need a number")


def score_each(
    metric: tuple[str, str],
    score: ScoreOne,
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    *,
    strict: bool = False,
) -> Scores:
    """Judge every prediction against its references. `metric` is name and version.

    A missing prediction counts as 0; an example without references, or whose scoring raises, is not counted. Each
    says so in its `problem`. `strict` stops at the first that is not counted. Raises DataError for that, and when the
    two lists differ in length or are empty.
    """
    same_length(predictions, references)
    found: list[Score] = []
    for place, (prediction, wanted) in enumerate(zip(predictions, references, strict=True)):
        one = _score_one(score, prediction, wanted)
        if strict and one.value is None:
            raise DataError(f"Example {place}: {one.problem}.", "Repair the example, or let the metric leave it out.")
        found.append(one)
    return collect(*metric, found)


def _score_one(score: ScoreOne, prediction: str | None, references: Sequence[str]) -> Score:
    if isinstance(references, str):
        return Score(value=None, problem="the references are one text, need a list of texts: not counted")
    if not references or any(not isinstance(reference, str) for reference in references):
        return Score(value=None, problem=NO_REFERENCE)
    if prediction is None:
        return Score(value=0.0, problem=NO_PREDICTION)
    try:
        value = checked(score(prediction, references))
    except Exception as error:  # a metric may be anybody's code
        return Score(value=None, problem=f"the metric raised {type(error).__name__}: {str(error)[:200]}: not counted")
    return Score(value=value, problem="" if prediction.strip() or value >= 1 else EMPTY)
