"""Every stage between the examples and the evaluations, run on the tiny encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from linnet.core.records import Decision, Model
from linnet.core.store import Step, Store
from linnet.core.task import Task, read_task
from linnet.stages.evaluate import BASELINES, Entrant, evaluate, evaluate_baseline
from linnet.stages.prepare import prepare
from linnet.stages.pull import pull
from linnet.stages.quantize import quantize
from linnet.stages.tune import tune
from linnet.training.recipe import Recipe
from tests.tiny_encoder import tiny_encoder, tiny_task


@dataclass(frozen=True, slots=True)
class Made:
    """What the stages left, by method and by candidate. Tests read it and change nothing in it."""

    store: Store
    task: Task
    base: Model
    prepared: Step
    decision: Decision
    tuned: dict[str, Step]
    quantized: dict[str, Step]
    evaluated: dict[str, Step]

    @property
    def labels(self) -> list[str]:
        return self.decision.labels


def tiny_recipe(method: str, seed: int = 0) -> Recipe:
    return Recipe(method=method, epochs=3, learning_rate=2e-3, max_tokens=62, seed=seed)


def entrant(made: Made, method: str, kind: str) -> Entrant:
    step = made.quantized[method]
    files = {name: entry.sha256 for name, entry in step.run.files.items() if name.startswith(f"{kind}/")}
    return Entrant(f"{method}-{kind}", step.folder / kind, files)


def make(place: Path, *, methods: Sequence[str], kinds: Sequence[str], judged: Sequence[tuple[str, str]]) -> Made:
    """Run pull, prepare, tune and quantize; evaluate the `judged` pairs of method and kind, and the baselines.

    On one core: for matrices this small a second thread only waits.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_THREADS", "1")
        return _make(place, methods, kinds, judged)


def _make(place: Path, methods: Sequence[str], kinds: Sequence[str], judged: Sequence[tuple[str, str]]) -> Made:
    task = read_task(tiny_task(place / "task", tiny_encoder(place / "encoder")))
    store = Store(place / "store")
    base, _ = pull(store, task.candidates.models[0])
    prepared = prepare(store, task)
    decision = Decision(labels=list(prepared.result["labels"]))
    tuned = {m: tune(store, base, prepared, decision.labels, tiny_recipe(m)) for m in methods}
    quantized = {m: quantize(store, base, tuned[m], prepared, list(kinds)) for m in methods}
    made = Made(store, task, base, prepared, decision, tuned, quantized, {})
    for method, kind in judged:
        found = entrant(made, method, kind)
        made.evaluated[found.name] = evaluate(store, found, prepared, decision)
    if judged:
        made.evaluated.update({b: evaluate_baseline(store, b, prepared, decision) for b in BASELINES})
    return made
