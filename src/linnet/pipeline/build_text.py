"""Build a specialist that writes text: prepare, tune, merge, convert, evaluate, choose, pack.

Knows the order and what each stage needs; every decision is a stage's own. Each stage is reused while nothing it
depends on changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.records import Asked, Choice, Decision, Specialist
from linnet.core.store import Step, Store
from linnet.core.task import Task
from linnet.pipeline import text_report
from linnet.pipeline.candidates_plan import plan_candidates
from linnet.pipeline.lineage import CHAT_FILES, base_lineage, data_lineage
from linnet.pipeline.search import Searched
from linnet.pipeline.text_candidates import (
    Made,
    Work,
    baselines,
    bundle,
    convert_all,
    judged_baseline,
    majority,
    merge_all,
    scaled,
    tune_all,
    whole_models,
)
from linnet.pipeline.text_data import prepare_texts
from linnet.pipeline.text_search import search, tried_out
from linnet.stages.choose import choose
from linnet.stages.pack import pack
from linnet.text.questions import Question, turns_of

STAGES = ("prepare", "tune", "merge", "convert", "evaluate", "choose", "pack")


@dataclass(frozen=True, slots=True)
class Stopped:
    """A build that was to end before the pack: the stage, its runs, and what was found so far."""

    stage: str
    runs: tuple[str, ...]
    facts: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """The one line of `--json`."""
        return {"stopped_after": self.stage, "runs": list(self.runs), **self.facts}


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished build of a task that writes text."""

    specialist: Specialist
    folder: Path
    choice: Choice
    reused: bool


def build_text(task: Task, store: Store, on_event: OnEvent = silent, until: str = "") -> Packed | Stopped:
    """Run every stage up to `until`, by default all. Raises any error of the tree; what was finished is kept."""
    if until and until not in STAGES:
        raise InputError(f"No stage is called {until!r}.", f"Known: {', '.join(STAGES)}.")
    started = time.monotonic()
    prepared = prepare_texts(store, task, on_event)
    work = Work(store, task, prepared, on_event)
    if until == "prepare":
        return Stopped(until, (prepared.run.id,), dict(prepared.result))
    planned = plan_candidates(store, task, prepared, on_event)
    tried = tried_out(work, planned.ways)
    tuned = tune_all(work, tried.ways)
    if until == "tune":
        return Stopped(until, tuple(one.step.run.id for one in tuned), {})
    tuned = merge_all(work, tuned)
    if until == "merge":
        return Stopped(until, tuple(one.merged.run.id for one in tuned if one.merged), {})
    wholes = whole_models(work, tried.ways, tuned)
    if until == "convert":
        candidates, failed = convert_all(work, wholes)
        told = {"candidates": [one.name for one in candidates], "failed": failed, "excluded": planned.excluded}
        return Stopped(until, (), told)
    made, dropped, found = search(work, planned, tried, wholes)
    beside = _beside(work)
    if until == "evaluate":
        runs = tuple(one.evaluated["validation"].step.run.id for one in (*made, *beside))
        return Stopped(until, runs, {"validation": _values(work, (*made, *beside))})
    choice, chosen = _chosen(work, made, beside, found)
    if until == "choose":
        return Stopped(until, (chosen.run.id,), {"choice": choice.to_json()})
    return _packed(work, ((*made, *dropped), beside, found), (choice, chosen), started)


def _values(work: Work, made: Sequence[Made]) -> dict[str, float]:
    metric = work.metrics[0]
    return {one.name: one.metric("validation", metric).value for one in made}


def _beside(work: Work) -> list[Made]:
    """The baselines with their answers on both splits."""
    beside = [found for one in baselines(work) if (found := judged_baseline(work, one)) is not None]
    if work.task.task.kind == "extract":
        beside.append(majority(work))
    return beside


