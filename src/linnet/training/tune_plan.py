"""From a base, a number of rows and what the user chose to the recipe of a decoder, with a reason for each number."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from linnet.core import settings
from linnet.core.errors import InputError
from linnet.training.recipe import Recipe, decoder_recipe

METHODS = ("lora", "full")
OTHERS = ("dpo", "kto", "orpo", "grpo")  # training.align_plan
FULL_UP_TO = 50_000_000  # weights: below, every one of them is trained on any machine in the time of an adapter
MOST_TOKENS = 2048
LIMITS = {
    "lora_rank": (1, 1024), "lora_alpha": (1, 4096), "epochs": (1, 1000), "batch_size": (1, 4096),
    "part_tokens": (16, 1 << 20),
}  # fmt: skip
BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # instruction sets with products of bfloat16
QUICK_BF16 = "amx_bf16"  # with which they are several times as fast as in fp32, rounding included (docs/log.md)
EXTRAS = ("quantization", "use_dora", "neftune_alpha", "gradient_checkpointing", "part_tokens")
FLAGS = {
    "lora_rank": "--rank", "lora_alpha": "--alpha", "epochs": "--epochs", "batch_size": "--batch",
    "part_tokens": "--part-tokens",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the user said; 0 and "" leave it to the plan. `max_tokens` is the longest row that is taken."""

    method: str = ""
    lora_rank: int = 0
    lora_alpha: int = 0
    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    max_tokens: int = 0
    seed: int = 0
    quantization: str = ""
    use_dora: bool = False
    neftune_alpha: float = 0.0
    gradient_checkpointing: bool = False
    part_tokens: int = 0

    def fields(self) -> dict[str, Any]:
        """The fields of a recipe that were chosen."""
        names = ("lora_rank", "lora_alpha", "epochs", "batch_size", "learning_rate", *EXTRAS)
        return {name: value for name in names if (value := getattr(self, name))}


def plan_tokens(chosen: int, context: int) -> int:
    """The longest row that is taken, in tokens. Raises InputError for one beyond the model's context."""
    limit = context or MOST_TOKENS
    if chosen and not 8 <= chosen <= limit:
        raise InputError(f"--max-length {chosen} is outside of 8 to {limit}, the model's context.", "Choose another.")
    return chosen or min(limit, MOST_TOKENS)


def plan_recipe(chosen: Chosen, examples: int, parameters: int, context: int) -> tuple[Recipe, list[str]]:
    """The recipe for `examples` rows on a model of so many weights, and why, a line each. Raises InputError."""
    _check(chosen)
    small = parameters <= FULL_UP_TO
    adapter = chosen.quantization or chosen.use_dora or chosen.lora_rank or chosen.lora_alpha
    method = chosen.method or ("lora" if adapter or not small else "full")
    if method == "full" and (chosen.lora_rank or chosen.lora_alpha):
        raise InputError(
            "--rank and --alpha are of adapters; the method is full.", "Leave them out, or: --method lora."
        )
    tokens = plan_tokens(chosen.max_tokens, context)
    planned = decoder_recipe(method, examples, parameters, seed=chosen.seed, max_tokens=tokens)
    recipe = Recipe.model_validate(planned.to_json() | chosen.fields() | _computed(chosen))
    size = f"{parameters / 1e6:.1f} million weights"
    few = f"{size}: few enough to train all of them" if small else f"{size}: an adapter needs far less memory"
    why = {
        "method": "what was chosen is of adapters" if adapter else few,
        "epochs": f"few rows are seen more often: about 12,000 in all, 3 to 12 times each; rows here: {examples:,}",
        "learning_rate": "falls with the size of the model to the power 3/4",
        "batch_size": "rows a step",
        "max_tokens": f"the model's context is {context or 'unstated'}",
        "lora_rank": "an adapter of this rank on every linear layer",
        "lora_alpha": "divided by the square root of the rank, so it need not follow it",
    }
    why |= dict.fromkeys((key for key in EXTRAS if getattr(chosen, key)), "as chosen")
    if recipe.products != "float32":
        why["products"] = f"{rounded_products()}; sums in fp32; LINNET_PRODUCTS=float32 rounds nothing"
    if chosen.quantization == "nf4":
        has = recipe.compute_dtype == "bfloat16"
        why["compute_dtype"] = "what computes has it" if has else "this processor would have to imitate bfloat16"
    given = {"method": chosen.method, "max_tokens": chosen.max_tokens, **chosen.fields()}
    shown = [key for key in why if method == "lora" or not key.startswith("lora")]
    lines = [_line(key, getattr(recipe, key), "as chosen" if given.get(key) else why[key]) for key in shown]
    return recipe, lines


def _computed(chosen: Chosen) -> dict[str, str]:
    """What products are computed in, and what 4-bit weights are unpacked to: a processor without bfloat16 took 14 times
    as long for a step in it."""
    from linnet.engines.planning.hardware import processor

    if _has_gpu():
        return {}
    if chosen.quantization == "nf4":
        return {} if any(flag in BF16 for flag in processor()[1]) else {"compute_dtype": "float32"}
    return {"products": "bfloat16"} if rounded_products() else {}


def rounded_products() -> str:
    """Why products in bfloat16 are taken on this processor; "" when they are not. Raises InputError."""
    from linnet.engines.planning.hardware import processor

    wanted = settings.get("LINNET_PRODUCTS")
    if wanted not in ("auto", "float32", "bfloat16"):
        raise InputError(f"LINNET_PRODUCTS={wanted!r} is nothing to compute in.", "Known: auto, float32, bfloat16.")
    if wanted == "auto":
        return f"this processor has {QUICK_BF16}" if QUICK_BF16 in processor()[1] else ""
    return "as LINNET_PRODUCTS says" if wanted == "bfloat16" else ""


def _has_gpu() -> bool:
    """Whether a GPU would train it; without torch nothing would."""
    if importlib.util.find_spec("torch") is None:
        return False
    from linnet.training import devices

    return devices.on_gpu()


def _line(key: str, value: Any, reason: str) -> str:
    return f"{key.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}: {reason}"


def _check(chosen: Chosen) -> None:
    if chosen.method and chosen.method not in METHODS:
        raise InputError(f"No method is called {chosen.method!r}.", f"Known: {', '.join(METHODS + OTHERS)}.")
    for name, (low, high) in LIMITS.items():
        value = getattr(chosen, name)
        if value and not low <= value <= high:
            raise InputError(f"{FLAGS[name]} {value} is outside of {low} to {high}.", "Choose another.")
    if chosen.learning_rate and not 0 < chosen.learning_rate <= 1:
        raise InputError(f"--rate {chosen.learning_rate:g} is no learning rate.", "Choose one above 0 and up to 1.")
    if not 0 <= chosen.seed < 2**31:
        raise InputError(f"--seed {chosen.seed} is outside of 0 to {2**31 - 1}.", "Choose another.")
