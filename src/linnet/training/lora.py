"""LoRA through PEFT: put adapters on an encoder, merge them back in full precision.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"; rank-stabilised scaling
(Kalajdzievski 2023, alpha / sqrt(rank)).
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from linnet.core.errors import EngineError
from linnet.core.files import read_json, write_json

TARGETS = {
    "bert": ["query", "value", "intermediate.dense"],
    "distilbert": ["q_lin", "v_lin", "lin1"],
}


def add(backbone: nn.Module, rank: int, alpha: int) -> nn.Module:
    """The backbone with trainable adapters; everything else is frozen.

    The query, value and first feed-forward matrices carry them: adapters on all six cost more time than they saved
    (docs/log.md). An architecture that is not listed gets them on every linear layer."""
    import warnings

    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        use_rslora=True,
        target_modules=TARGETS.get(str(backbone.config.model_type), "all-linear"),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers for a name it is renaming
            adapted: nn.Module = get_peft_model(backbone, config)
    except ValueError as error:
        raise EngineError(f"LoRA cannot be put on this encoder: {error}.", 'Use methods = ["full"].') from error
    return adapted


def merge(backbone: nn.Module) -> nn.Module:
    """The plain backbone with the adapters added into its own weights, in their own precision."""
    merged: nn.Module = backbone.merge_and_unload()
    return merged


def save(backbone: nn.Module, base_name: str, folder: Path) -> None:
    """Write the adapters in PEFT's format, with the base's name instead of a path of this machine."""
    backbone.save_pretrained(folder, safe_serialization=True)
    config = read_json(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": base_name})
    (folder / "README.md").unlink(missing_ok=True)
