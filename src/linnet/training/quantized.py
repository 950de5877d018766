"""The frozen base of a QLoRA training in 4 or 8 bits, through bitsandbytes. Its weights are never written anywhere.

Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (nf4, double quantisation); Dettmers et al. 2022,
"LLM.int8()". Embeddings, norms and the head stay in the compute type.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from linnet.core.errors import EngineError, InputError, require
from linnet.formats.model_check import check_text_model
from linnet.training import decoder_folder
from linnet.training.recipe import Recipe

EXTRA = "quantize"


def load(folder: Path, recipe: Recipe) -> Any:
    """The decoder of `folder` as the recipe trains it: quantised on the way in, or in fp32 when it wants that.

    Raises ModelFileError, EngineError, and ResourceMissing when bitsandbytes is not installed.
    """
    recipe.check()
    if recipe.quantization == "none":
        return decoder_folder.load(folder)
    require("bitsandbytes", EXTRA)
    require("accelerate", "train")
    check_text_model(folder)
    decoder_folder.precision(folder)  # what is quantised already is not quantised again
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as their_logging

    their_logging.set_verbosity_error()
    their_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # one line for every layer and step
    dtype = getattr(torch, recipe.compute_dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
                quantization_config=_settings(recipe, dtype), device_map={"": "cpu"},
            )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise EngineError(f"{folder} could not be loaded as {recipe.quantization}: {error}.") from error
    for layer in _layers(model):
        # On some processors bitsandbytes repacks a layer when it is first only read, and computes otherwise from
        # then on: a resumed training would no longer be the same bits.
        layer.support_avx512bf16_for_cpu = False
    return model.eval()


def _settings(recipe: Recipe, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if recipe.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=recipe.double_quantization,
        bnb_4bit_compute_dtype=dtype,
    )


def _layers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if _kind(module)]


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
