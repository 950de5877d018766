"""What a build proves, as one value: report.json. The page is drawn from it by report_page."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.events import OnEvent, silent
from linnet.core.files import read_json
from linnet.core.records import Choice, Evaluation, Example, Specialist
from linnet.core.store import Step, Store
from linnet.core.task import Task
from linnet.engines.planning.hardware import machine
from linnet.engines.requests.asking import Decoding, Prompting
from linnet.metrics import judging
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.classification import paired_difference
from linnet.pipeline import report_cost
from linnet.pipeline.candidates import Baseline, Candidate
from linnet.pipeline.decoder_candidates import instruction_of
from linnet.pipeline.evaluate import Wish
from linnet.pipeline.export_card import built_card
from linnet.pipeline.report_page import render
from linnet.pipeline.text_reference import Reference, ask_reference
from linnet.stages.choose import over_budget
from linnet.stages.evaluate import predictions
from linnet.text.conversations import Turn
from linnet.text.example_files import read_examples
from linnet.text.questions import Question
from linnet.version import code_version

MISTAKES = 30
LABEL_TOKENS = 16  # more than the longest label has bytes


@dataclass(frozen=True, slots=True)
class Made:
    """Everything a build made, for the report."""

    task: Task
    prepared: Step
    candidates: list[Candidate]
    baselines: list[Baseline]
    choice: Choice
    winner: Candidate
    store_root: Path
    on_event: OnEvent = silent
    reference: Reference | None = None


def documents(made: Made, draft: Specialist, full_name: str, seconds: float) -> dict[str, bytes]:
    """report.json, report.html and the card for a specialist under its final name. A reference is asked now."""
    made = replace(made, reference=_referred(made))
    content = collect(made, draft, full_name, seconds)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return {
        "report.json": text.encode(),
        "report.html": render(content).encode(),
        "MODEL_CARD.md": built_card(draft, full_name, content),
    }


def collect(made: Made, draft: Specialist, full_name: str, seconds: float) -> dict[str, Any]:
    """The whole report as plain values; docs/guide/report.md names the fields."""
    winner, labels = made.winner, made.winner.decision.labels
    rows = [*(_row(made, c) for c in made.candidates), *(_row(made, b) for b in made.baselines)]
    front = report_cost.fronts(rows, made.task.quality.metric)
    return {
        "schema": 1,
        "specialist": full_name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 2),
        "code_version": code_version(),
        "task": made.task.to_json() | {"folder": None},
        "machine": machine(made.store_root).to_json(),
        "headline": _headline(made),
        "choice": made.choice.to_json() | {"warnings": made.choice.warnings + _broken_promise(made)},
        "candidates": [*rows, *_reference_row(made)],
        "front": front["all"],
        "front_by": {name: front[name] for name in ("size", "latency")},
        "reference": made.reference.told() if made.reference else None,
        "slices": _slices(made),
        "calibration": _calibration(winner),
        "out_of_scope": _out_of_scope(winner),
        "mistakes": _mistakes(made, labels),
        "training": _training(made),
        "gates": _gates(made),
        "data": read_json(made.prepared.folder / "report.json"),
        "lineage": draft.lineage,
        "licence": f"{draft.licence} (base model {winner.base.name})",
    }


def _versus(made: Made, step: Step) -> tuple[dict[str, float], float]:
    """The task's metric of `step` minus the chosen candidate's, on the test split, paired."""
    mine, theirs = predictions(made.winner.evaluated, "test"), predictions(step, "test")
    interval, p_value = paired_difference(
        np.array(mine["true"]),
        np.array(theirs["predicted"]),
        np.array(mine["predicted"]),
        len(made.winner.decision.labels),
        "accuracy" if made.task.quality.metric == "accuracy" else "macro_f1",
    )
    return interval.to_json(), p_value


def _metric(evaluation: Evaluation, made: Made) -> dict[str, float]:
    interval: dict[str, float] = getattr(evaluation, made.task.quality.metric).to_json()
    return interval


def _headline(made: Made) -> dict[str, Any]:
    test = made.winner.evaluations["test"]
    linear = next(b for b in made.baselines if b.name == "tfidf_logistic")
    against, _ = _versus(made, linear.evaluated)
    return {
        "metric": made.task.quality.metric,
        "test": _metric(test, made),
        "examples": test.examples,
        "baseline": {"name": linear.name, "test": _metric(linear.evaluations["test"], made)},
        "difference": {"value": -against["value"], "low": -against["high"], "high": -against["low"]},
    }


def _broken_promise(made: Made) -> list[str]:
    """The choice was made on validation examples; say so when the test examples disagree with it."""
    metric = made.task.quality.metric
    chosen = getattr(made.winner.evaluations["test"], metric).value
    best = max(made.candidates, key=lambda c: getattr(c.evaluations["test"], metric).value)
    loss = getattr(best.evaluations["test"], metric).value - chosen
    if loss <= made.task.quality.max_loss:
        return []
    return [
        f"On the test examples {made.winner.name} is {loss:.4f} below {best.name}, more than the allowed "
        f"{made.task.quality.max_loss:g}. The choice was made on the validation examples and is not changed by this: "
        "the difference may be chance (see its interval in the table)."
    ]


def _row(made: Made, item: Candidate | Baseline) -> dict[str, Any]:
    is_candidate = isinstance(item, Candidate)
    chosen = item is made.winner
    difference, p_value = (None, None) if chosen else _versus(made, item.evaluated)
    why = made.choice.reason if chosen else made.choice.rejected.get(item.name, "a simple method, for comparison")
    status = "chosen" if chosen else "baseline"
    if is_candidate and not chosen:
        status = "acceptable" if "good" in why.split(",")[0] else "rejected"
    return {
        "name": item.name,
        "kind": "candidate" if is_candidate else "baseline",
        "model": item.base.name if isinstance(item, Candidate) else None,
        "method": item.method if isinstance(item, Candidate) else item.name,
        "quantization": item.quantization if isinstance(item, Candidate) else None,
        "validation": item.evaluations["validation"].to_json(),
        "test": item.evaluations["test"].to_json(),
        "footprint": item.footprint.to_json() if isinstance(item, Candidate) else None,
        "fits": isinstance(item, Candidate) and _fits(made, item),
        "cost_per_1000": _cost(item),
        "difference": difference,
        "p_value": p_value,
        "status": status,
        "why": why,
    }


def _fits(made: Made, item: Candidate) -> bool:
    """Whether nothing forbids the choice of it: its gates passed, and it keeps within the limits."""
    return not item.contender().broken and not over_budget(item.footprint, made.task.budget)


def _cost(item: Candidate | Baseline) -> report_cost.Cost:
    if isinstance(item, Candidate):
        return report_cost.of_footprint(item.footprint)
    if item.name == "majority":
        return report_cost.without("no model is asked")
    return report_cost.of_answers(item.evaluated.result)


def _examples(made: Made) -> list[Example]:
    return read_examples(made.prepared.folder / "test.jsonl")


def _judged(made: Made, answers: Sequence[str | None]) -> judging.Judgement:
    """Written labels by the task's metric, for what the evaluations of a classifier do not hold."""
    given = judging.Given(labels=tuple(made.winner.decision.labels))
    return judging.judge(made.task.quality.metric, answers, [(one.label,) for one in _examples(made)], given)


