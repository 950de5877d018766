"""What a build of a task that writes text proves: report.json, the page drawn from it, and the model card."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from linnet.core.errors import DataError
from linnet.core.files import read_json
from linnet.core.records import Choice, Specialist
from linnet.engines.planning.hardware import machine
from linnet.engines.requests.asking import Prompting
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.judging import difference
from linnet.pipeline import report_cost
from linnet.pipeline.evaluate import Evaluated, Wish
from linnet.pipeline.export_card import built_card
from linnet.pipeline.tag_data import label_scores
from linnet.pipeline.text_candidates import Made, Work
from linnet.pipeline.text_page import render
from linnet.pipeline.text_reference import Reference, ask_reference
from linnet.stages.choose import over_budget
from linnet.stages.evaluate import judgement
from linnet.version import code_version

WORST = 30
SHOWN = 4000  # characters of one text


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a build made, for the report. `search` is told as it is; `reference` is asked for the report."""

    work: Work
    candidates: tuple[Made, ...]
    baselines: tuple[Made, ...]
    choice: Choice
    winner: Made
    search: dict[str, Any] = field(default_factory=dict)
    reference: Reference | None = None

    @property
    def best_baseline(self) -> Made | None:
        """The baseline that is best on the validation split."""
        return max(
            self.baselines,
            key=lambda one: one.metric("validation", one.evaluated["validation"].evaluation.primary).value,
            default=None,
        )

    @property
    def metric(self) -> str:
        return self.winner.evaluated["test"].evaluation.primary


def documents(parts: Parts, draft: Specialist, full_name: str, seconds: float) -> dict[str, bytes]:
    """report.json, report.html and the card for a specialist under its final name.

    A reference that the task names is asked now: once for each version that is packed.
    """
    parts = replace(parts, reference=_referred(parts.work))
    content = collect(parts, draft, full_name, seconds)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return {
        "report.json": text.encode(),
        "report.html": render(content).encode(),
        "MODEL_CARD.md": built_card(draft, full_name, content),
    }


def _referred(work: Work) -> Reference | None:
    """The reference on the test questions, asked and judged as every candidate."""
    wish = Wish(work.metrics, "test", work.task.data.seed, work.schema())
    how = ((Prompting(), work.decoding()), wish)
    return ask_reference(work.store, work.task.report, work.questions("test"), how, work.on_event)


def collect(parts: Parts, draft: Specialist, full_name: str, seconds: float) -> dict[str, Any]:
    """The whole report as plain values; docs/guide/report.md names the fields."""
    work, winner = parts.work, parts.winner
    test = winner.evaluated["test"].evaluation
    rows = [_row(parts, one) for one in (*parts.candidates, *parts.baselines)]
    front = report_cost.fronts(rows, parts.metric)
    return {
        "schema": 1,
        "kind": draft.kind,
        "specialist": full_name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 2),
        "code_version": code_version(),
        "task": work.task.to_json() | {"folder": None},
        "machine": machine(work.store.root).to_json(),
        "metric": parts.metric,
        "test": test.to_json(),
        "baseline": parts.best_baseline.name if parts.best_baseline else None,
        "choice": parts.choice.to_json(),
        "candidates": [*rows, *_reference_row(parts)],
        "front": front["all"],
        "front_by": {name: front[name] for name in ("size", "latency")},
        "reference": parts.reference.told() if parts.reference else None,
        "search": parts.search or None,
        "worst": _worst(parts),
        "cost_per_1000": _cost(winner),
        "labels": _labels(parts),
        "training": _training(parts),
        "gates": list({gate["name"]: gate for one in parts.candidates for gate in one.gates}.values()),
        "data": read_json(work.prepared.folder / "report.json"),
        "lineage": draft.lineage,
        "licence": f"{draft.licence} (base model {draft.lineage['base']['name']})",
    }


def _row(parts: Parts, one: Made) -> dict[str, Any]:
    """One line of the table. A candidate that the search dropped early has no answers on the whole of a split."""
    candidate, chosen, test = one in parts.candidates, one is parts.winner, one.evaluated.get("test")
    why = parts.choice.reason if chosen else parts.choice.rejected.get(one.name, "for comparison")
    status = "chosen" if chosen else "baseline" if not candidate else "rejected"
    if candidate and not chosen and "good" in why.split(",")[0]:
        status = "acceptable"
    return {
        "name": one.name,
        "kind": "candidate" if candidate else "baseline",
        "quantization": one.quantization,
        "validation": _metrics(one.evaluated.get("validation")),
        "test": _metrics(test),
        "failed": test.evaluation.failed if test else None,
        "difference": None if chosen or test is None else _difference(parts, test),
        "fits": candidate and _fits(parts, one),
        "cost_per_1000": _cost(one),
        "footprint": one.footprint.to_json() if one.footprint else None,
        "status": status,
        "why": why,
    }


