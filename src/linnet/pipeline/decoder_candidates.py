"""Decoders among the candidates of a classifier: tuned to write the label, judged by the probability of each label."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from linnet.core.errors import GateFailed
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, write_bytes, write_json
from linnet.core.records import Decision, Model
from linnet.core.runs import find_run
from linnet.core.store import Step, Store
from linnet.core.task import ENCODER_TYPES, Task
from linnet.engines.onnx_runtime.onnx import ENGINE
from linnet.engines.scoring.label_scoring import CLASSIFIER, GGUF
from linnet.pipeline.candidates import Candidate, candidate
from linnet.pipeline.candidates_plan import too_long, training
from linnet.pipeline.gguf import converted, own_precision
from linnet.pipeline.tune import run_tuning
from linnet.stages.evaluate import Entrant, evaluate
from linnet.stages.merge import merge
from linnet.text.example_files import read_examples
from linnet.version import code_version

DEFAULT_TYPES = ("Q8_0",)
CONTEXT = 1024


def instruction_of(task: Task, labels: list[str]) -> str:
    """What a decoder is told before each text: the task's own words, and the labels."""
    said = task.task.instruction.strip() or "Which label fits the text? Answer with the label alone."
    return f"{said}\nLabels: {', '.join(labels)}"


def make_decoders(
    store: Store, task: Task, names: list[str], prepared: Step, decision: Decision, on_event: OnEvent = silent
) -> tuple[list[Candidate], dict[str, str], dict[str, str]]:
    """Tune, merge, convert and evaluate every decoder by every method and type that is not an encoder's.

    Beside them what `train_minutes` rules out, with the number; and the types whose gate failed, with what it said.
    """
    made: list[Candidate] = []
    excluded: dict[str, str] = {}
    failed: dict[str, str] = {}
    if not names:
        return made, excluded, failed
    told = instruction_of(task, decision.labels)
    chats = _chats(store, prepared, told)
    kinds = [kind for kind in task.candidates.quantizations if kind not in ENCODER_TYPES] or list(DEFAULT_TYPES)
    for name in names:
        for method in task.candidates.methods:
            way = training(store, task, name, method, chats.folder)
            base, job = way.base, way.job
            assert job is not None  # noqa: S101 it trains
            if why := too_long(way.seconds, task.budget):
                excluded |= {named(base, way.method, kind): why for kind in kinds}
                continue
            tuned = run_tuning(store, base, job, on_event).step
            merged = merge(store, base, find_run(store, tuned.run.id, "tune"), on_event)
            for kind in kinds:
                try:
                    entrant, gates = _entrant(store, base, (tuned, merged), kind, (told, decision.labels))
                except GateFailed as error:
                    failed[named(base, way.method, kind)] = f"gate failed: {error.message}"
                    on_event(Event("warning", "convert", f"{named(base, way.method, kind)}: {error.message}"))
                    continue
                judged = evaluate(store, entrant, prepared, decision, on_event)
                steps = (_as_tuned(tuned, len(job.data.train)), _with_gates(merged, kind, gates), judged)
                made.append(candidate(entrant, kind, base, method, steps))
    return made, excluded, failed


def named(base: Model, method: str, kind: str) -> str:
    """The name of a candidate."""
    return f"{base.name.replace(':', '-')}-{method}-{kind}"


def _chats(store: Store, prepared: Step, told: str) -> Step:
    """The rows as chats whose answer is the label."""
    inputs = {split: prepared.sha256(f"{split}.jsonl") for split in ("train", "validation")}

    def work(folder: Path) -> dict[str, Any]:
        for split in inputs:
            rows = [
                {
                    "messages": [
                        {"role": "system", "content": told},
                        {"role": "user", "content": one.text},
                        {"role": "assistant", "content": one.label},
                    ]
                }
                for one in read_examples(prepared.folder / f"{split}.jsonl")
            ]
            write_bytes(folder / f"{split}.jsonl", b"".join(canonical(row) + b"\n" for row in rows))
        return {}

    return store.step("chats", {**inputs, "instruction": told, "code": code_version("pipeline")}, work, label="chats")


def _entrant(
    store: Store, base: Model, steps: tuple[Step, Step], kind: str, asked: tuple[str, list[str]]
) -> tuple[Entrant, list[dict[str, Any]]]:
    """The folder that the label scorer opens, and the gates between training and it."""
    tuned, merged = steps
    path, gates = merged.folder / GGUF, list(merged.result["gates"])
    sha256 = merged.sha256(GGUF)
    if kind != own_precision(merged.folder / "model"):
        step = converted(store, path, {GGUF: merged.run.files[GGUF]}, kind)
        path, sha256 = step.folder / GGUF, step.sha256(GGUF)
        divergence = step.result["gate"]["divergence"] or {}
        said = f"mean KL divergence {divergence.get('mean', 0.0):.4f}"
        gates.append({"name": f"GGUF = {kind}", "bound": "predicts as its source", "measured": said, "passed": True})
    limit = min(CONTEXT, base.max_tokens or CONTEXT)
    name = named(base, tuned.result["method"], kind)

    def work(folder: Path) -> dict[str, Any]:
        (folder / GGUF).unlink(missing_ok=True)
        try:
            os.link(path, folder / GGUF)
        except OSError:
            shutil.copyfile(path, folder / GGUF)
        write_json(folder / CLASSIFIER, {"instruction": asked[0], "labels": asked[1], "context": limit})
        write_json(folder / ENGINE, {"max_tokens": limit})
        return {}

    made = store.step("bundle", {"model": sha256, "asked": list(asked), "context": limit}, work, label=name)
    return Entrant(name, made.folder, {n: e.sha256 for n, e in made.run.files.items()}), gates


def _as_tuned(step: Step, examples: int) -> Step:
    """The run with the fields that the report of a classifier reads."""
    result = step.result
    more: dict[str, Any] = {
        "examples_per_second": round(examples * len(result["epochs"]) / max(result["seconds"], 1e-9), 1)
    }
    more["recipe"] = step.run.inputs.get("recipe", {})
    changed = step.run.model_copy(update={"result": {"cut_examples": 0, **result, **more}})
    return Step(changed, step.folder, step.reused)


def _with_gates(step: Step, kind: str, gates: list[dict[str, Any]]) -> Step:
    listed = [{**gate, "quantization": kind} for gate in gates]
    return Step(step.run.model_copy(update={"result": {"gates": listed}}), step.folder, step.reused)
