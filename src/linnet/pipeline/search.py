"""Which candidates to go on asking: successive halving on the validation questions, with paired differences.

All answer a small share; of the worse half those go that are surely too far behind; the rest answer twice the share,
until the last ones have answered all (after Jamieson and Talwalkar 2016, who halve without a test). Knows no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from linnet.core.errors import DataError
from linnet.core.records import Choice, Interval, Record
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.judging import HUNDREDS, Judgement, difference, points
from linnet.metrics.significance import paired_share_interval

FEWEST, FIRST_SHARE = 20, 8
TRAININGS = "trainings"  # `Round.of`: an eighth of each training, in its own type

# The metric of a candidate on the first so many questions, in an order that is the same for all; and the seconds taken.
Ask = Callable[[str, int], tuple[Judgement, float]]


class Round(Record):
    """One share: how many of the questions, the score of each that was asked, and why some were left out after it.

    `of`: "trainings" where an eighth of each training is asked, "methods" where each base by each method is asked in
    its own type alone, else "candidates".
    """

    questions: int
    of: str = "candidates"
    scores: dict[str, float]
    dropped: dict[str, str]
    seconds: float


class Searched(Record):
    """How the candidates were searched. `candidates` are all that were thought of, in their order.

    `excluded` by the plan, `failed` at a gate or a limit, `dropped` by a round: each name with its reason.
    """

    strategy: str
    questions: int
    candidates: list[str]
    excluded: dict[str, str] = Field(default={})
    failed: dict[str, str] = Field(default={})
    rounds: list[Round] = Field(default=[])

    @property
    def dropped(self) -> dict[str, str]:
        return {name: why for one in self.rounds for name, why in one.dropped.items()}

    def told(self, choice: Choice | None = None) -> dict[str, Any]:
        """For report.json."""
        rounds = [one.to_json() | {"share": round(one.questions / max(self.questions, 1), 4)} for one in self.rounds]
        found = {
            **self.to_json(),
            "rounds": rounds,
            "dropped": self.dropped,
            "seconds": round(sum(one.seconds for one in self.rounds), 2),
            "trainings": self.trainings(),
        }
        if choice is not None:
            found |= {"front": choice.front, "choice": choice.candidate, "reasons": choice.reasons}
        return found

    def trainings(self) -> str:
        """How much of the trainings ran, in a sentence."""
        tried = [one for one in self.rounds if one.of == TRAININGS]
        if not tried:
            return "Trainings ran whole."
        gone = len({why for one in tried for why in one.dropped.values()})
        return f"An eighth of each of {len(tried[0].scores)} trainings ran first; {gone} of them did not go on."

    def told_in(self, choice: Choice) -> Choice:
        """The choice with what was left out on the way to it."""
        rejected = {**choice.rejected, **self.failed, **self.excluded, **self.dropped}
        return choice.model_copy(update={"rejected": rejected, "reasons": f"{self.in_words()} {choice.reasons}"})

    def in_words(self) -> str:
        """How many were left out where, in one paragraph."""
        early = sum(len(r.dropped) for r in self.rounds if r.questions < self.questions or r.of == TRAININGS)
        whole = len(self.candidates) - len(self.excluded) - len(self.failed) - early
        said = [f"{len(self.candidates)} candidates."]
        if self.excluded:
            whose = "its forecast" if len(self.excluded) == 1 else "their forecasts"
            said.append(f"{_were(self.excluded)} left out before anything ran, by {whose}.")
        if self.failed:
            said.append(f"{len(self.failed)} failed a gate or a limit.")
        for one in self.rounds:
            if one.dropped:
                after = f"{one.questions} of {self.questions} questions"
                after = f"an eighth of the training and {after}" if one.of == TRAININGS else after
                said.append(f"{_were(one.dropped)} surely too far behind after {after}.")
        return " ".join([*said, f"{whole} answered all {self.questions} validation questions."])


def whole_search(
    names: Sequence[str], questions: int, excluded: dict[str, str], failed: dict[str, str] | None = None
) -> Searched:
    """A search in which every candidate that was made, by name, answered all questions."""
    failed = failed or {}
    every = [*names, *excluded, *failed]
    return Searched(
        strategy="exhaustive", questions=questions, candidates=every, excluded=excluded, failed=failed
    )  # fmt: skip


def _were(names: dict[str, str]) -> str:
    return f"{len(names)} {'was' if len(names) == 1 else 'were'}"


def shares(count: int) -> list[int]:
    """How many questions are asked in each round: an eighth and at least 20, then twice as many, until all."""
    first = max(FEWEST, math.ceil(count / FIRST_SHARE))
    sizes = [first if 2 * count >= 3 * first else count]
    while sizes[-1] < count:
        # A last round that would add less than a third is not worth opening every model again.
        sizes.append(2 * sizes[-1] if 8 * sizes[-1] <= 3 * count else count)
    return sizes


def halve(names: Sequence[str], sizes: Sequence[int], ask: Ask, margin: float, drawing: Drawing) -> list[Round]:
    """The rounds. After each, of the worse half those are dropped whose loss against the best is surely above `margin`,
    a share from 0 to 1: the whole 95 % interval of the paired difference lies beyond it. The best is never dropped.

    `drawing.groups` is one label a question, in the order in which they are asked.
    """
    left, made = list(names), []
    for size in sizes:
        if len(left) == 1 and size < sizes[-1]:
            continue
        found, seconds = {}, 0.0
        for name in left:
            found[name], taken = ask(name, size)
            seconds += taken
        scores = {name: points(one.metric, value_of(one)) / 100 for name, one in found.items()}
        order = sorted(left, key=lambda name: -scores[name])  # stable: equal ones stay in the order of the task
        cut = Drawing(drawing.seed, groups=None if drawing.groups is None else drawing.groups[:size])
        dropped = {}
        for name in order[math.ceil(len(order) / 2) :]:
            loss = behind(found[name], found[order[0]], cut)
            if loss is not None and loss.high < -margin:
                dropped[name] = (
                    f"on {size} questions {-100 * loss.value:.1f} points behind {order[0]} "
                    f"(95 %: {-100 * loss.high:.1f} to {-100 * loss.low:.1f})"
                )
        left = [name for name in left if name not in dropped]
        made.append(Round(questions=size, scores=scores, dropped=dropped, seconds=round(seconds, 2)))
    return made


def value_of(one: Judgement) -> float:
    """The metric over all questions that count; 0 when none does."""
    import numpy as np

    from linnet.metrics.statistic import statistic_of

    rows = [one.rows[place] for place in one.counted]
    return float(statistic_of(one.statistic, rows)(np.ones((1, len(rows))))[0]) if rows else 0.0


def behind(one: Judgement, best: Judgement, drawing: Drawing) -> Interval | None:
    """`one` - `best` on the same questions with its 95 % interval, from 0 to 1; None where it has none."""
    if one.is_share and best.is_share and drawing.groups is None:
        both = [place for place in one.counted if best.rows[place]]
        pairs = [(one.rows[place][0], best.rows[place][0]) for place in both]
        if not pairs:
            return None
        return paired_share_interval(sum(a > b for a, b in pairs), sum(a < b for a, b in pairs), len(pairs))
    try:
        found, _ = difference(one, best, drawing)
    except DataError:
        return None
    scale = 100 if one.metric in HUNDREDS else 1
    return Interval(value=found.value / scale, low=found.low / scale, high=found.high / scale)
