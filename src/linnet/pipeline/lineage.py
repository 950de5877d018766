"""Hashes of what a specialist came from, as every kind of build tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linnet.core.records import Model
from linnet.core.store import Step
from linnet.core.task import Task
from linnet.version import code_version

CHAT_FILES = ("train.jsonl", "validation.questions.jsonl", "test.questions.jsonl")
LABEL_FILES = ("train.jsonl", "validation.jsonl", "test.jsonl")


def base_lineage(base: Model) -> dict[str, str]:
    """The base model: its name, the first of its weights, licence and source."""
    weights = [entry.sha256 for name, entry in base.files.items() if name.endswith((".safetensors", ".gguf"))]
    return {
        "name": base.name,
        "sha256": next(iter(weights), ""),
        "licence": base.licence,
        "source": base.source,
    }  # fmt: skip


def data_lineage(task: Task, prepared: Step, files: Sequence[str]) -> dict[str, Any]:
    """The prepared data, the code, and what the task states of them."""
    return {
        "dataset": prepared.run.key,
        **{f"{name.split('.')[0]}_sha256": prepared.sha256(name) for name in files},
        "code_version": code_version(),
        **task.data.stated(),
    }
