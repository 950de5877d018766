"""What a build of a task that writes text proves: report.json, the page drawn from it, and the model card."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from linnet.core.errors import DataError, require
from linnet.core.files import read_json
from linnet.core.records import Choice, Specialist
from linnet.engines.planning.hardware import machine
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.judging import difference
from linnet.pipeline.report_page import clean
from linnet.pipeline.text_candidates import Made, Work
from linnet.stages.evaluate import judgement
from linnet.version import code_version

if TYPE_CHECKING:
    from jinja2 import Template

WORST = 30
SHOWN = 4000  # characters of one text


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a build made, for the report."""

    work: Work
    candidates: tuple[Made, ...]
    baselines: tuple[Made, ...]
    choice: Choice
    winner: Made

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
    """report.json, report.html and the card for a specialist under its final name."""
    content = collect(parts, draft, full_name, seconds)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return {
        "report.json": text.encode(),
        "report.html": render(content).encode(),
        "MODEL_CARD.md": card(parts, draft, full_name).encode(),
    }


def collect(parts: Parts, draft: Specialist, full_name: str, seconds: float) -> dict[str, Any]:
    """The whole report as plain values; docs/guide/report.md names the fields."""
    work, winner = parts.work, parts.winner
    test = winner.evaluated["test"].evaluation
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
        "candidates": [_row(parts, one) for one in (*parts.candidates, *parts.baselines)],
        "worst": _worst(parts),
        "cost_per_1000": _cost(winner),
        "training": _training(parts),
        "gates": list({gate["name"]: gate for one in parts.candidates for gate in one.gates}.values()),
        "data": read_json(work.prepared.folder / "report.json"),
        "lineage": draft.lineage,
        "licence": f"{draft.licence} (base model {draft.lineage['base']['name']})",
    }


def _row(parts: Parts, one: Made) -> dict[str, Any]:
    candidate, chosen = one in parts.candidates, one is parts.winner
    validation, test = (one.evaluated[split].evaluation for split in ("validation", "test"))
    why = parts.choice.reason if chosen else parts.choice.rejected.get(one.name, "for comparison")
    status = "chosen" if chosen else "baseline" if not candidate else "rejected"
    if candidate and not chosen and "good" in why.split(",")[0]:
        status = "acceptable"
    return {
        "name": one.name,
        "kind": "candidate" if candidate else "baseline",
        "quantization": one.quantization,
        "validation": {name: found.to_json() for name, found in validation.metrics.items()},
        "test": {name: found.to_json() for name, found in test.metrics.items()},
        "failed": test.failed,
        "difference": None if chosen else _difference(parts, one),
        "footprint": one.footprint.to_json() if one.footprint else None,
        "status": status,
        "why": why,
    }


def _difference(parts: Parts, one: Made) -> dict[str, float] | None:
    """The metric of `one` minus the chosen one's on the test examples, paired. The prompt may differ: few-shot."""
    mine, theirs = (judgement(made.evaluated["test"].step) for made in (parts.winner, one))
    questions = parts.work.questions("test")
    groups = [q.group or f"row {q.row}" for q in questions] if any(q.group for q in questions) else None
    try:
        found, _ = difference(theirs, mine, Drawing(seed=parts.work.task.data.seed, groups=groups))
    except DataError:
        return None
    return {"value": found.value, "low": found.low, "high": found.high, "p_value": found.p_value}


def _worst(parts: Parts) -> list[dict[str, Any]]:
    """The test examples that the chosen one answers worst, with the best baseline's answer beside its own."""
    found, questions = judgement(parts.winner.evaluated["test"].step), parts.work.questions("test")
    said = parts.winner.answers.get("test", [])
    base = next((one for one in parts.baselines if one.source is not None), None)
    other = base.answers.get("test", []) if base else []
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
            "value": found.values[place],
            "problem": found.problems.get(place, ""),
        }
        for place in places[:WORST]
    ]


def _shown(texts: Sequence[str | None], place: int) -> str | None:
    text = texts[place] if texts else None
    return text[:SHOWN] if text is not None else None


def _cost(winner: Made) -> dict[str, float | None]:
    """Of a thousand requests here: seconds side by side, seconds one after another, joules where they are counted."""
    if winner.footprint is None:
        return {}
    foot = winner.footprint
    return {
        "seconds": round(1000 / max(foot.documents_per_second, 1e-9), 1),
        "seconds_one_at_a_time": round(foot.latency_ms_p50, 1),
        "joules": foot.energy_joules_per_1000,
    }


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


def card(parts: Parts, draft: Specialist, full_name: str) -> str:
    """The model card in Hugging Face's form: licence, base and evaluation results as metadata (its `model-index`)."""
    test = parts.winner.evaluated["test"].evaluation
    results = [
        {"type": name, "name": name, "value": round(found.value, 4)} for name, found in sorted(test.metrics.items())
    ]
    dataset = {"name": draft.name, "type": draft.name, "split": "test"}
    index = [
        {
            "name": full_name,
            "results": [{"task": {"type": "text-generation"}, "dataset": dataset, "metrics": results}],
        }
    ]
    base = draft.lineage["base"]
    # JSON is YAML: nothing in a name can break out of its quotes.
    head = {
        "license": base["licence"].lower() if base["licence"] not in ("", "unknown") else "other",
        "base_model": base["name"],
        "pipeline_tag": "text-generation",
        "model-index": index,
    }
    rows = [
        "---",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()),
        "---",
        "",
        f"# {full_name}",
        "",
        f"Writes answers for the task `{draft.name}` (kind {draft.kind}), made with Linnet.",
        "",
        "| metric | value | 95 % interval |",
        "|---|---|---|",
        *(f"| {name} | {one.value:.4f} | {one.low:.4f} to {one.high:.4f} |" for name, one in test.metrics.items()),
        "",
        f"Measured on {test.examples} test examples. {test.detectable.get(test.primary, '')}",
        f"Candidate {draft.candidate}, {draft.footprint.size_bytes / 1e6:.1f} MB. "
        f"Best baseline: {draft.baseline.get('name', 'none')}.",
        "",
        "## Limits",
        "",
        "It is good at what its examples show, in their language and style; the report beside this card shows where it "
        "errs. A schema makes answers well formed, not true.",
        "",
    ]
    return "\n".join(rows)


def render(report: dict[str, Any]) -> str:
    """One self-contained HTML document. Raises ResourceMissing when jinja2 is not installed."""
    require("jinja2", "train")
    return _template().render(r=clean(report))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    source = files("linnet.pipeline").joinpath("text_report.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(source)