def _labels(parts: Parts) -> list[dict[str, Any]]:
    """Of a task that tags: the chosen one's scores on the test, label by label."""
    if parts.work.task.task.kind != "tag":
        return []
    return [one.to_json() for one in label_scores(parts.work.questions("test"), parts.winner.answers["test"])]


def _fits(parts: Parts, one: Made) -> bool:
    """Whether nothing forbids the choice of it: its gates passed, and it keeps within the limits."""
    return not one.broken and one.footprint is not None and not over_budget(one.footprint, parts.work.task.budget)


def _metrics(found: Evaluated | None) -> dict[str, dict[str, float]]:
    return {name: one.to_json() for name, one in found.evaluation.metrics.items()} if found else {}


def _reference_row(parts: Parts) -> list[dict[str, Any]]:
    """The row of a reference that could be scored."""
    found = parts.reference
    if found is None or found.evaluated is None or found.evaluated.answered is None:
        return []
    test = found.evaluated.evaluation
    return [
        {
            "name": "reference",
            "kind": "reference",
            "quantization": "",
            "validation": {},
            "test": _metrics(found.evaluated),
            "failed": test.failed,
            "difference": _difference(parts, found.evaluated),
            "cost_per_1000": report_cost.elsewhere(found.evaluated.answered.result),
            "footprint": None,
            "status": "reference",
            "why": found.why(),
        }
    ]


def _difference(parts: Parts, other: Evaluated) -> dict[str, float] | None:
    """The metric of `other` minus the chosen one's on the test examples, paired. The prompt may differ: few-shot."""
    mine, theirs = (judgement(found.step) for found in (parts.winner.evaluated["test"], other))
    questions = parts.work.questions("test")
    groups = [q.group or f"row {q.row}" for q in questions] if any(q.group for q in questions) else None
    try:
        found, _ = difference(theirs, mine, Drawing(seed=parts.work.task.data.seed, groups=groups))
    except DataError:
        return None
    return {"value": found.value, "low": found.low, "high": found.high, "p_value": found.p_value}


def _worst(parts: Parts) -> list[dict[str, Any]]:
    """The test examples that the chosen one answers worst, with a baseline's and the reference's answers beside it."""
    found, questions = judgement(parts.winner.evaluated["test"].step), parts.work.questions("test")
    said = parts.winner.answers.get("test", [])
    models = [one for one in parts.baselines if one.answers.get("test")]
    base = parts.best_baseline if parts.best_baseline in models else next(iter(models), None)
    other = base.answers.get("test", []) if base else []
    reference = parts.reference.answers if parts.reference else ()
    places = [place for place in found.counted if (found.values[place] or 0.0) < 1.0]
    places.sort(key=lambda place: (found.values[place] or 0.0, place))
    return [
        {
            "row": questions[place].row,
            "asked": questions[place].asked[:SHOWN],
            "expected": [text[:SHOWN] for text in questions[place].references],
            "answered": _shown(said, place),
            "baseline": _shown(other, place),
            "baseline_name": base.name if base else "",
            "reference": _shown(reference, place),
            "reference_name": parts.reference.model if parts.reference and reference else "",
            "value": found.values[place],
            "problem": found.problems.get(place, ""),
        }
        for place in places[:WORST]
    ]


def _shown(texts: Sequence[str | None], place: int) -> str | None:
    text = texts[place] if texts else None
    return text[:SHOWN] if text is not None else None


def _cost(one: Made) -> report_cost.Cost:
    """Of a thousand requests: as it was measured alone, else as its answers to the evaluation were timed."""
    if one.footprint is not None:
        return report_cost.of_footprint(one.footprint)
    if one.source is None:
        return report_cost.without("no model is asked")
    answered = one.evaluated["test"].answered if "test" in one.evaluated else None
    return report_cost.of_answers(answered.result if answered else {})


def _training(parts: Parts) -> list[dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    kept = ("method", "seconds", "epochs", "best_epoch", "target_tokens_per_second")
    for one in parts.candidates:
        if one.tuned is not None:
            result = one.tuned.step.result
            seen.setdefault(
                one.tuned.step.run.id,
                {"name": one.tuned.name, **{key: result.get(key) for key in kept}},
            )
    return list(seen.values())
