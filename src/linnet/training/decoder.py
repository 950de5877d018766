"""Fine-tune a decoder on the answers of chats: all weights or LoRA, through the one loop.

What is trained is fp32; a quantised base (training.quantized) stays as it is. There is no dropout. Batches are drawn at
random and cut into parts of like length and a bounded number of tokens; the loss is the mean over the targets of the
whole batch, however it is cut, and however many processes share it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core.errors import DataError, GateFailed, InputError
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, sha256_bytes
from linnet.core.settings import threads
from linnet.training import decoder_folder, devices, fused, kernels, lora, parallel, quantized, sharding
from linnet.training.allocator import large_blocks
from linnet.training.answers import (
    Decoder,
    Part,
    Rows,
    TargetLoss,
    cross_entropy,
    idle,
    leave_gradients,
    mean_loss,
    parts,
    sum_loss,
)
from linnet.training.batching import RANDOM, epoch_batches, padding_share
from linnet.training.loop import Group, Job, Progress, Trainer
from linnet.training.merging import added
from linnet.training.noise import noisy
from linnet.training.recipe import GPU_PART_TOKENS, PART_TOKENS, Recipe
from linnet.training.targets import Targets

READ_ROWS, READ_LEAST, READ_SLACK = 8, 64, 1.5  # rows, tokens, nats
CHECKPOINTS, ADAPTER = ".checkpoints", "adapter"


@dataclass(frozen=True)
class TunedDecoder:
    """A tuned model and how it came to be. `trained` is as it was trained: LoRA is not merged."""

    trained: Any
    progress: Progress
    facts: dict[str, Any]
    _merging: _Merging | None = field(default=None, repr=False)

    @cached_property
    def model(self) -> Any:
        """The plain model. LoRA is merged when this is first asked for, and `trained` is used up unless quantised.

        Raises GateFailed when the merge changes what it says.
        """
        return self._merging.merge(self.trained) if self._merging else self.trained


@dataclass(frozen=True, slots=True)
class _Merging:
    """What a merge is proved on, and where its parts are; `original` is the base of a quantised one."""

    adapter: Path
    original: Path | None
    held: Rows
    budget: int

    def merge(self, adapted: Any) -> Any:
        if self.original is not None:
            adapted = lora.attach(decoder_folder.load(self.original), self.adapter)
        fused.release(adapted)
        rows = parts(self.held.lengths, range(len(self.held)), self.budget)[-1][:8]
        hint = f"The adapter is in {self.adapter}. Lower the learning rate, or use the full method."
        return added(adapted, [self.held.part(rows)], hint)[0].eval()


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
    budget = part_budget(recipe, objective, decoder.device)
    held = _cut(validation, parallel.share(range(len(validation)), validation.lengths), budget)
    embedding = decoder.model.get_input_embeddings()
    is_spread = sharding.is_sharded(decoder.model.parameters())

    def loss_of(batch: list[int]) -> Tensor:
        chosen = parts(train.lengths, parallel.share(batch, train.lengths), budget)
        with noisy(embedding, recipe.neftune_alpha, chosen, train.lengths):
            made = [train.part(rows) for rows in chosen]
            loss = leave_gradients(decoder, made, objective.loss, train.count(batch))
        if is_spread:
            idle(decoder, parallel.most(len(chosen)) - len(chosen))
        return loss

    def score() -> dict[str, float]:
        total, count = parallel.summed(sum_loss(decoder, held))
        if is_spread:
            with torch.no_grad():
                idle(decoder, parallel.most(len(held)) - len(held))
        loss = total / max(count, 1)
        return {"loss": loss, "metric": -loss}

    return Job(
        groups=[group for group in _groups(decoder.model, recipe) if group.parameters],
        epoch_batches=lambda epoch: epoch_batches(train.lengths, recipe.batch_size, recipe.seed, epoch, RANDOM),
        loss_of=loss_of,
        score=score,
        name_of=lambda batch: ", ".join(str(train.numbers[i]) for i in batch),
        digest=digest,
    )


def part_budget(recipe: Recipe, objective: Objective = Objective(), device: torch.device = devices.CPU) -> int:
    """How many tokens are computed at once."""
    usual = objective.part_tokens if device.type == "cpu" else GPU_PART_TOKENS
    return recipe.part_tokens or usual


def job_digest(
    recipe: Recipe, base: str, train: Targets, validation: Targets, device: torch.device = devices.CPU
) -> str:
    """What a checkpoint may be continued by: recipe, base, every token and mask, torch, how many processes, and a GPU
    or none."""
    data = [[[e.row, e.ids, e.mask] for e in split.examples] for split in (train, validation)]
    here = [torch.__version__, str(parallel.size()), *devices.identity(device)]
    return recipe.digest(base, sha256_bytes(canonical(data)), *here)


def spare_memory(model: Any) -> None:
    """Compute layers a second time instead of keeping their numbers; nothing else behaves as in training."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True  # of the layer alone: what is inside has no dropout


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
    shard: bool = False,
    device: torch.device = devices.CPU,
    on_event: OnEvent = silent,
) -> TunedDecoder:
    """Train `model`, changed in place. With LoRA the adapter is in `folder/adapter`, from step 0 on.

    `base_digest` names the weights that `model` starts with. Early stopping is by validation loss. With `shard` each of
    several processes holds a part of the weights. `original` is the folder of the base: what was learned on a quantised
    or a sharded one is merged into those weights. On a GPU as `device` precision is mixed.
    Raises DataError without validation rows, GateFailed for another model's tokenizer, InputError, EngineError,
    GuardStopped, Interrupted, DiskFull.
    """
    _check(model, train, validation, recipe, original)
    torch.set_num_threads(threads())
    decoder, adapted = ready(model, recipe, device)
    if adapted is not None and not (folder / ADAPTER).exists() and not parallel.rank():
        lora.save(adapted, base_name, folder / ADAPTER)  # what a later stage opens can be opened before the long part
    learned, held = Rows(train.examples), Rows(validation.examples)
    check_tokens(decoder, train, base_name)
    if shard and parallel.size() > 1:
        sharding.shard(model)
    digest = job_digest(recipe, base_digest, train, validation, device)
    job = make_job(decoder, learned, held, recipe, digest, objective)
    trainer = Trainer(job, recipe, folder / CHECKPOINTS, on_event)
    with large_blocks():
        progress = trainer.run()
    facts: dict[str, Any] = {"train": train.facts(), "validation": validation.facts(), **_facts(model, job, trainer)}
    facts |= _speed(learned, job, progress, part_budget(recipe, objective, device))
    sharding.gather(model)
    _take_back(model)
    if adapted is None:
        return TunedDecoder(model.eval(), progress, facts)
    if not parallel.rank():
        lora.save(adapted, base_name, folder / ADAPTER)
    base = original if recipe.quantization != "none" or shard else None
    return TunedDecoder(
        adapted, progress, facts, _Merging(folder / ADAPTER, base, held, part_budget(recipe, objective))
    )


