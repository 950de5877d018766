"""The candidates of a build: each base by each method by each quantisation, and the baselines beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.events import OnEvent, silent
from linnet.core.files import read_json
from linnet.core.records import Decision, Evaluation, Footprint, Model
from linnet.core.store import Step, Store
from linnet.core.task import ENCODER_TYPES, Task
from linnet.stages.choose import Contender
from linnet.stages.evaluate import BASELINES, Entrant, evaluate, evaluate_baseline, evaluations
from linnet.stages.quantize import quantize
from linnet.stages.tune import tune
from linnet.training.recipe import default_recipe


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


def make_candidates(
    store: Store, task: Task, bases: list[Model], prepared: Step, decision: Decision, on_event: OnEvent = silent
) -> list[Candidate]:
    """Tune, quantise and evaluate every combination that `[candidates]` names."""
    types = [kind for kind in task.candidates.quantizations if kind in ENCODER_TYPES] or list(ENCODER_TYPES)
    made = []
    for base in bases:
        for method in task.candidates.methods:
            examples = prepared.result["counts"]["train"]
            recipe = default_recipe(method, examples, task.data.seed, base.max_tokens)
            tuned = tune(store, base, prepared, decision.labels, recipe, on_event)
            quantized = quantize(store, base, tuned, prepared, types, on_event)
            prefix = method if len(bases) == 1 else f"{base.name}-{method}"
            for kind in types:
                files = {n: e.sha256 for n, e in quantized.run.files.items() if n.startswith(f"{kind}/")}
                entrant = Entrant(f"{prefix}-{kind}", quantized.folder / kind, files)
                judged = evaluate(store, entrant, prepared, decision, on_event)
                made.append(candidate(entrant, kind, base, tuned.result["method"], (tuned, quantized, judged)))
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
