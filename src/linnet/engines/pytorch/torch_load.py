"""Open a decoder's Hugging Face folder in torch: as it is stored, or in 4 or 8 bits through bitsandbytes.

Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (nf4, double quantisation); Dettmers et al. 2022,
"LLM.int8()". Embeddings, norms and the head stay in the compute type. No network, no code of the folder's own.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core.errors import EngineError, InputError, require
from linnet.formats.model_check import check_text_model

if TYPE_CHECKING:
    import torch

KINDS = ("none", "nf4", "int8")
EXTRA = "quantize"


def check_kind(quantization: str) -> None:
    """Raise InputError for a kind that is not known, ResourceMissing where its library is not installed."""
    if quantization not in KINDS:
        raise InputError(f"{quantization[:40]!r} is no quantisation of torch.", f"Known: {', '.join(KINDS)}.")
    require("torch", "train")
    if quantization != "none":
        require("bitsandbytes", EXTRA)
        require("accelerate", "train")


def load_causal(
    folder: Path,
    quantization: str = "none",
    dtype: torch.dtype | None = None,
    *,
    double_quantization: bool = True,
    device: str = "cpu",
) -> Any:
    """The model in evaluation mode, its matrices as `quantization`: "none", "nf4" or "int8".

    dtype: what is computed in, and with "none" kept in; by default what the folder stores, bfloat16 when quantised.
    Raises ModelFileError when the check refuses the folder, EngineError when transformers cannot load it, and what
    `check_kind` raises.
    """
    check_kind(quantization)
    check_text_model(folder)
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as their_logging

    their_logging.set_verbosity_error()
    their_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # one line for every layer and step
    options: dict[str, Any] = {"dtype": dtype or "auto"}
    if quantization != "none":
        dtype = dtype or torch.bfloat16
        settings = _settings(quantization, dtype, double_quantization)
        options = {"dtype": dtype, "quantization_config": settings, "device_map": {"": device}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, **options
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        what = "as a decoder" if quantization == "none" else f"as {quantization}"
        raise EngineError(f"{folder} could not be loaded {what}: {error}.") from error
    for module in model.modules():
        # On some processors bitsandbytes repacks a layer when it is first only read, and computes otherwise from
        # then on: a resumed training would no longer be the same bits.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return (model if quantization != "none" else model.to(device)).eval()


def _settings(quantization: str, dtype: torch.dtype, double_quantization: bool) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double_quantization,
        bnb_4bit_compute_dtype=dtype,
    )
