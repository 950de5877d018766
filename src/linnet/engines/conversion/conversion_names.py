"""Where llama.cpp's conversion code and the installed transformers name a model's settings differently.

The conversion reads the configuration as transformers gives it. Version 5 keeps what rope needs in one table and drops
older names; the conversion of the pinned version asks for some of them. Nothing here knows weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Asked for at the top, kept in `rope_parameters`.
_ROPE = ("partial_rotary_factor", "original_max_position_embeddings", "rope_theta")
# Checkpoints whose class transformers spells otherwise than the conversion.
CLASSES = {"MptForCausalLM": "MPTForCausalLM"}


def older_names(config: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """`config` as transformers gives it, with the names that the conversion asks for. `stored`: config.json itself."""
    found = dict(config)
    rope = found.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    for key in _ROPE:
        if found.get(key) is None and rope.get(key) is not None:
            found[key] = rope[key]
    if rope.get("rope_type", "default") != "default":
        found.setdefault("rope_scaling", rope)
    kind = found.get("model_type")
    if kind in ("gpt_neox", "cohere", "cohere2"):
        found.setdefault("rotary_pct", found.get("partial_rotary_factor") or stored.get("rotary_pct") or 1.0)
    if kind == "gpt2":
        found.setdefault("n_ctx", found.get("n_positions"))
    if kind == "falcon" and not found.get("new_decoder_architecture") and found.get("multi_query"):
        found["num_kv_heads"] = 1  # transformers fills in the number of query heads and shares one pair all the same
    if kind == "deepseek_v3":
        found.setdefault("scoring_func", stored.get("scoring_func") or "sigmoid")
    if isinstance(inner := found.get("text_config"), dict):
        found["text_config"] = older_names(inner, stored.get("text_config") or {})
    for key, value in stored.items():
        found.setdefault(key, value)
    return found


def teach(base: Any) -> None:
    """Have the conversion's base class read configurations through `older_names`."""
    load = base.load_hparams

    def load_hparams(folder: Path, is_mistral_format: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = load(folder, is_mistral_format)
        if is_mistral_format:
            return found
        return older_names(found, json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")))

    base.load_hparams = staticmethod(load_hparams)
