"""A tiny decoder tuned on tiny rows, by any method: seconds for three epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet.training import lora, quantized
from linnet.training.decoder import TunedDecoder, train_decoder
from linnet.training.recipe import Recipe, decoder_recipe
from linnet.training.targets import TargetEncoder, Targets
from tests.tiny_decoder import chats


def tiny_recipe(**choices: Any) -> Recipe:
    """LoRA at a rate that moves a tiny model; 9 steps in 3 epochs."""
    given = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "lora_rank": 4, "lora_alpha": 8, **choices}
    return decoder_recipe(choices.get("method", "lora"), 24, 10**5).model_copy(update=given)


def moved(model: Any, recipe: Recipe) -> Any:
    """`model` with an adapter of the recipe that is no longer at its start; the same bits every time."""
    torch.manual_seed(0)
    lora.add(model, recipe)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def tiny_targets(base: Path) -> tuple[Targets, Targets]:
    encoder = TargetEncoder.of_folder(base)
    made = chats(30)
    return encoder.encode(made[:24], 256), encoder.encode(made[24:], 256)


def tune(base: Path, folder: Path, recipe: Recipe, **options: Any) -> TunedDecoder:
    train, validation = tiny_targets(base)
    options = {"original": base, **options}
    model = quantized.load(base, recipe)
    return train_decoder(
        model, train, validation, recipe, folder=folder, base_name="tiny", base_digest="b", **options
    )  # fmt: skip


def losses(tuned: TunedDecoder) -> list[float]:
    return [entry["validation_loss"] for entry in tuned.progress.history]


def weights(tuned: TunedDecoder) -> list[Tensor]:
    return [p.detach().clone() for p in tuned.model.parameters()]


@torch.no_grad()
def logits(model: Any, base: Path) -> Tensor:
    """Of one held-out row."""
    ids = torch.tensor([tiny_targets(base)[1].examples[0].ids])
    found: Tensor = model(input_ids=ids).logits[0].float()
    return found
