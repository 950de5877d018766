"""Adapters of random numbers for a tiny decoder, strong enough to change what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.training.recipe import Recipe


def tiny_adapter(base: Path, folder: Path, *, seed: int = 5, strength: float = 0.1, **choices: Any) -> Path:
    """An adapter folder as a training leaves it. `choices` are fields of the recipe."""
    import torch

    from linnet.training import decoder_folder, lora

    recipe = Recipe(**{"method": "lora", "epochs": 1, "lora_rank": 4, "lora_alpha": 8, **choices})
    adapted = lora.add(decoder_folder.load(base), recipe)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_magnitude_vector" in name:
                weight.mul_(1 + strength * torch.rand_like(weight))
            elif "lora_B" in name:
                weight.normal_(std=strength)
    lora.save(adapted, "tiny", folder)
    return folder
