"""The frozen base of a QLoRA training in 4 or 8 bits, through bitsandbytes. Its weights are never written anywhere.

Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (nf4, double quantisation); Dettmers et al. 2022,
"LLM.int8()". Embeddings, norms and the head stay in the compute type.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from linnet.core.errors import InputError
from linnet.engines.pytorch.torch_load import load_causal
from linnet.training import decoder_folder
from linnet.training.devices import CPU
from linnet.training.recipe import Recipe


def load(folder: Path, recipe: Recipe, device: torch.device = CPU) -> Any:
    """The decoder of `folder` as the recipe trains it: quantised on the way to `device`, for an adapter as it is stored
    (training.fused widens what must be), else in fp32.

    Raises ModelFileError, EngineError, and ResourceMissing when bitsandbytes is not installed.
    """
    recipe.check()
    if recipe.quantization == "none":
        return load_causal(folder) if recipe.method == "lora" else decoder_folder.load(folder)
    decoder_folder.precision(folder)  # what is quantised already is not quantised again
    dtype = getattr(torch, recipe.compute_dtype)
    return load_causal(
        folder, recipe.quantization, dtype, double_quantization=recipe.double_quantization, device=str(device)
    )


def _kind(module: nn.Module) -> str:
    """By the class's name, so that asking does not import bitsandbytes. PEFT's wrappers have the same names."""
    if not type(module).__module__.startswith("bitsandbytes."):
        return ""
    return {"Linear4bit": "nf4", "Linear8bitLt": "int8"}.get(type(module).__name__, "")


def kind_of(model: nn.Module) -> str:
    """ "nf4", "int8" or "none": how the linear layers of a model are held."""
    return next((_kind(module) for module in model.modules() if _kind(module)), "none")


def check_loaded(model: nn.Module, recipe: Recipe) -> None:
    """Raise InputError when a model is not held as the recipe says: it would train something else."""
    if (kind := kind_of(model)) != recipe.quantization:
        raise InputError(
            f"The recipe's quantization is {recipe.quantization!r}, the model's is {kind!r}.",
            "Load it with training.quantized.load(folder, recipe).",
        )
