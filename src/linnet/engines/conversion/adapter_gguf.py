"""A LoRA in PEFT's format as a GGUF adapter, which llama.cpp puts on its base, and the proof that it says the same.

llama.cpp computes W x + alpha / rank * B (A x). Rank-stabilised scaling (Kalajdzievski 2023) is alpha / sqrt(rank), so
the file's alpha is then larger by sqrt(rank). What has no such form, DoRA first of all, is refused.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from linnet.core.errors import GateFailed, InputError, ModelFileError
from linnet.core.files import check_space, fsync_folder, make_folder, read_json
from linnet.core.records import Record
from linnet.engines.conversion.convert import DEADLINE_SECONDS, SECONDS_PER_GB, run_child, tools_folder
from linnet.engines.scoring.scorer import Floats, Scorer
from linnet.formats.gguf_adapter import check_adapter
from linnet.formats.hf_folder import read_folder
from linnet.formats.model_check import check_model
from linnet.formats.safetensors import SafeTensor, read_safetensors
from linnet.metrics.divergence import kl_divergences

AdapterPrecision = Literal["F32", "F16"]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BOUND = 1e-3  # largest difference of a logit, relative to the largest logit at its place
NEW_TOKENS = 32
MERGE = "Merge it, and serve the merged model."
# Settings that say how an adapter was made. Any other one that is set may change what it computes.
HARMLESS = {
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "r",
    "target_modules", "exclude_modules", "lora_alpha", "lora_dropout", "use_rslora", "layers_to_transform",
    "layers_pattern", "rank_pattern", "alpha_pattern", "megatron_core", "loftq_config", "eva_config",
    "qalora_group_size", "ensure_weight_tying",
}  # fmt: skip
# Other ways to start (pissa, olora, loftq, corda) change the base's own weights.
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
}  # fmt: skip
_KEY = re.compile(r"base_model\.model\.(?P<name>[\w.]+)\.lora_(?P<half>[AB])\.weight")


class AdapterProof(Record):
    """An adapter on its base against the merged model, over `tokens` places of `prompts` prompts.

    relative_difference: the largest |a - b| of any logit over the largest |b| at its place. kl_divergence: the mean
    in nats. greedy_tokens: how many tokens of answers were compared, all of them equal. effect: the relative
    difference between the base alone and the merged model; equality would prove nothing if it were as small.
    """

    prompts: int
    tokens: int
    relative_difference: float
    kl_divergence: float
    greedy_tokens: int
    effect: float


def write_adapter(adapter: Path, base: Path, target: Path, precision: AdapterPrecision = "F32") -> None:
    """Write `target` from a PEFT folder and the Hugging Face folder of its base.

    The base's config says how llama.cpp names and reorders weights; its weights are not read. Raises ModelFileError,
    which names the setting or tensor that a GGUF adapter has no form for, EngineError, DiskFull, ResourceMissing.
    """
    tools = tools_folder()
    check_model(base)
    job = {
        "tools": str(tools), "base": str(base.absolute()), "folder": str(adapter.absolute()), "precision": precision,
        **adapter_job(adapter),
    }  # fmt: skip
    size = (adapter / WEIGHTS).stat().st_size
    make_folder(target.parent)
    check_space(target.parent, 2 * size, f"{target.name}")
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=target.absolute().parent) as scratch:
        partial = Path(scratch) / "adapter.gguf"
        allowed = DEADLINE_SECONDS + SECONDS_PER_GB * size / 1e9
        run_child(
            "linnet.engines.conversion.adapter_gguf_main", {**job, "target": str(partial)}, Path(scratch), allowed
        )
        check_model(partial)
        with partial.open("rb+") as handle:
            os.fsync(handle.fileno())
        partial.replace(target)
        fsync_folder(target.absolute().parent)


def adapter_job(folder: Path) -> dict[str, Any]:
    """What a checked adapter folder holds: file, alpha as llama.cpp counts it, and the pairs of halves."""
    found = read_folder(folder).files
    if CONFIG not in found or WEIGHTS not in found:
        missing = next(name for name in (CONFIG, WEIGHTS) if name not in found)
        raise ModelFileError(missing, f"{folder} has no {missing}.", "Give the folder that PEFT saved an adapter in.")
    config = read_json(found[CONFIG])
    if not isinstance(config, dict):
        raise ModelFileError(CONFIG, f"{found[CONFIG]} is no object.")
    _check_settings(folder, config)
    halves = _halves(folder, read_safetensors(found[WEIGHTS]).tensors)
    rank, alpha = _number(config, "r"), _number(config, "lora_alpha")
    scaled = alpha * math.sqrt(rank) if config.get("use_rslora") else alpha
    pairs = [
        {
            "name": f"{name}.weight", "a": one["A"].name, "b": one["B"].name,
            "factor": _scale(config, name, one["A"].shape[0]) * one["A"].shape[0] / scaled,
        }
        for name, one in sorted(halves.items())
    ]  # fmt: skip
    return {"weights": str(found[WEIGHTS].absolute()), "alpha": scaled, "pairs": pairs}


def _check_settings(folder: Path, config: dict[str, Any]) -> None:
    for setting, value in config.items():
        plain = value in PLAIN[setting] if setting in PLAIN else setting in HARMLESS or not value
        if not plain:
            said = str(value)[:80]
            raise ModelFileError(setting, f"{folder}: {setting} is {said}; a GGUF adapter has no form for it.", MERGE)
    for pattern in config.get("alpha_pattern") or {}:
        if not re.fullmatch(r"[\w.]+", pattern):  # PEFT reads regular expressions; a stranger's is not run
            raise ModelFileError("alpha_pattern", f"alpha_pattern {pattern[:80]!r}: only module names are read.", MERGE)


def _number(config: dict[str, Any], name: str) -> float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise ModelFileError(name, f"{CONFIG}: {name} is {str(value)[:80]}; it must be a number above 0.")
    return float(value)


def _halves(folder: Path, tensors: Sequence[SafeTensor]) -> dict[str, dict[str, SafeTensor]]:
    halves: dict[str, dict[str, SafeTensor]] = {}
    for tensor in tensors:
        found = _KEY.fullmatch(tensor.name)
        if found is None or len(tensor.shape) != 2:
            raise ModelFileError(tensor.name, f"{folder}: a GGUF adapter has no form for {tensor.name}.", MERGE)
        halves.setdefault(found["name"], {})[found["half"]] = tensor
    for name, one in halves.items():
        if set(one) != {"A", "B"} or one["A"].shape[0] != one["B"].shape[1]:
            raise ModelFileError(name, f"{folder}: {name} needs lora_A and lora_B of one rank.", "Save it again.")
    if not halves:
        raise ModelFileError(WEIGHTS, f"{folder} holds no tensors.", "Save it again.")
    return halves


def _scale(config: dict[str, Any], name: str, rank: int) -> float:
    """What PEFT multiplies B A by in one module. Patterns match the end of its name, the first of them wins."""
    alpha = _number(config, "lora_alpha")
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if name == pattern or name.endswith(f".{pattern}"):
            alpha = _number({"alpha_pattern": value}, "alpha_pattern")
            break
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def prove_adapter(
    adapter: Path, base: Path, merged: Path, prompts: Sequence[Sequence[int]], new_tokens: int = NEW_TOKENS
) -> AdapterProof:
    """Compare an adapter (GGUF) on its base with the merged model, both F32 GGUF, on prompts of token ids.

    Raises GateFailed when a logit differs by more than BOUND or a greedy answer is another, ModelFileError when the
    adapter is of another model, InputError without prompts, EngineError.
    """
    if not prompts:
        raise InputError("There are no prompts to compare the adapter on.", "Give at least one.")
    check_adapter(adapter, base)
    length = max(map(len, prompts)) + new_tokens
    ours, said = _read(base, adapter, prompts, length, new_tokens)
    theirs, expected = _read(merged, None, prompts, length, new_tokens)
    plain, _ = _read(base, None, prompts, length, 0)
    off = [_relative(a, b) for a, b in zip(ours, theirs, strict=True)]
    worst = max(range(len(off)), key=lambda i: off[i].max())
    if not off[worst].max() <= BOUND:
        raise GateFailed(
            f"The adapter on its base and the merged model differ by {off[worst].max():.2g} of the largest logit, "
            f"at token {int(off[worst].argmax()) + 1} of prompt {worst + 1}; at most {BOUND:g} is allowed.",
            "Nothing was written. Was it trained on this base? " + MERGE,
        )
    for number, (one, other) in enumerate(zip(said, expected, strict=True), 1):
        if one != other:
            place = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
            raise GateFailed(
                f"The adapter on its base answers prompt {number} differently from the merged model: token "
                f"{place + 1} is {one[place]} and not {other[place]}.",
                "Nothing was written. " + MERGE,
            )
    return AdapterProof(
        prompts=len(prompts),
        tokens=sum(map(len, prompts)),
        relative_difference=float(off[worst].max()),
        kl_divergence=float(np.concatenate([kl_divergences(b, a) for a, b in zip(ours, theirs, strict=True)]).mean()),
        greedy_tokens=sum(map(len, said)),
        effect=float(max(_relative(a, b).max() for a, b in zip(plain, theirs, strict=True))),
    )


def _read(
    model: Path, adapter: Path | None, prompts: Sequence[Sequence[int]], length: int, new_tokens: int
) -> tuple[list[Floats], list[list[int]]]:
    """Logits after every token of each prompt, and the greedy answer to each."""
    with Scorer(model, adapter=adapter, context=length) as scorer:
        rows = [scorer.logits(prompt) for prompt in prompts]
        answers = []
        for prompt in prompts:
            ids = list(prompt)
            for _ in range(new_tokens):
                ids.append(int(scorer.next_logits(ids).argmax()))
            answers.append(ids[len(prompt) :])
        return rows, answers


def _relative(ours: Floats, theirs: Floats) -> Floats:
    return np.asarray(np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max(axis=1), dtype=np.float32)
