"""Fine-tune a decoder on the answers of chats: all weights or LoRA, through the one loop.

What is trained is fp32; a quantised base (training.quantized) stays as it is. There is no dropout. Batches hold rows
of like length, cut into parts of a bounded number of tokens; the loss is the mean over the targets of the whole batch,
however it is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core.errors import DataError, GateFailed, InputError
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, sha256_bytes
from linnet.core.settings import threads
from linnet.training import decoder_folder, lora, quantized
from linnet.training.answers import (
    PART_TOKENS,
    Decoder,
    Part,
    Rows,
    TargetLoss,
    cross_entropy,
    leave_gradients,
    mean_loss,
    parts,
    target_logits,
)
from linnet.training.batching import epoch_batches, padding_share
from linnet.training.loop import Group, Job, Progress, Trainer
from linnet.training.noise import noisy
from linnet.training.recipe import Recipe
from linnet.training.targets import Targets

CHECKPOINTS, ADAPTER = ".checkpoints", "adapter"
MERGE_BOUND = 1e-3  # largest difference of any logit between adapter and merged model, in fp32


@dataclass(frozen=True, slots=True)
class TunedDecoder:
    """A tuned model, LoRA already merged, and how it came to be."""

    model: Any
    progress: Progress
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Objective:
    """What is made small, and how many tokens are computed at once: a limit of memory, not of the batch."""

    loss: TargetLoss = cross_entropy
    part_tokens: int = PART_TOKENS


def _cut(rows: Rows, batch: Sequence[int], budget: int) -> list[Part]:
    return [rows.part(chosen) for chosen in parts(rows.lengths, batch, budget)]


def _groups(model: nn.Module, recipe: Recipe) -> list[Group]:
    """Matrices decay, norms and biases do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        Group([p for p in trained if p.dim() > 1], recipe.learning_rate, recipe.weight_decay),
        Group([p for p in trained if p.dim() <= 1], recipe.learning_rate, 0.0),
    ]


def make_job(
    decoder: Decoder, train: Rows, validation: Rows, recipe: Recipe, digest: str, objective: Objective = Objective()
) -> Job:
    """The job for the loop. Validation is by the plain loss, whatever the objective is, and without noise."""
    held = _cut(validation, range(len(validation)), objective.part_tokens)
    embedding = decoder.model.get_input_embeddings()

    def loss_of(batch: list[int]) -> Tensor:
        chosen = parts(train.lengths, batch, objective.part_tokens)
        with noisy(embedding, recipe.neftune_alpha, chosen, train.lengths):
            return leave_gradients(decoder, [train.part(rows) for rows in chosen], objective.loss)

    def score() -> dict[str, float]:
        loss = mean_loss(decoder, held)
        return {"loss": loss, "metric": -loss}

    return Job(
        groups=[group for group in _groups(decoder.model, recipe) if group.parameters],
        epoch_batches=lambda epoch: epoch_batches(train.lengths, recipe.batch_size, recipe.seed, epoch),
        loss_of=loss_of,
        score=score,
        name_of=lambda batch: ", ".join(str(train.numbers[i]) for i in batch),
        digest=digest,
    )


def job_digest(recipe: Recipe, base: str, train: Targets, validation: Targets) -> str:
    """What a checkpoint may be continued by: recipe, base and every token and mask."""
    data = [[[e.row, e.ids, e.mask] for e in split.examples] for split in (train, validation)]
    return recipe.digest(base, sha256_bytes(canonical(data)))


def train_decoder(
    model: Any,
    train: Targets,
    validation: Targets,
    recipe: Recipe,
    *,
    folder: Path,
    base_name: str,
    base_digest: str,
    objective: Objective = Objective(),
    original: Path | None = None,
    on_event: OnEvent = silent,
) -> TunedDecoder:
    """Train `model` (changed in place) and merge. With LoRA the adapter is in `folder/adapter`, from step 0 on.

    `base_digest` names the weights that `model` starts with. Early stopping is by validation loss. `original` is the
    folder of a quantised model's base: the adapter is merged into those weights. Raises DataError without validation
    rows, InputError for a recipe that does not fit, EngineError, GuardStopped, Interrupted, GateFailed, DiskFull.
    """
    _check(model, train, validation, recipe, original)
    torch.set_num_threads(threads())
    torch.manual_seed(recipe.seed)
    adapted = lora.add(model, recipe) if recipe.method == "lora" else None
    if adapted is not None and not (folder / ADAPTER).exists():
        lora.save(adapted, base_name, folder / ADAPTER)  # what a later stage opens can be opened before the long part
    decoder = Decoder(model)
    learned, held = Rows(train.examples), Rows(validation.examples)
    digest = job_digest(recipe, base_digest, train, validation)
    job = make_job(decoder, learned, held, recipe, digest, objective)
    progress = Trainer(job, recipe, folder / CHECKPOINTS, on_event).run()
    facts = {
        "seconds": round(progress.seconds, 3),
        "trained_parameters": sum(p.numel() for group in job.groups for p in group.parameters),
        "best_epoch": progress.best_epoch + 1,
        "epochs": progress.history,
        "train": train.facts(),
        "validation": validation.facts(),
        **_speed(learned, job, progress, objective.part_tokens),
    }
    if adapted is not None:
        lora.save(adapted, base_name, folder / ADAPTER)
        if recipe.quantization != "none" and original is not None:
            facts["quantized_loss"] = job.score()["loss"]
            adapted = lora.attach(decoder_folder.load(original), folder / ADAPTER)
        model, merged = _merge(adapted, held, folder, objective.part_tokens)
        facts |= merged
    return TunedDecoder(model.eval(), progress, facts)


def _check(model: Any, train: Targets, validation: Targets, recipe: Recipe, original: Path | None) -> None:
    if not validation.examples or not train.examples:
        raise DataError("Training needs rows to learn from, and others to see when to stop.", "Give at least two rows.")
    recipe.check()
    quantized.check_loaded(model, recipe)
    if recipe.quantization != "none" and original is None:
        raise InputError("The folder of a quantised model's base is missing: what was learned is merged into it.")


def _speed(rows: Rows, job: Job, progress: Progress, budget: int) -> dict[str, float]:
    cut = [chosen for batch in job.epoch_batches(0) for chosen in parts(rows.lengths, batch, budget)]
    every = range(len(rows))
    epochs = progress.examples / len(rows)
    seconds = max(progress.seconds, 1e-9)
    return {
        "padding_share": round(padding_share(rows.lengths, cut), 4),
        "tokens_per_second": round(sum(rows.lengths) * epochs / seconds, 1),
        "target_tokens_per_second": round(rows.count(every) * epochs / seconds, 1),
    }


@torch.no_grad()
def _merge(adapted: nn.Module, held: Rows, folder: Path, budget: int) -> tuple[Any, dict[str, float]]:
    """The merged model, its validation loss, and the largest difference of a logit at the first held-out targets."""
    probe = held.part(parts(held.lengths, range(len(held)), budget)[-1][:8])
    before = target_logits(Decoder(adapted.get_base_model()), probe)
    merged = Decoder(lora.merge(adapted))
    difference = float((target_logits(merged, probe) - before).abs().max())
    if not difference <= MERGE_BOUND:
        raise GateFailed(
            f"Merging changed a logit by {difference:.3g}; at most {MERGE_BOUND:g} is allowed.",
            f"The adapter is in {folder / ADAPTER}. Lower the learning rate, or use the full method.",
        )
    loss = mean_loss(merged, _cut(held, range(len(held)), budget))
    return merged.model, {"merge_difference": difference, "merged_loss": loss}
