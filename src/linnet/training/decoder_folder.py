"""A decoder as a Hugging Face folder: opened in fp32 without network or foreign code, written back in the base's
precision with the base's own config, tokenizer and template. Knows no data and no training.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from linnet.core.errors import DiskFull, EngineError, os_errors
from linnet.core.files import check_space, make_folder, publish_folder, read_json, write_bytes, write_json
from linnet.formats.hf_folder import read_folder
from linnet.formats.model_check import check_text_model

WEIGHTS, TEMPLATE = "model.safetensors", "chat_template.jinja"
# Everything of the base that a loader reads beside the weights and the config.
KEEP = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
        "merges.txt", "vocab.txt", "chat_template.jinja", "chat_template.json", "generation_config.json")  # fmt: skip
LICENCE = re.compile(r"(LICEN[CS]E|NOTICE)[\w.-]*")
CODE_KEYS = ("auto_map", "custom_pipelines")
PRECISIONS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load(folder: Path, *, random_seed: int | None = None) -> Any:
    """The model in fp32; with `random_seed` one of the same shape with random weights.

    Raises ModelFileError when the check refuses the folder, EngineError when it is no decoder transformers knows.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check_text_model(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if random_seed is not None:
            torch.manual_seed(random_seed)
            return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False).eval()
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=torch.float32,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise EngineError(f"{folder} could not be loaded as a decoder: {error}.") from error
    return model.eval()


def precision(folder: Path) -> torch.dtype:
    """What most numbers of a folder's weights are stored as."""
    sizes: Counter[str] = Counter()
    for name, path in read_folder(folder).files.items():
        if name.endswith(".safetensors") and not name.startswith("adapter"):
            with safe_open(path, framework="pt") as handle:
                for key in handle.keys():  # noqa: SIM118 - no dict
                    part = handle.get_slice(key)
                    sizes[str(part.get_dtype())] += torch.Size(part.get_shape()).numel()
    stored = sizes.most_common(1)[0][0] if sizes else ""
    if stored not in PRECISIONS:
        raise EngineError(
            f"{folder} stores its weights as {stored or 'nothing'}; a tuned one is written as {', '.join(PRECISIONS)}.",
            "Tune the model it was quantised from.",
        )
    return PRECISIONS[stored]


def save(model: nn.Module, base: Path, folder: Path, template: str = "", *, dtype: torch.dtype | None = None) -> None:
    """Write `model`, whole or not at all, as `folder`: weights in the precision of `base`, the rest from `base`.

    `template` is a chat template that takes the place of the base's, `dtype` a precision that takes its place.

    Raises DiskFull, StoreError, ResourceMissing.
    """
    dtype = dtype or precision(base)
    state: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # a tied head is stored once
            seen.add(tensor.data_ptr())
            state[name] = tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()
    check_space(folder.parent, sum(t.numel() * t.element_size() for t in state.values()), f"{folder.name}")
    partial = folder.with_name(f".partial-{folder.name}")
    with os_errors(folder, "Writing"):
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial)
        try:
            save_file(state, partial / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:
            raise _refused(folder, error) from error
        copy_beside(base, partial)
        if template:
            write_template(partial, template)
        publish_folder(partial, folder)


def _refused(folder: Path, error: SafetensorError) -> Exception:
    if "os error 28" in str(error):
        return DiskFull(f"Writing {folder}: the disk is full.", "Free some space and run the same command again.")
    return OSError(0, str(error))


def copy_beside(base: Path, folder: Path) -> None:
    """Config, tokenizer, template and licence of `base`; keys that name code are left out."""
    config = read_json(base / "config.json")
    write_json(folder / "config.json", {k: v for k, v in config.items() if k not in CODE_KEYS})
    for name, path in read_folder(base).files.items():
        if name in KEEP or LICENCE.fullmatch(name):
            shutil.copyfile(path, folder / name)


def write_template(folder: Path, template: str) -> None:
    """Put a chat template where loaders look first; one inside tokenizer_config.json is taken out."""
    write_bytes(folder / TEMPLATE, template.encode())
    (folder / "chat_template.json").unlink(missing_ok=True)
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and "chat_template" in (found := read_json(settings)):
        write_json(settings, {key: value for key, value in found.items() if key != "chat_template"})