def _take_back(model: Any) -> None:
    """Off the GPU: merging and writing are the processor's. A quantised model stays, since no number of it is used."""
    if devices.of(model).type == "cpu" or quantized.kind_of(model) != "none":
        return
    fused.withdraw(model)
    model.to(devices.CPU)


def check_tokens(decoder: Decoder, train: Targets, name: str) -> None:
    """Raise GateFailed when a model reads its rows worse than one that guesses: its tokenizer is another model's.

    Guessing among V tokens costs ln V nats a token. Control tokens are left out: a base may never have seen them.
    """
    size = int(decoder.head.weight.shape[0])
    hint = "Nothing was trained. Take tokenizer.json from where the weights came from."
    if (largest := max(max(one.ids) for one in train.examples)) >= size:
        raise GateFailed(
            f"{name}: the culprit is the tokenizer: it gives the token {largest}, the model has {size}.", hint
        )
    shown = [
        replace(one, pieces=tuple(replace(piece, is_target=not piece.is_control) for piece in one.pieces))
        for one in train.examples[:READ_ROWS]
    ]
    rows = Rows([one for one in shown if len(one.ids) > 1])
    made = [rows.part([index]) for index in range(len(rows))]
    if sum(len(part.where) for part in made) < READ_LEAST:
        return
    found, guessing = mean_loss(decoder, made), math.log(size)
    if found > guessing + READ_SLACK:
        raise GateFailed(
            f"{name}: the culprit is the tokenizer: before training a token of the rows costs {found:.1f} nats, "
            f"{guessing:.1f} where one guesses. It looks like another model's.",
            hint,
        )


def settle(model: Any, device: torch.device, *, narrow: bool = True) -> None:
    """Put a model where it is trained, its layers in one piece where that says the same; `narrow` as for fused."""
    if device.type == "cpu":
        fused.fuse(model, narrow=narrow)
        return
    devices.place(model, device)
    kernels.fuse(model)


def ready(model: Any, recipe: Recipe, device: torch.device = devices.CPU) -> tuple[Decoder, Any]:
    """The model as the recipe trains it, and its fresh adapter for LoRA, else None; the same bits every time.

    Raises EngineError for a model whose loss cannot be computed here.
    """
    torch.manual_seed(recipe.seed)
    adapted = lora.add(model, recipe) if recipe.method == "lora" else None
    settle(model, device)
    decoder = Decoder(model)
    if recipe.gradient_checkpointing:
        spare_memory(model)
    return decoder, adapted


def _check(model: Any, train: Targets, validation: Targets, recipe: Recipe, original: Path | None) -> None:
    if not validation.examples or not train.examples:
        raise DataError("Training needs rows to learn from, and others to see when to stop.", "Give at least two rows.")
    recipe.check()
    quantized.check_loaded(model, recipe)
    if recipe.quantization != "none" and original is None:
        raise InputError("The folder of a quantised model's base is missing: what was learned is merged into it.")


def _facts(model: nn.Module, job: Job, trainer: Trainer) -> dict[str, Any]:
    progress = trainer.at
    return {
        "seconds": round(progress.seconds, 3),
        "trained_parameters": sum(p.numel() for group in job.groups for p in group.parameters),
        "best_epoch": progress.best_epoch + 1,
        "epochs": progress.history,
        "resumed_step": trainer.resumed_at,
        "processes": parallel.size(),
        "sharded": trainer.is_spread,
        "fused_layers": fused.count(model),
        "device": devices.name(trainer.device),
        "device_memory_bytes": devices.peak_bytes(trainer.device),
        "torch": torch.__version__,
    }


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
