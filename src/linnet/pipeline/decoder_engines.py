"""Decoders trained to answer a text with a label or with spans, each as a folder that an engine opens.

Knows no metric: what the answers are worth is measured by those who ask for them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linnet.core.errors import GateFailed
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, write_bytes, write_json
from linnet.core.records import Model
from linnet.core.runs import find_run
from linnet.core.store import Step, Store
from linnet.core.task import ENCODER_TYPES, Task
from linnet.engines.base import GGUF
from linnet.engines.onnx_runtime.onnx import ENGINE
from linnet.pipeline.candidates_plan import Way, too_long, training
from linnet.pipeline.gguf import converted, own_precision
from linnet.pipeline.tune import run_tuning
from linnet.stages.merge import merge
from linnet.version import code_version

DEFAULT_TYPES = ("Q8_0",)
CONTEXT = 1024
TRAINED = ("train", "validation")
Pairs = Callable[[str], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Ask:
    """What the decoders learn to answer. `chats` holds their rows; `told` is written to `file` in each folder, with
    the context that fits."""

    chats: Step
    file: str
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DecoderEngine:
    """A decoder by a method in a type. `gates` are those between training and this file."""

    name: str
    base: Model
    method: str
    quantization: str
    packed: Step
    tuned: Step
    merged: Step
    gates: list[dict[str, Any]]
    examples: int

    @property
    def files(self) -> dict[str, str]:
        return {name: entry.sha256 for name, entry in self.packed.run.files.items()}


def chats_of(store: Store, prepared: Step, instruction: str, pairs: Pairs) -> Step:
    """The rows as chats: `pairs` gives each text of a split with its answer."""
    inputs = {split: prepared.sha256(f"{split}.jsonl") for split in TRAINED}

    def work(folder: Path) -> dict[str, Any]:
        for split in TRAINED:
            rows = [
                {
                    "messages": [
                        {"role": "system", "content": instruction},
                        {"role": "user", "content": text},
                        {"role": "assistant", "content": answer},
                    ]
                }
                for text, answer in pairs(split)
            ]
            write_bytes(folder / f"{split}.jsonl", b"".join(canonical(row) + b"\n" for row in rows))
        return {}

    inputs |= {"instruction": instruction, "code": code_version("pipeline")}
    return store.step("chats", inputs, work, label="chats")


def plan_ways(store: Store, task: Task, names: Sequence[str], ask: Ask) -> tuple[list[Way], dict[str, str]]:
    """Every decoder by every method, with the types that are no encoder's; and what `train_minutes` rules out."""
    ways: list[Way] = []
    excluded: dict[str, str] = {}
    kinds = tuple(kind for kind in task.candidates.quantizations if kind not in ENCODER_TYPES) or DEFAULT_TYPES
    for name in names:
        for method in task.candidates.methods:
            found = training(store, task, name, method, ask.chats.folder)
            way = replace(found, label=f"{found.base.name.replace(':', '-')}-{found.method}", kinds=kinds)
            if why := too_long(way.seconds, task.budget):
                excluded |= {way.candidate(kind): why for kind in kinds}
            else:
                ways.append(way)
    return ways, excluded


def make_engines(
    store: Store, task: Task, names: Sequence[str], ask: Ask, on_event: OnEvent = silent
) -> tuple[list[DecoderEngine], dict[str, str], dict[str, str]]:
    """Tune, merge and convert every decoder by every method and type that is not an encoder's.

    Beside them what the plan rules out, with the number; and the types whose gate failed, with what it said.
    """
    made: list[DecoderEngine] = []
    failed: dict[str, str] = {}
    ways, excluded = plan_ways(store, task, names, ask)
    for way in ways:
        base, job = way.base, way.job
        assert job is not None  # noqa: S101 it trains
        tuned = run_tuning(store, base, job, on_event).step
        merged = merge(store, base, find_run(store, tuned.run.id, "tune"), on_event)
        for kind in way.kinds:
            name = way.candidate(kind)
            try:
                path, sha256, gates = _as_type(store, merged, kind)
            except GateFailed as error:
                failed[name] = f"gate failed: {error.message}"
                on_event(Event("warning", "convert", f"{name}: {error.message}"))
                continue
            packed = _packed(store, (path, sha256), ask, min(CONTEXT, base.max_tokens or CONTEXT), name)
            made.append(DecoderEngine(name, base, way.method, kind, packed, tuned, merged, gates, len(job.data.train)))
    return made, excluded, failed


def _as_type(store: Store, merged: Step, kind: str) -> tuple[Path, str, list[dict[str, Any]]]:
    """The file of this type, its hash, and the gates between training and it."""
    path, gates = merged.folder / GGUF, list(merged.result["gates"])
    if kind == own_precision(merged.folder / "model"):
        return path, merged.sha256(GGUF), gates
    step = converted(store, path, {GGUF: merged.run.files[GGUF]}, kind)
    divergence = step.result["gate"]["divergence"] or {}
    said = f"mean KL divergence {divergence.get('mean', 0.0):.4f}"
    gates.append({"name": f"GGUF = {kind}", "bound": "predicts as its source", "measured": said, "passed": True})
    return step.folder / GGUF, step.sha256(GGUF), gates


def _packed(store: Store, model: tuple[Path, str], ask: Ask, limit: int, name: str) -> Step:
    """The folder that the engine opens."""
    path, sha256 = model
    told = {**ask.told, "context": limit}

    def work(folder: Path) -> dict[str, Any]:
        (folder / GGUF).unlink(missing_ok=True)
        try:
            os.link(path, folder / GGUF)
        except OSError:
            shutil.copyfile(path, folder / GGUF)
        write_json(folder / ask.file, told)
        write_json(folder / ENGINE, {"max_tokens": limit})
        return {}

    return store.step("bundle", {"model": sha256, "file": ask.file, "asked": told}, work, label=name)