def _chosen(work: Work, made: Sequence[Made], beside: Sequence[Made], found: Searched) -> tuple[Choice, Step]:
    metric = work.metrics[0]
    quality = work.task.quality.model_copy(update={"metric": made[0].evaluated["validation"].evaluation.primary})
    best = max(beside, key=lambda one: one.metric("validation", _primary(one, metric)).value, default=None)
    baseline = None if best is None else (best.name, scaled(best.evaluated["validation"].evaluation))
    contenders = [one.contender() for one in made]
    choice, step = choose(work.store, contenders, baseline, work.task.budget, quality, work.on_event)
    return found.told_in(choice), step


def _primary(one: Made, metric: str) -> str:
    """The metric's name in the record: a user's own is told with its file and function."""
    found = one.evaluated["validation"].evaluation
    return metric if metric in found.metrics else found.primary


def _packed(
    work: Work, made: tuple[Sequence[Made], Sequence[Made], Searched], chosen: tuple[Choice, Step], started: float
) -> Packed:
    candidates, beside, found = made
    choice, step = chosen
    winner = next(one for one in candidates if one.name == choice.candidate)
    parts = text_report.Parts(work, tuple(candidates), tuple(beside), choice, winner, search=found.told(choice))
    draft = _draft(parts, step)

    def documents(full_name: str) -> dict[str, bytes]:
        return text_report.documents(parts, draft, full_name, time.monotonic() - started)

    specialist, folder, reused = pack(work.store, draft, bundle(work, winner), documents, work.on_event)
    return Packed(specialist, folder, choice, reused)


def _draft(parts: text_report.Parts, chosen: Step) -> Specialist:
    """The specialist before it has a version and files."""
    task, winner = parts.work.task, parts.winner
    if winner.footprint is None or winner.base is None:
        raise InputError(f"{winner.name} was not measured.")
    evaluation, decoding = winner.evaluated["test"].evaluation, parts.work.decoding()
    test = evaluation.metric(evaluation.primary)
    baseline: dict[str, Any] = {}
    if (best := parts.best_baseline) is not None:
        value = best.metric("test", best.evaluated["test"].evaluation.primary)
        baseline = {"name": best.name, "value": value.value, "ci95": [value.low, value.high]}
    return Specialist(
        name=task.task.name,
        version=0,
        kind=task.task.kind,
        candidate=winner.name,
        decision=Decision(labels=[]),
        metric={"name": evaluation.primary, "value": test.value, "ci95": [test.low, test.high]},
        baseline=baseline,
        footprint=winner.footprint,
        licence=winner.base.licence,
        files={},
        lineage=_lineage(parts, chosen),
        created="",
        asked=Asked(
            input=task.task.input,
            instruction=task.task.instruction.strip(),
            answer_schema="" if decoding.json_schema is None else json.dumps(decoding.json_schema, ensure_ascii=False),
            max_tokens=decoding.max_tokens,
            shots=_shown(winner),
        ),
    )


def _shown(winner: Made) -> tuple[tuple[str, str], ...]:
    """The turns of the examples that stand before every question of the chosen one."""
    turns = turns_of(Question(row=0, turns=(), references=()), "", winner.prompting.shots)
    return tuple((turn.role, turn.content) for turn in turns)


def _lineage(parts: text_report.Parts, chosen: Step) -> dict[str, Any]:
    """Hashes of everything that the specialist came from."""
    winner, work, tuned, base = parts.winner, parts.work, parts.winner.tuned, parts.winner.base
    assert base is not None  # noqa: S101 checked by the caller
    trained = {} if tuned is None else {"tune": tuned.step.run.id}
    if tuned is not None and tuned.merged is not None:
        trained["merge"] = tuned.merged.run.id
    return {
        "base": base_lineage(base),
        **data_lineage(work.task, work.prepared, CHAT_FILES),
        "runs": {
            "prepare": work.prepared.run.id,
            **trained,
            "evaluate": winner.evaluated["test"].step.run.id,
            "choose": chosen.run.id,
        },
        "settings": {
            "recipe": {} if tuned is None else tuned.step.run.inputs.get("recipe", {}),
            "method": winner.method,
            "budget": work.task.budget.to_json(),
            "quality": work.task.quality.to_json(),
            "asked": [work.task.task.input, work.task.task.instruction.strip()],
            **work.task.report.settings(),
        },
    }
