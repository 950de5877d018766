"""Short trainings before long ones: an eighth of each, answers to some validation questions, and who is surely behind
is not trained further (successive halving, Jamieson and Talwalkar 2016, over trainings).

A trial has the recipe of the whole training but its length, so that its rate falls to zero too: what stopped in the
middle of a schedule would be judged by how far it still had to go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from linnet.core.events import Event
from linnet.core.files import canonical
from linnet.pipeline.candidates_plan import Way
from linnet.pipeline.search import TRAININGS, Round
from linnet.pipeline.text_candidates import Made, Whole, Work, as_made, merge_all, tune_all, whole_models
from linnet.stages.tune import DecoderJob
from linnet.text.splits import rank

SHARE = 8
WORTH_SECONDS = 300.0  # what may be saved: below it, trials take about as long as they save

# The rounds of these candidates, and the reason for each that is left out, by name.
Judge = Callable[[Sequence[Made]], list[Round]]


@dataclass(frozen=True, slots=True)
class Tried:
    """The ways that are trained whole, the rounds in which the others fell behind, and those as candidates."""

    ways: tuple[Way, ...]
    rounds: tuple[Round, ...] = ()
    dropped: tuple[Made, ...] = field(default=())


def worth(ways: Sequence[Way]) -> bool:
    """Whether the trainings that may be saved are forecast to take longer than trials are worth."""
    seconds = [way.seconds for way in ways if way.job is not None]
    return len(seconds) > 1 and sum(seconds) - max(seconds) > WORTH_SECONDS


def try_out(work: Work, ways: Sequence[Way], judge: Judge) -> Tried:
    """An eighth of every training, judged. Where a cost is limited too: a training changes no cost."""
    if not worth(ways):
        return Tried(tuple(ways))
    trained = [way for way in ways if way.job is not None]
    minutes = sum(way.seconds for way in trained) / 60
    told = f"{len(trained)} trainings, {minutes:.0f} minutes together: an eighth of each first"
    work.on_event(Event("note", "tune", told))
    short = [replace(way, job=trial(way.job), label=f"{way.label}-trial") for way in trained if way.job is not None]
    wholes = whole_models(work, short, merge_all(work, tune_all(work, short)))
    made = {as_made(work, one).name: (way, one) for way, one in zip(trained, wholes, strict=True)}
    rounds = judge([as_made(work, one) for _, one in made.values()])
    behind = {name: why for one in rounds for name, why in one.dropped.items()}
    gone = {way.label: _candidates(work, *made[name]) for name in behind for way, _ in [made[name]]}
    for name, why in behind.items():
        work.on_event(Event("note", "tune", f"{made[name][0].label} is not trained whole: {why}"))
    return Tried(
        tuple(way for way in ways if way.label not in gone),
        tuple(_of_whole(one, {name: way for name, (way, _) in made.items()}) for one in rounds),
        tuple(one for found in gone.values() for one in found),
    )


def trial(job: DecoderJob) -> DecoderJob:
    """The training cut to an eighth of its steps: one pass over the rows, or over a part that the seed draws."""
    from linnet.training.targets import Targets

    data, recipe = job.data, job.recipe.model_copy(update={"epochs": 1})
    count = min(len(data.train), -(-len(data.train) * job.recipe.epochs // SHARE))
    salt = f"{recipe.seed}\ntrial"
    keys = [rank(salt, canonical([turn.message() for turn in chat.turns]).decode()) for chat in data.train]
    places = sorted(sorted(range(len(keys)), key=keys.__getitem__)[:count])
    learned, held = data.targets
    cut = replace(
        data,
        train=tuple(data.train[place] for place in places),
        targets=(Targets(tuple(learned.examples[place] for place in places)), held),
        report=data.report | {"trial": {"rows": count, "of": len(data.train)}},
    )
    return replace(job, data=cut, recipe=recipe, request={**job.request, "recipe": recipe.to_json()})


def _candidates(work: Work, way: Way, whole: Whole) -> list[Made]:
    """What the way would have become: for the report, without a model."""
    own = replace(as_made(work, whole), source=None, tuned=None, gates=())
    return [replace(own, name=way.candidate(kind), quantization=kind) for kind in way.kinds]


def _of_whole(one: Round, ways: dict[str, Way]) -> Round:
    """The round with the names of the candidates that it leaves out."""
    dropped = {
        ways[name].candidate(kind): f"after an eighth of its training, {why}"
        for name, why in one.dropped.items()
        for kind in ways[name].kinds
    }
    return one.model_copy(update={"of": TRAININGS, "dropped": dropped})
