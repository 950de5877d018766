"""Build a specialist that tags spans: prepare, tune, quantise, evaluate, choose, pack.

Knows the order and what each stage needs; every decision is a stage's own.
"""

from __future__ import annotations

import time
from typing import Any

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.records import Decision, Model, Specialist
from linnet.core.store import Step, Store
from linnet.core.task import Task
from linnet.pipeline import text_report
from linnet.pipeline.build_text import Packed, Stopped
from linnet.pipeline.candidates import plan_trainings
from linnet.pipeline.lineage import CHAT_FILES, base_lineage, data_lineage
from linnet.pipeline.search import whole_search
from linnet.pipeline.tag_candidates import Tagger, lexicon, make_decoder_taggers, make_taggers
from linnet.pipeline.text_candidates import Work, scaled
from linnet.pipeline.text_data import prepare_texts
from linnet.stages.choose import choose
from linnet.stages.pack import pack

STAGES = ("prepare", "evaluate", "choose", "pack")


def build_tagger(
    task: Task, store: Store, bases: tuple[list[Model], list[str]], on_event: OnEvent = silent, until: str = ""
) -> Packed | Stopped:
    """Run every stage up to `until`, by default all. `bases` are encoders, and names of decoders.

    Raises any error of the tree; what was finished is kept.
    """
    if until and until not in STAGES:
        raise InputError(f"No stage is called {until!r} when a tagger is built.", f"Known: {', '.join(STAGES)}.")
    encoders, decoders = bases
    started = time.monotonic()
    prepared = prepare_texts(store, task, on_event)
    if until == "prepare":
        return Stopped(until, (prepared.run.id,), dict(prepared.result))
    work = Work(store, task, prepared, on_event)
    trainings, excluded = plan_trainings(store, task, encoders, prepared)
    beside, taggers = lexicon(work), make_taggers(work, trainings)
    more, also, failed = make_decoder_taggers(work, decoders)
    taggers, excluded = taggers + more, excluded | also
    if not taggers:
        told = "; ".join(f"{name}: {why}" for name, why in (excluded | failed).items())
        raise InputError(f"No candidate can fit. {told}.", "Relax [budget], or add smaller candidates.")
    metric, made = work.metrics[0], [one.made for one in taggers]
    if until == "evaluate":
        found = {one.name: one.metric("validation", metric).value for one in (*made, beside)}
        return Stopped(until, tuple(one.evaluated["validation"].step.run.id for one in made), {"validation": found})
    baseline = beside.name, scaled(beside.evaluated["validation"].evaluation)
    contenders = [one.contender() for one in made]
    choice, chosen = choose(store, contenders, baseline, task.budget, task.quality, on_event)
    searched = whole_search([one.name for one in made], int(prepared.result["counts"]["validation"]), excluded, failed)
    choice = searched.told_in(choice)
    if until == "choose":
        return Stopped(until, (chosen.run.id,), {"choice": choice.to_json()})
    winner = next(one for one in taggers if one.made.name == choice.candidate)
    parts = text_report.Parts(
        work, tuple(made), (beside,), choice, winner.made, search=searched.told(choice)
    )  # fmt: skip
    draft = _draft(parts, winner, chosen)

    def documents(full_name: str) -> dict[str, bytes]:
        return text_report.documents(parts, draft, full_name, time.monotonic() - started)

    specialist, folder, reused = pack(store, draft, winner.engine, documents, on_event)
    return Packed(specialist, folder, choice, reused)


def _draft(parts: text_report.Parts, winner: Tagger, chosen: Step) -> Specialist:
    """The specialist before it has a version and files."""
    made, beside, metric = winner.made, parts.baselines[0], parts.work.metrics[0]
    assert made.footprint is not None  # noqa: S101 candidates are measured
    assert made.base is not None  # noqa: S101 and made of a base
    test, other = made.metric("test", metric), beside.metric("test", metric)
    return Specialist(
        name=parts.work.task.task.name,
        version=0,
        kind="tag",
        candidate=made.name,
        decision=Decision(labels=list(parts.work.prepared.result["labels"])),
        metric={"name": metric, "value": test.value, "ci95": [test.low, test.high]},
        baseline={"name": beside.name, "value": other.value, "ci95": [other.low, other.high]},
        footprint=made.footprint,
        licence=made.base.licence,
        files={},
        lineage=_lineage(parts, winner, chosen, made.base),
        created="",
    )


def _lineage(parts: text_report.Parts, winner: Tagger, chosen: Step, base: Model) -> dict[str, Any]:
    """Hashes of everything that the specialist came from."""
    work, made = parts.work, winner.made
    assert made.tuned is not None  # noqa: S101 every candidate is trained
    return {
        "base": base_lineage(base),
        **data_lineage(work.task, work.prepared, CHAT_FILES),
        "runs": {
            "prepare": work.prepared.run.id,
            "tune": made.tuned.step.run.id,
            **({"merge": made.tuned.merged.run.id} if made.tuned.merged else {}),
            "quantize": winner.quantized.run.id,
            "evaluate": made.evaluated["test"].step.run.id,
            "choose": chosen.run.id,
        },
        "settings": {
            "recipe": made.tuned.step.result.get("recipe") or made.tuned.step.run.inputs.get("recipe", {}),
            "budget": work.task.budget.to_json(),
            "quality": work.task.quality.to_json(),
        },
    }
