"""The candidates of a build: each base by each method by each quantisation, and the baselines beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.events import OnEvent, silent
from linnet.core.files import read_json
from linnet.core.history import machine_id
from linnet.core.records import Decision, Evaluation, Footprint, Model
from linnet.core.store import Step, Store
from linnet.core.task import ENCODER_TYPES, Task
from linnet.pipeline.candidates_plan import BYTES_PER_TOKEN, too_long
from linnet.stages.choose import Contender
from linnet.stages.evaluate import BASELINES, Entrant, evaluate, evaluate_baseline, evaluations
from linnet.stages.quantize import quantize
from linnet.stages.tune import tune
from linnet.training.forecast import matrix_speed
from linnet.training.recipe import Recipe, default_recipe, tag_recipe


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline with its evaluations by split."""

    name: str
    evaluated: Step
    evaluations: dict[str, Evaluation]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate with everything that was made for it. `engine` is the folder that the ONNX engine loads."""

    name: str
    base: Model
    method: str
    quantization: str
    engine: Path
    tuned: Step
    quantized: Step
    evaluated: Step
    evaluations: dict[str, Evaluation]
    decision: Decision
    footprint: Footprint

    @property
    def gates(self) -> list[dict[str, Any]]:
        """The gates between training and this candidate."""
        return [g for g in self.quantized.result["gates"] if g["quantization"] in ("fp32", self.quantization)]

    def contender(self) -> Contender:
        failed = [g for g in self.gates if not g["passed"]]
        broken = f"gate failed: {failed[0]['name']}, {failed[0]['measured']}" if failed else ""
        return Contender(self.name, self.evaluations["validation"], self.footprint, broken)


def make_baselines(store: Store, prepared: Step, decision: Decision, on_event: OnEvent = silent) -> list[Baseline]:
    """Both baselines, evaluated like everything else."""
    steps = [(name, evaluate_baseline(store, name, prepared, decision, on_event)) for name in BASELINES]
    return [Baseline(name, step, evaluations(step)) for name, step in steps]


def decision_of(task: Task, prepared: Step) -> Decision:
    """The labels of the training data, the task's own order and out-of-scope label included."""
    found: list[str] = list(prepared.result["labels"])
    outside = task.task.out_of_scope
    if outside is not None and outside not in found:
        found.append(outside)
    return Decision(labels=found, out_of_scope=outside)


@dataclass(frozen=True, slots=True)
class Training:
    """An encoder and the way it is trained, with the forecast of how long."""

    label: str
    base: Model
    method: str
    recipe: Recipe
    seconds: float


def encoder_types(task: Task) -> list[str]:
    """The types of encoders that the task names, all by default."""
    return [kind for kind in task.candidates.quantizations if kind in ENCODER_TYPES] or list(ENCODER_TYPES)


def encoder_size(base: Model) -> tuple[int, int]:
    """Bytes on the disk, and parameters."""
    stored = sum(entry.size_bytes for entry in base.files.values())
    return stored, int(base.report.get("parameters") or stored // 4)


def plan_trainings(
    store: Store, task: Task, bases: list[Model], prepared: Step
) -> tuple[list[Training], dict[str, str]]:
    """Every encoder by every method, and the candidates that `train_minutes` rules out, with the number.

    Six operations a weight and token of training (Kaplan et al. 2020), at the speed of a matrix product; kept.
    """
    made: list[Training] = []
    excluded: dict[str, str] = {}
    tokens = (prepared.folder / "train.jsonl").stat().st_size / BYTES_PER_TOKEN
    for base in bases:
        for method in task.candidates.methods:
            usual = tag_recipe if task.task.kind == "tag" else default_recipe
            recipe = usual(method, prepared.result["counts"]["train"], task.data.seed, base.max_tokens)
            files = {name: entry.sha256 for name, entry in base.files.items()}
            inputs = {"base": files, "train": prepared.sha256("train.jsonl"), "recipe": recipe.to_json()}
            operations = 6 * encoder_size(base)[1] * tokens * recipe.epochs

            def work(_: Path, operations: float = operations) -> dict[str, Any]:
                return {"seconds": operations / matrix_speed()}

            seconds = float(store.step("plan", {**inputs, "machine": machine_id()}, work).result["seconds"])
            label = method if len(bases) == 1 else f"{base.name}-{method}"
            if why := too_long(seconds, task.budget):
                excluded |= {f"{label}-{kind}": why for kind in encoder_types(task)}
            else:
                made.append(Training(label, base, method, recipe, seconds))
    return made, excluded


def make_candidates(
    store: Store, task: Task, trainings: list[Training], prepared: Step, decision: Decision, on_event: OnEvent = silent
) -> list[Candidate]:
    """Tune, quantise and evaluate every one of these."""
    types, made = encoder_types(task), []
    for one in trainings:
        tuned = tune(store, one.base, prepared, decision.labels, one.recipe, on_event)
        quantized = quantize(store, one.base, tuned, prepared, types, on_event)
        for kind in types:
            files = {n: e.sha256 for n, e in quantized.run.files.items() if n.startswith(f"{kind}/")}
            entrant = Entrant(f"{one.label}-{kind}", quantized.folder / kind, files)
            judged = evaluate(store, entrant, prepared, decision, on_event)
            made.append(candidate(entrant, kind, one.base, tuned.result["method"], (tuned, quantized, judged)))
    return made


def candidate(entrant: Entrant, kind: str, base: Model, method: str, steps: tuple[Step, Step, Step]) -> Candidate:
    """What was tuned, quantised and judged, in these `steps`, under one name."""
    tuned, quantized, judged = steps
    return Candidate(
        name=entrant.name,
        base=base,
        method=method,
        quantization=kind,
        engine=entrant.engine,
        tuned=tuned,
        quantized=quantized,
        evaluated=judged,
        evaluations=evaluations(judged),
        decision=Decision.model_validate(read_json(judged.folder / "decision.json")),
        footprint=Footprint.model_validate(read_json(judged.folder / "footprint.json")),
    )
