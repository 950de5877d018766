"""LoRA through PEFT: put adapters on a model, read them back, merge them in full precision.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"; rank-stabilised scaling
(Kalajdzievski 2023, alpha / sqrt(rank)); Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation".
"""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import nn

from linnet.core.errors import EngineError, NotFound
from linnet.core.files import read_json, write_json
from linnet.formats.safetensors import read_safetensors
from linnet.training.quantized import kind_of
from linnet.training.recipe import Recipe

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TARGETS = {
    "bert": ["query", "value", "intermediate.dense"],
    "distilbert": ["q_lin", "v_lin", "lin1"],
}


def add(backbone: nn.Module, recipe: Recipe) -> nn.Module:
    """The backbone with trainable adapters as the recipe wants them; everything else is frozen.

    The query, value and first feed-forward matrices of an encoder carry them: adapters on all six cost more time than
    they saved (docs/log.md). An architecture that is not listed gets them on every linear layer but the head."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        use_rslora=recipe.use_rslora,
        use_dora=recipe.use_dora,
        target_modules=TARGETS.get(str(backbone.config.model_type), "all-linear"),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for a name it is renaming
            adapted: nn.Module = get_peft_model(backbone, config)
    except ValueError as error:
        raise EngineError(f"LoRA cannot be put on this model: {error}.", 'Use methods = ["full"].') from error
    return adapted


def attach(model: nn.Module, folder: Path) -> nn.Module:
    """`model` with the saved adapter of `folder` on it. Raises EngineError when it was not made for this model."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError

    _need(folder, CONFIG)
    stored = {tensor.name for tensor in read_safetensors(_need(folder, WEIGHTS)).tensors}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted: nn.Module = PeftModel.from_pretrained(model, folder, local_files_only=True, use_safetensors=True)
        # PEFT passes over tensors that fit nothing, and starts afresh those that are missing.
        lost = sorted(stored ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False)))
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _of_another(folder, str(error).splitlines()[0]) from error
    if lost:
        raise _of_another(folder, f"only one of them has {lost[0]}")
    return adapted.eval()


def _need(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise NotFound(f"{folder} has no {name}.", "Give the folder that an adapter was saved in.")
    return folder / name


def _of_another(folder: Path, why: str) -> EngineError:
    return EngineError(f"The adapter {folder} does not fit this model: {why}.", "Take the base that it was trained on.")


def merge(backbone: nn.Module) -> nn.Module:
    """The plain backbone with the adapters added into its own weights, in their own precision.

    Raises EngineError for a quantised one: rounding the sum again would lose what was learned.
    """
    if (kind := kind_of(backbone)) != "none":
        raise EngineError(
            f"An adapter is never merged into {kind} weights.", "Put it on the base in its original precision first."
        )
    merged: nn.Module = backbone.merge_and_unload()
    return merged


def save(backbone: nn.Module, base_name: str, folder: Path) -> None:
    """Write the adapters in PEFT's format, with the base's name instead of a path of this machine."""
    # Told nothing of embeddings, PEFT asks a hub by the base's name whether its vocabulary has grown.
    backbone.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    config = read_json(folder / CONFIG)
    write_json(folder / CONFIG, {**config, "base_model_name_or_path": base_name})
    (folder / "README.md").unlink(missing_ok=True)
