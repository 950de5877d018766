"""Compare evaluations: which is better, by how much, and whether the difference is real.

Only evaluations under one identity are compared. Two are paired on the same draws of the same examples; where each
example is right or wrong McNemar's test decides; of more than two each is compared with the first, by Holm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, NotFound
from linnet.core.events import OnEvent, silent
from linnet.core.files import read_json
from linnet.core.records import Interval, Record, TaskEvaluation
from linnet.core.runs import find_run
from linnet.core.store import Store
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.identity import EvaluationIdentity, refuse_unless_comparable
from linnet.metrics.judging import HUNDREDS, LOWER, Judgement, difference, points
from linnet.metrics.power import detectable_paired
from linnet.metrics.significance import holm, mcnemar, non_inferiority, paired_share_interval
from linnet.pipeline.evaluate import EvaluateOptions, evaluate
from linnet.stages.evaluate import judgement_in

ALPHA = 0.05
MOST = 20


class Compared(Record):
    """Two evaluations by one metric. difference: second - first, with its 95 % interval; p_value is adjusted by Holm
    where more were compared. `better` is the name of the better one when the difference is real, else empty.

    only_first and only_second count examples that one alone got right, where each is right or wrong.
    """

    metric: str
    first: str
    second: str
    first_value: float
    second_value: float
    difference: Interval
    p_value: float
    test: str
    better: str
    examples: int
    only_first: int | None = None
    only_second: int | None = None
    sentence: str
    loss: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One evaluation as it lies in the store."""

    name: str
    evaluation: TaskEvaluation
    judgement: Judgement
    groups: tuple[str, ...] | None = None


def compare(
    names: Sequence[str],
    data: str | Path = "",
    options: EvaluateOptions | None = None,
    *,
    metric: str = "",
    max_loss: float | None = None,
    pairs: bool = False,
    store: Store | None = None,
    on_event: OnEvent = silent,
) -> list[Compared]:
    """Compare evaluations by their runs, or models that are evaluated on `data` first.

    The first is the reference that each other one is compared with; with `pairs` every pair is. `max_loss` is a share
    (0.01 is a point) that the others may lose. Raises InputError when identities differ, naming the difference, and
    NotFound.
    """
    sides = sides_of(store or Store(), names, (data, options), metric, on_event)
    return compare_sides(sides, max_loss, pairs=pairs)


def sides_of(
    store: Store,
    names: Sequence[str],
    given: tuple[str | Path, EvaluateOptions | None],
    metric: str = "",
    on_event: OnEvent = silent,
) -> list[Side]:
    """The evaluations of these runs, or of models that are evaluated on the data of `given` first. Raises InputError
    for too few or too many, NotFound, and what evaluating raises."""
    if not 2 <= len(names) <= MOST:
        raise InputError(f"{len(names)} evaluations were named; 2 to {MOST} are compared.")
    if len(set(names)) != len(names):
        raise InputError("The same evaluation was named twice.", "Name different ones.")
    data, options = given
    if data:
        made = [evaluate(name, data, options, store=store, on_event=on_event).step.run.id for name in names]
        return [replace(_side(store, run, metric), name=name) for run, name in zip(made, names, strict=True)]
    return _distinct([_side(store, name, metric) for name in names], names)


def pairs_of(sides: Sequence[Side], *, pairs: bool = False) -> list[tuple[Side, Side]]:
    """Each with the first, or every pair."""
    return list(combinations(sides, 2)) if pairs else [(sides[0], other) for other in sides[1:]]


def compare_sides(sides: Sequence[Side], max_loss: float | None = None, *, pairs: bool = False) -> list[Compared]:
    """`compare` of evaluations that are at hand."""
    chosen = pairs_of(sides, pairs=pairs)
    for one, other in chosen:
        refuse_unless_comparable(identity_of(one), identity_of(other))
    found = [_pair(one, other) for one, other in chosen]
    adjusted = holm({str(place): p for place, (_, _, p, _) in enumerate(found)})
    return [
        _told(*pair, found[place], adjusted[str(place)], (len(chosen), max_loss)) for place, pair in enumerate(chosen)
    ]


def _side(store: Store, name: str, metric: str) -> Side:
    found = find_run(store, name, "evaluate")
    path = found.folder / "evaluation.json"
    if found.run is None or not list(found.folder.glob("judgement-*.json")):
        raise NotFound(
            f"{found.id} holds no answers of a decoder to compare.",
            "Name runs of `linnet evaluate MODEL --data ...`, or two models with --data.",
        )
    evaluation = TaskEvaluation.model_validate_json(path.read_bytes())
    return Side(evaluation.candidate, evaluation, judgement_in(found.folder, metric), _groups(found.folder))


def _groups(folder: Path) -> tuple[str, ...] | None:
    path = folder / "groups.json"
    if not path.is_file():
        return None
    return tuple(read_json(path))