def _answers(made: Made) -> list[str]:
    labels = made.winner.decision.labels
    return [labels[index] for index in predictions(made.winner.evaluated, "test")["predicted"]]


def _slices(made: Made) -> list[dict[str, Any]]:
    """The chosen one by length and by group; the classes are in its evaluation."""
    rows = _examples(made)
    by = {"length": judging.length_names([len(one.text) for one in rows]), "group": [one.group for one in rows]}
    return [one.to_json() for one in judging.slices(_judged(made, _answers(made)), by)]


def _referred(made: Made) -> Reference | None:
    """The reference, asked to write the label of each test text; scored on the same examples by the same metrics."""
    labels, wanted = made.winner.decision.labels, made.task.quality.metric
    questions = [
        Question(row=one.row, turns=(Turn(role="user", content=one.text),), references=(one.label,), group=one.group)
        for one in _examples(made)
    ]
    room = max(len(label.encode()) for label in labels) + LABEL_TOKENS
    how = (Prompting(instruction_of(made.task, labels)), Decoding(max_tokens=room))
    wish = Wish(tuple(dict.fromkeys((wanted, "macro_f1", "accuracy"))), "test", made.task.data.seed)
    return ask_reference(Store(made.store_root), made.task.report, questions, (how, wish), made.on_event)


