"""What an answer of grpo is worth: the right one, valid JSON, or by a function of the user's in its own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from linnet.core.errors import DataError, GuardStopped
from linnet.metrics.extraction import exact_match, read_answer
from linnet.metrics.user_metric import user_metric
from linnet.text.conversations import named
from linnet.text.preferences import Choice

# (answers, the row of each) -> a number for each, None where there is none.
Reward = Callable[[Sequence[str], Sequence[Choice]], list[float | None]]


def make_reward(name: str) -> Reward:
    """The reward of this name, which `align_plan.reward_name` gave; without one it is never asked.

    It raises GuardStopped when no answer of a call has a value: nothing could be learned from there on.
    """
    if name == "exact":
        return lambda answers, rows: [exact_match(a, [row.reference]) for a, row in zip(answers, rows, strict=True)]
    if name == "json":
        return lambda answers, _: [_is_json(answer) for answer in answers]

    def judged(answers: Sequence[str], rows: Sequence[Choice]) -> list[float | None]:
        examples = [{**row.fields, "prompt": row.asked} for row in rows]
        found = user_metric(name, list(answers), [[row.reference] for row in rows], examples)
        if not found.counted:
            raise GuardStopped(
                f"The reward gave no number for any of {len(answers)} answers: {next(iter(found.problems.values()))}.",
                "Correct the function; the same command goes on from the last checkpoint.",
            )
        return [score.value for score in found.per_example]

    return judged


def check_references(name: str, rows: Sequence[Choice]) -> None:
    """Raise DataError when the reward compares with right answers and rows have none."""
    empty = [row.row for row in rows if not row.reference.strip()]
    if name == "exact" and empty:
        raise DataError(
            f"{named(empty)} no right answer to compare with.",
            "Give one under reference, completion or answer, or name its column: --input QUESTION --output REFERENCE.",
        )


def _is_json(answer: str) -> float:
    try:
        return float(isinstance(read_answer(answer), dict | list))
    except DataError:
        return 0.0
