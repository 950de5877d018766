"""Tune: a base encoder and prepared examples become a trained classifier, merged and ready to be converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.errors import GateFailed, require
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import check_space
from linnet.core.records import Model
from linnet.core.store import Step, Store
from linnet.text.example_files import read_examples
from linnet.training.recipe import Recipe

MERGE_BOUND = 1e-3  # largest difference of any logit between adapter and merged model


def tune(
    store: Store, base: Model, prepared: Step, labels: list[str], recipe: Recipe, on_event: OnEvent = silent
) -> Step:
    """Train by the recipe. The step's folder holds `model/`, and `adapter/` for LoRA.

    An interrupted training goes on from its last checkpoint to the same weights, bit for bit, on the same machine
    with the same number of threads. Raises GuardStopped, Interrupted, GateFailed, DiskFull, EngineError.
    """
    train, validation = prepared.sha256("train.jsonl"), prepared.sha256("validation.jsonl")
    inputs = {
        "base": {name: entry.sha256 for name, entry in base.files.items()},
        "base_name": base.name,
        "train": train,
        "validation": validation,
        "labels": labels,
        "recipe": recipe.to_json(),
    }
    name = f"{recipe.method} on {base.name}"

    def work(folder: Path) -> dict[str, Any]:
        require("torch", "train")
        from linnet.engines import torch_encoder
        from linnet.training.classify import encode, train_classifier

        # Weights, their average, the best ones and two moments, and the finished model: an upper bound.
        check_space(folder, 6 * base.files["model.safetensors"].size_bytes, f"Training {name}")
        tokenizer = Path(base.path) / "tokenizer.json"
        learned, held = (
            encode(read_examples(prepared.folder / f"{split}.jsonl"), labels, tokenizer, recipe.max_tokens)
            for split in ("train", "validation")
        )
        on_event(Event("note", "tune", f"{recipe.method}: {recipe.reasons(len(learned.ids))}"))
        digest = recipe.digest(train, validation, str(inputs["base"]), str(labels))
        trained = train_classifier(base, labels, learned, held, recipe, folder=folder, digest=digest, on_event=on_event)
        _merge_gate(name, trained.facts.get("merge_difference", 0.0))
        torch_encoder.save(trained.classifier, base, folder / "model")
        return {**trained.facts, "method": recipe.method, "base": base.name, "recipe": recipe.to_json()}

    step = store.step("tune", inputs, work, on_event, label=name)
    if not step.reused:
        from linnet.training import checkpoints
        from linnet.training.classify import CHECKPOINTS

        checkpoints.clear(step.folder / CHECKPOINTS)
    return step


def _merge_gate(name: str, difference: float) -> None:
    if difference > MERGE_BOUND:
        raise GateFailed(
            f"{name}: merging changed a logit by {difference:.2g}; at most {MERGE_BOUND:g} is allowed.",
            'The adapter is fine, the merge lost precision. Use methods = ["full"].',
        )