def _reference_row(made: Made) -> list[dict[str, Any]]:
    found = made.reference
    if found is None or found.evaluated is None or found.evaluated.answered is None:
        return []
    drawing = Drawing(seed=made.task.data.seed)
    versus, _ = judging.difference(_judged(made, found.answers), _judged(made, _answers(made)), drawing)
    test = found.evaluated.evaluation
    return [
        {
            "name": "reference",
            "kind": "reference",
            "model": found.model,
            "method": "endpoint",
            "quantization": None,
            "validation": {},
            "test": {"examples": test.examples} | {name: one.to_json() for name, one in test.metrics.items()},
            "footprint": None,
            "cost_per_1000": report_cost.elsewhere(found.evaluated.answered.result),
            "difference": {"value": versus.value, "low": versus.low, "high": versus.high},
            "p_value": versus.p_value,
            "status": "reference",
            "why": found.why(),
        }
    ]


def _calibration(winner: Candidate) -> dict[str, Any]:
    return {
        "temperature": winner.decision.temperature,
        "ece_before": winner.evaluated.result["expected_calibration_error_before"],
        "ece_after": winner.evaluations["test"].expected_calibration_error,
        "bins": predictions(winner.evaluated, "test")["reliability"],
    }


def _out_of_scope(winner: Candidate) -> dict[str, Any] | None:
    label = winner.decision.out_of_scope
    if label is None:
        return None
    scores = winner.evaluations["test"].per_class[label]
    found = {name: scores[name] for name in ("precision", "recall", "f1")}
    return {"label": label, "threshold": winner.decision.threshold, **found}


def _mistakes(made: Made, labels: list[str]) -> list[dict[str, Any]]:
    """The wrong answers on the test split, the surest first, with the linear baseline's and the reference's beside."""
    kept, rows = predictions(made.winner.evaluated, "test"), _examples(made)
    linear = next(b for b in made.baselines if b.name == "tfidf_logistic")
    other = predictions(linear.evaluated, "test")["predicted"]
    reference = made.reference.answers if made.reference else ()
    wrong = [i for i in range(len(rows)) if kept["true"][i] != kept["predicted"][i]]
    wrong.sort(key=lambda i: -kept["probability"][i])
    return [
        {
            "text": rows[i].text,
            "true": labels[kept["true"][i]],
            "predicted": labels[kept["predicted"][i]],
            "baseline": labels[other[i]],
            "reference": reference[i] if reference else None,
            "probability": kept["probability"][i],
            "row": rows[i].row,
        }
        for i in wrong[:MISTAKES]
    ]


def _training(made: Made) -> list[dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    for c in made.candidates:
        result = c.tuned.result
        seen.setdefault(
            c.tuned.run.id,
            {
                "candidate": c.name.rsplit("-", 1)[0],
                "seconds": result["seconds"],
                "examples_per_second": result["examples_per_second"],
                "best_epoch": result["best_epoch"],
                "trained_parameters": result["trained_parameters"],
                "cut_examples": result["cut_examples"],
                "epochs": [
                    {
                        "epoch": e["epoch"],
                        "train_loss": e["train_loss"],
                        "validation_loss": e["validation_loss"],
                        "validation_macro_f1": e["validation_metric"],
                    }
                    for e in result["epochs"]
                ],
            },
        )
    return list(seen.values())


def _gates(made: Made) -> list[dict[str, Any]]:
    gates: dict[str, dict[str, Any]] = {}
    for c in made.candidates:
        if "merge_difference" in c.tuned.result:
            name = f"{c.method} on {c.base.name}: adapter = merged"
            measured = f"{c.tuned.result['merge_difference']:.1e}"
            gates[name] = {
                "name": name,
                "bound": "largest logit difference <= 0.001",
                "measured": measured,
                "passed": True,
            }
        for gate in c.gates:
            gates[gate["name"]] = {k: gate[k] for k in ("name", "bound", "measured", "passed")}
    return list(gates.values())
