"""The search among candidates that write text: what each is asked, and when its cost is measured.

Which of them go on is decided by search. Every answer is a step of the store, so that an interrupted search goes on,
and what was answered in a round is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from linnet.core.errors import InputError
from linnet.core.events import Event
from linnet.core.files import canonical
from linnet.engines.requests.asking import Prediction
from linnet.metrics import judging
from linnet.metrics.bootstrap import Drawing
from linnet.pipeline.candidates_plan import Planned, Way
from linnet.pipeline.search import Round, Searched, halve, shares
from linnet.pipeline.text_candidates import Made, Whole, Work, as_made, convert_all, judged, measured
from linnet.pipeline.trials import Tried, try_out
from linnet.stages.answer import answer, read_predictions
from linnet.stages.choose import over_budget
from linnet.text.questions import Question
from linnet.text.splits import rank


@dataclass(slots=True)
class _Asking:
    """Answers to validation questions so far, by candidate and place; asked in an order that the seed decides."""

    work: Work
    questions: list[Question]
    order: list[int]
    known: dict[str, dict[int, Prediction]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def ask(self, made: Made, size: int) -> None:
        """Ask the first so many that were not asked yet, and add the seconds that it took, whenever that was."""
        known = self.known.setdefault(made.name, {})
        new = sorted(place for place in self.order[:size] if place not in known)
        if not new or made.source is None:
            return
        how = made.prompting, self.work.decoding()
        step = answer(self.work.store, made.source, [self.questions[p] for p in new], *how, self.work.on_event)
        known.update(zip(new, read_predictions(step), strict=True))
        self.seconds[made.name] = self.seconds.get(made.name, 0.0) + step.run.seconds

    def judge(self, made: Made, size: int) -> judging.Judgement:
        """The metric on the first so many."""
        chosen = [(self.known[made.name][place], self.questions[place]) for place in self.order[:size]]
        given = judging.Given(self.work.schema(), (), [question.example for _, question in chosen])
        references = [question.references for _, question in chosen]
        return judging.judge(self.work.metrics[0], [one.text for one, _ in chosen], references, given)

    def answered(self, name: str) -> dict[int, Prediction]:
        """Those that need not be asked again: a question without an answer is."""
        return {place: one for place, one in self.known.get(name, {}).items() if one.text is not None}


def tried_out(work: Work, ways: Sequence[Way]) -> Tried:
    """The trainings cut down to those that are worth running whole; all of them in an exhaustive search."""
    if work.task.search.strategy != "halving":
        return Tried(tuple(ways))
    asking = _asking(work)
    return try_out(work, ways, lambda made: _rounds(work, asking, made, shares(len(asking.questions))))


def search(
    work: Work, planned: Planned, tried: Tried, wholes: Sequence[Whole]
) -> tuple[list[Made], list[Made], Searched]:
    """The candidates that answered everything, judged on both splits and measured; those that were dropped, without
    either; and how they were found.

    `wholes` are of the ways that are left after `tried`; what the plan excludes is told beside them. Raises InputError
    when every candidate breaks a limit, with the number of each, and GateFailed when no type passes its gate.
    """
    excluded = planned.excluded
    asking, halves = _asking(work), work.task.search.strategy == "halving"
    unable = {one.way.label: why for one in wholes if (why := _problem(asking, as_made(work, one)))}
    failed = {w.candidate(kind): unable[w.label] for w in _ways(wholes) if w.label in unable for kind in w.kinds}
    able = [one for one in wholes if one.way.label not in unable]
    rounds = _method_rounds(work, asking, able) if halves else []
    behind = {name for one in rounds for name in one.dropped}
    going_on = [one for one in able if one.way.candidate(one.way.kinds[0]) not in behind]
    candidates, broken = convert_all(work, going_on) if going_on else ([], {})
    fitting, over = _within_limits(work, candidates)
    failed |= broken | over
    if not fitting:
        told = "; ".join(f"{name}: {why}" for name, why in {**excluded, **failed}.items())
        raise InputError(f"No candidate fits. {told}.", "Relax [budget], or add smaller candidates.")
    if halves and len(fitting) > 1:
        rounds += _rounds(work, asking, fitting, shares(len(asking.questions)))
    found = Searched(
        strategy=work.task.search.strategy, questions=len(asking.questions), excluded=excluded, failed=failed,
        candidates=[*(way.candidate(kind) for way in planned.ways for kind in way.kinds), *excluded],
        rounds=[*tried.rounds, *rounds],
    )  # fmt: skip
    for name, why in found.dropped.items():
        work.on_event(Event("note", "evaluate", f"{name} is left out: {why}"))
    left = [judged(work, one, asking.answered(one.name)) for one in fitting if one.name not in found.dropped]
    unmade = [*tried.dropped, *(one for whole in able for one in _unmade(work, whole))]
    every = {one.name: one for one in [*unmade, *fitting]}
    dropped = [every[name] for name in found.dropped]
    return [one if one.footprint else measured(work, one) for one in left], dropped, found


def _unmade(work: Work, whole: Whole) -> list[Made]:
    """The candidates of a way whose types were not made."""
    own = as_made(work, whole)
    kinds = whole.way.kinds
    return [replace(own, name=whole.way.candidate(kind), quantization=kind, source=None) for kind in kinds]


def _method_rounds(work: Work, asking: _Asking, wholes: Sequence[Whole]) -> list[Round]:
    """The first two shares, asked of each base by each method in its own type: the types of a way that is surely
    behind need not be made. Not where a cost is limited, for the best way may break the limit in every type."""
    sizes = shares(len(asking.questions))[:-1][:2]
    if not sizes or len(wholes) < 2 or _is_limited(work):
        return []
    rounds = _rounds(work, asking, [as_made(work, one) for one in wholes], sizes)
    kinds = {one.way.candidate(one.kind): [one.way.candidate(kind) for kind in one.way.kinds] for one in wholes}
    return [
        one.model_copy(
            update={"of": "methods", "dropped": {name: why for way, why in one.dropped.items() for name in kinds[way]}}
        )
        for one in rounds
    ]


def _ways(wholes: Sequence[Whole]) -> list[Way]:
    return [one.way for one in wholes]


def _asking(work: Work) -> _Asking:
    questions, salt = work.questions("validation"), f"{work.task.data.seed}\nsearch"
    order = sorted(range(len(questions)), key=lambda p: rank(salt, canonical(questions[p].identity()).decode()))
    return _Asking(work, questions, order)


def _problem(asking: _Asking, made: Made) -> str:
    """Why a base cannot be asked (no chat template); "" when it can. What was trained is not in doubt."""
    if made.tuned is not None:
        return ""
    try:
        asking.ask(made, shares(len(asking.questions))[0])
    except InputError as error:
        asking.work.on_event(Event("warning", "evaluate", f"{made.name}: {error.message}"))
        return error.message
    return ""


def _is_limited(work: Work) -> bool:
    """Whether `[budget]` limits what a candidate costs once it is there."""
    return any(limit is not None for name, limit in work.task.budget if name != "train_minutes")


def _within_limits(work: Work, candidates: Sequence[Made]) -> tuple[list[Made], dict[str, str]]:
    """Those within `[budget]`, measured; and what speaks against the others. Where nothing is limited all are, and
    nothing is measured yet. What breaks a limit must not be what the others are compared with."""
    if not _is_limited(work):
        return list(candidates), {}
    made = [measured(work, one) for one in candidates]
    over = {one.name: over_budget(one.footprint, work.task.budget) for one in made if one.footprint}
    return [one for one in made if not over[one.name]], {name: why for name, why in over.items() if why}


def _rounds(work: Work, asking: _Asking, candidates: Sequence[Made], sizes: Sequence[int]) -> list[Round]:
    by_name = {one.name: one for one in candidates}
    groups = [asking.questions[place].group or f"row {asking.questions[place].row}" for place in asking.order]
    grouped = any(one.group for one in asking.questions)
    drawing = Drawing(seed=work.task.data.seed, groups=groups if grouped else None)

    def ask(name: str, size: int) -> tuple[judging.Judgement, float]:
        asking.ask(by_name[name], size)
        return asking.judge(by_name[name], size), asking.seconds.pop(name, 0.0)

    return halve(list(by_name), sizes, ask, work.task.quality.max_loss, drawing)
