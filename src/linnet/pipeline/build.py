"""Build: from task.toml to a specialist, stage by stage. Each stage is reused while nothing it depends on changed.

Knows the order and what each stage needs; every decision is a stage's own.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, NotFound
from linnet.core.events import OnEvent, silent
from linnet.core.records import Choice, Model, Specialist
from linnet.core.store import Step, Store
from linnet.core.task import Task, read_task
from linnet.formats.resolve import resolve_model
from linnet.pipeline import report
from linnet.pipeline.build_tag import build_tagger
from linnet.pipeline.build_text import Stopped, build_text
from linnet.pipeline.candidates import decision_of, make_baselines, make_candidates, plan_trainings
from linnet.pipeline.decoder_candidates import make_decoders
from linnet.pipeline.lineage import LABEL_FILES, base_lineage, data_lineage
from linnet.pipeline.search import whole_search
from linnet.pipeline.text_reference import check_reference
from linnet.stages.choose import choose
from linnet.stages.pack import pack
from linnet.stages.prepare import prepare
from linnet.stages.pull import PullOptions, pull

STAGES = ("prepare", "evaluate", "choose", "pack")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished build: the specialist, its folder and report, and what `linnet build --json` prints."""

    specialist: Specialist
    folder: Path
    choice: Choice
    reused: bool
    seconds: float

    @property
    def report_path(self) -> Path:
        return self.folder / "report.html"

    def summary(self) -> dict[str, Any]:
        """The one line of `--json`."""
        footprint = self.specialist.footprint
        return {
            "specialist": self.specialist.full_name,
            "metric": self.specialist.metric,
            "baseline": self.specialist.baseline,
            "chosen": {
                "candidate": self.choice.candidate,
                "size_bytes": footprint.size_bytes,
                "latency_ms_p95": footprint.latency_ms_p95,
                "reason": self.choice.reason,
            },
            "front": self.choice.front,
            "reasons": self.choice.reasons,
            "recommends_baseline": self.choice.recommends_baseline,
            "warnings": self.choice.warnings,
            "reused": self.reused,
            "report": str(self.report_path),
            "seconds": round(self.seconds, 2),
        }


def build(task: Task | str | Path, store: Store | None = None, on_event: OnEvent = silent) -> BuildResult:
    """Run every stage that has something to do, and pack the chosen candidate.

    Raises any error of the tree; what was finished before it is kept, and the next build goes on from there.
    """
    found = build_until(task, "", store, on_event)
    assert isinstance(found, BuildResult)  # noqa: S101 nothing stops it
    return found


def build_until(
    task: Task | str | Path, until: str = "", store: Store | None = None, on_event: OnEvent = silent
) -> BuildResult | Stopped:
    """`build` up to a stage; "" for all. Raises InputError for a stage that this kind does not have."""
    started = time.monotonic()
    task = task if isinstance(task, Task) else read_task(Path(task))
    check_reference(task.report)
    store = store or Store()
    if task.task.kind != "classify":
        if task.task.kind == "tag":
            found = build_tagger(task, store, _bases(store, task, on_event), on_event, until)
        else:
            found = build_text(task, store, on_event, until)
        if isinstance(found, Stopped):
            return found
        return BuildResult(found.specialist, found.folder, found.choice, found.reused, time.monotonic() - started)
    return _build_classifier(task, store, on_event, until)