def _distinct(sides: list[Side], names: Sequence[str]) -> list[Side]:
    """Candidates of one name are told apart by their runs."""
    if len({side.name for side in sides}) == len(sides):
        return sides
    return [replace(side, name=f"{side.name} ({name})") for side, name in zip(sides, names, strict=True)]


def identity_of(side: Side) -> EvaluationIdentity:
    """The ruler that this evaluation was made with."""
    return EvaluationIdentity.model_validate(side.evaluation.identities[side.judgement.metric])


Found = tuple[Interval, list[int], float, str]


def _pair(one: Side, other: Side) -> Found:
    """Second - first with its interval, the examples, the p-value and what it was tested with."""
    groups = one.groups if one.groups == other.groups else None
    drawn, places = difference(other.judgement, one.judgement, Drawing(seed=identity_of(one).seed, groups=groups))
    interval = Interval(value=drawn.value, low=drawn.low, high=drawn.high)
    if not (one.judgement.is_share and other.judgement.is_share) or groups is not None:
        return interval, places, drawn.p_value, "paired bootstrap" + (" of groups" if groups is not None else "")
    only_one, only_other = _disagreements(one.judgement, other.judgement, places)
    shares = paired_share_interval(only_other, only_one, len(places))
    return shares, places, min(1.0, mcnemar(only_one, only_other).p_mid), "McNemar"


def _disagreements(one: Judgement, other: Judgement, places: Sequence[int]) -> tuple[int, int]:
    first = sum(one.rows[p][0] > other.rows[p][0] for p in places)
    return first, sum(one.rows[p][0] < other.rows[p][0] for p in places)


def _told(one: Side, other: Side, found: Found, p_value: float, how: tuple[int, float | None]) -> Compared:
    interval, places, _, test = found
    metric, (comparisons, max_loss) = one.judgement.metric, how
    gain = -interval.value if metric in LOWER else interval.value
    real = p_value < ALPHA and interval.value != 0
    better = "" if not real else other.name if gain > 0 else one.name
    shares = _disagreements(one.judgement, other.judgement, places) if test == "McNemar" else (None, None)
    compared = Compared(
        metric=metric,
        first=one.name,
        second=other.name,
        first_value=one.evaluation.metrics[metric].value,
        second_value=other.evaluation.metrics[metric].value,
        difference=interval,
        p_value=p_value,
        test=test + (f", Holm over {comparisons}" if comparisons > 1 else ""),
        better=better,
        examples=len(places),
        only_first=shares[0],
        only_second=shares[1],
        sentence="",
    )
    loss = "" if max_loss is None else _loss(metric, interval, max_loss)
    return compared.model_copy(update={"sentence": in_words(compared), "loss": loss})


def _loss(metric: str, interval: Interval, max_loss: float) -> str:
    if metric in LOWER:
        raise InputError(f"--max-loss is in points; {metric} has none.")
    scale = 100 if metric in HUNDREDS else 1
    told = Interval(value=interval.value / scale, low=interval.low / scale, high=interval.high / scale)
    verdict = non_inferiority(told, max_loss)
    return f"{verdict.verdict}: {verdict.reason}"


def in_words(found: Compared) -> str:
    """'B is better than A by 2.1 points (95 %: 0.4 to 3.9)', or that the difference may be chance."""
    change = found.difference
    size, low, high = (points(found.metric, x) for x in (change.value, change.low, change.high))
    tested = f"p = {_p(found.p_value)}, {found.test}, {found.examples} examples"
    unit, digits = ("", 3) if found.metric in LOWER else (" points", 1)
    if not found.better:
        told = f"{size:+.{digits}f}{unit} of {found.metric} (95 %: {low:.{digits}f} to {high:.{digits}f}; {tested})"
        return f"No difference is shown between {found.first} and {found.second}: {told}.{_unseen(found)}"
    behind = found.first if found.better == found.second else found.second
    if size < 0:
        size, low, high = -size, -high, -low
    limits = f"95 %: {low:.{digits}f} to {high:.{digits}f}"
    if found.metric in LOWER:
        return f"{found.better} is better than {behind}: {found.metric} lower by {size:.3f} ({limits}; {tested})."
    return f"{found.better} is better than {behind} by {size:.1f}{unit} of {found.metric} ({limits}; {tested})."


def _unseen(found: Compared) -> str:
    """What so few examples could not have shown, where each is right or wrong."""
    if found.only_first is None or found.only_second is None or not found.only_first + found.only_second:
        return ""
    return " " + detectable_paired(found.examples, (found.only_first + found.only_second) / found.examples).sentence


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def summary(found: Sequence[Compared]) -> dict[str, Any]:
    """What `linnet compare --json` prints."""
    return {"comparisons": [one.to_json() for one in found]}