def _build_classifier(task: Task, store: Store, on_event: OnEvent, until: str) -> BuildResult | Stopped:
    if until and until not in STAGES:
        raise InputError(f"No stage is called {until!r} when a classifier is built.", f"Known: {', '.join(STAGES)}.")
    started = time.monotonic()
    encoders, decoders = _bases(store, task, on_event)
    prepared = prepare(store, task, on_event)
    if until == "prepare":
        return Stopped(until, (prepared.run.id,), dict(prepared.result))
    decision = decision_of(task, prepared)
    baselines = make_baselines(store, prepared, decision, on_event)
    trainings, excluded = plan_trainings(store, task, encoders, prepared)
    candidates = make_candidates(store, task, trainings, prepared, decision, on_event)
    more, also, failed = make_decoders(store, task, decoders, prepared, decision, on_event)
    candidates, excluded = candidates + more, excluded | also
    if not candidates:
        told = "; ".join(f"{name}: {why}" for name, why in (excluded | failed).items())
        raise InputError(f"No candidate can fit. {told}.", "Relax [budget], or add smaller candidates.")
    if until == "evaluate":
        found = {c.name: c.evaluations["validation"].metric(task.quality.metric).value for c in candidates}
        return Stopped(until, tuple(c.evaluated.run.id for c in candidates), {"validation": found})
    linear = next(b for b in baselines if b.name == "tfidf_logistic")
    contenders = [c.contender() for c in candidates]
    choice, chosen_step = choose(
        store, contenders, (linear.name, linear.evaluations["validation"]), task.budget, task.quality, on_event
    )
    # Labels are quick to give: nobody is left out early.
    questions = int(prepared.result["counts"]["validation"])
    choice = whole_search([one.name for one in candidates], questions, excluded, failed).told_in(choice)
    if until == "choose":
        return Stopped(until, (chosen_step.run.id,), {"choice": choice.to_json()})
    winner = next(c for c in candidates if c.name == choice.candidate)
    made = report.Made(task, prepared, candidates, baselines, choice, winner, store.root, on_event)
    draft = _draft(made, chosen_step)

    def documents(full_name: str) -> dict[str, bytes]:
        return report.documents(made, draft, full_name, time.monotonic() - started)

    specialist, folder, reused = pack(store, draft, winner.engine, documents, on_event)
    return BuildResult(specialist, folder, choice, reused, time.monotonic() - started)


def _bases(store: Store, task: Task, on_event: OnEvent) -> tuple[list[Model], list[str]]:
    """Encoders, and the names of decoders. A name that is not here is pulled, as an encoder."""
    encoders: list[Model] = []
    decoders: list[str] = []
    for name in task.candidates.models:
        with suppress(NotFound):
            if resolve_model(store, name).kind == "decoder":
                decoders.append(name)
                continue
        encoders.append(pull(store, name, on_event, PullOptions(kind="encoder"))[0])
    return encoders, decoders


def _draft(made: report.Made, chosen: Step) -> Specialist:
    """The specialist before it has a version and files."""
    winner, metric = made.winner, made.task.quality.metric
    linear = next(b for b in made.baselines if b.name == "tfidf_logistic")
    test, base_test = getattr(winner.evaluations["test"], metric), getattr(linear.evaluations["test"], metric)
    return Specialist(
        name=made.task.task.name,
        version=0,
        kind="classify",
        candidate=winner.name,
        decision=winner.decision,
        metric={"name": metric, "value": test.value, "ci95": [test.low, test.high]},
        baseline={"name": linear.name, "value": base_test.value, "ci95": [base_test.low, base_test.high]},
        footprint=winner.footprint,
        licence=winner.base.licence,
        files={},
        lineage=lineage(made, chosen),
        created="",
    )


def lineage(made: report.Made, chosen: Step) -> dict[str, Any]:
    """Hashes of everything that the specialist came from."""
    winner, prepared = made.winner, made.prepared
    return {
        "base": base_lineage(winner.base),
        **data_lineage(made.task, prepared, LABEL_FILES),
        "runs": {
            "prepare": prepared.run.id,
            "tune": winner.tuned.run.id,
            "quantize": winner.quantized.run.id,
            "evaluate": winner.evaluated.run.id,
            "choose": chosen.run.id,
        },
        "settings": {
            "recipe": winner.tuned.result["recipe"],
            "budget": made.task.budget.to_json(),
            "quality": made.task.quality.to_json(),
            **made.task.report.settings(),
        },
    }
