"""How a training runs, as one frozen value. One dial, the number of examples, sets what is not given."""

from __future__ import annotations

from typing import Any

from linnet.core.errors import InputError, did_you_mean
from linnet.core.files import canonical, sha256_bytes
from linnet.core.records import Record

CHOICES = {"quantization": ("none", "nf4", "int8"), "compute_dtype": ("bfloat16", "float16", "float32"),
           "products": ("float32", "bfloat16")}  # fmt: skip
MOST_NOISE = 100.0
# What is computed at once: tokens of rows (twice as many are some 5 % faster and take half as much memory again:
# docs/log.md), and numbers of logits (16 MiB in fp32), but at least so many rows of them.
PART_TOKENS, CHUNK_LOGITS, CHUNK_ROWS = 512, 1 << 22, 64
PART_COST = 64  # what a part costs beside its tokens, in tokens; from 32 to 10,000 nothing changes by more than a tenth
# The same on a GPU, where small products leave most of it idle: 256 MiB of logits in fp32.
GPU_PART_TOKENS, GPU_CHUNK_LOGITS = 8192, 1 << 26


class Recipe(Record):
    """Everything that decides the result of a training, besides the data and the base.

    `layer_decay` multiplies the rate once per layer downwards from the top; `ema` averages weights over steps
    (Polyak averaging), above 0 `average_share` over at most about this share of all steps; `clip` bounds the norm of
    the gradient.

    LoRA: `use_rslora` scales by alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023), `use_dora` learns each
    row's length by itself (Liu et al. 2024). `quantization` holds the frozen base in 4 bits ("nf4", Dettmers et al.
    2023; `double_quantization` packs its scales too) or 8 ("int8"), computed in `compute_dtype`. `neftune_alpha` above
    0 adds noise to the embeddings (Jain et al. 2023; they use 5 to 15).

    `products` is what matrix products of fp32 numbers are computed in on a processor; sums stay in fp32.

    Memory for time, and the same result but for rounding: `gradient_checkpointing` computes each layer a second time
    instead of keeping its numbers (Chen et al. 2016), `part_tokens` is how many tokens are computed at once, 0 for the
    usual number. Raises InputError for a contradiction.
    """

    method: str
    epochs: int
    batch_size: int = 32
    learning_rate: float = 1.5e-4
    head_learning_rate: float = 1e-3
    layer_decay: float = 0.9
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    ema: float = 0.99
    average_share: float = 0.0
    clip: float = 1.0
    patience: int = 3
    lora_rank: int = 16
    lora_alpha: int = 16
    seed: int = 0
    max_tokens: int = 128
    use_rslora: bool = True
    use_dora: bool = False
    quantization: str = "none"
    double_quantization: bool = True
    compute_dtype: str = "bfloat16"
    neftune_alpha: float = 0.0
    gradient_checkpointing: bool = False
    part_tokens: int = 0
    products: str = "float32"

    @property
    def shown_method(self) -> str:
        """The method as runs show it."""
        return self.method

    def model_post_init(self, _: Any) -> None:
        self.check()

    def check(self) -> None:
        """Refuse values that mean nothing, also after `model_copy`, which checks nothing. Raises InputError."""
        for name, known in CHOICES.items():
            if (value := getattr(self, name)) not in known:
                listed = ", ".join(known)
                raise InputError(f"{name} is {value!r}.", f"Known: {listed}.{did_you_mean(str(value), list(known))}")
        for name in ("lora_rank", "lora_alpha"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} is {getattr(self, name)!r}: it must be at least 1.")
        if self.part_tokens < 0:
            raise InputError(f"part_tokens is {self.part_tokens!r}: it must be at least 0.")
        if not 0 <= self.neftune_alpha <= MOST_NOISE:
            raise InputError(
                f"neftune_alpha is {self.neftune_alpha!r}: it must be from 0, no noise, to {MOST_NOISE}.",
                "5 is a usual value.",
            )
        for name, off in (("use_dora", False), ("quantization", "none")):
            if self.method != "lora" and (value := getattr(self, name)) != off:
                raise InputError(
                    f"{name} is {value!r} and the method {self.method!r}: it is part of LoRA.",
                    "Use the method lora, or leave it out.",
                )

    def digest(self, *inputs: str) -> str:
        """The hash of this recipe over these inputs: what a checkpoint may be continued by.

        A field that a later version adds, and that changes nothing by itself, leaves the hash as it was.
        """
        return sha256_bytes(canonical([self.model_dump(mode="json", exclude_defaults=True), *inputs]))

    def reasons(self, examples: int) -> str:
        """Why these numbers, in one line."""
        return f"{self.epochs} epochs of {examples} examples, {self.batch_size} at a time, rate {self.learning_rate:g}"


def default_recipe(method: str, examples: int, seed: int, max_tokens: int) -> Recipe:
    """The recipe for a method and a number of training examples: few examples are seen more often."""
    epochs = max(3, min(16, round(3000 / max(examples, 1))))
    rate = 1.5e-4 if method == "full" else 1e-3
    return Recipe(method=method, epochs=epochs, learning_rate=rate, seed=seed, max_tokens=max_tokens)


def tag_recipe(method: str, examples: int, seed: int, max_tokens: int) -> Recipe:
    """The recipe for spans: a head on every token needs more steps than one label a text (docs/log.md)."""
    return default_recipe(method, examples, seed, max_tokens).model_copy(
        update={"epochs": max(6, min(20, round(8000 / max(examples, 1)))), "batch_size": 16, "ema": 0.98}
    )


def decoder_recipe(method: str, examples: int, parameters: int, *, seed: int = 0, max_tokens: int = 1024) -> Recipe:
    """The recipe for the answers of a decoder: no smoothing, because an answer is one exact text.

    The rate falls with the size to the power 3/4; only its start, at six million parameters, is measured
    (docs/log.md). LoRA's never falls below 2e-4. A longer average would lag behind a short training.
    """
    rate = 2e-3 * min(1.0, 6e6 / max(parameters, 1)) ** 0.75
    return Recipe(
        method=method,
        epochs=max(3, min(12, round(12000 / max(examples, 1)))),
        batch_size=16,
        average_share=0.02,
        learning_rate=rate if method == "full" else max(2e-4, rate),
        layer_decay=1.0,
        label_smoothing=0.0,
        seed=seed,
        max_tokens=max_tokens,
    )


def rate_at(step: int, steps: int, warmup_share: float) -> float:
    """The share of the peak learning rate at a step: linear up, then linear down to zero."""
    warmup = max(1.0, warmup_share * steps)
    if step < warmup:
        return min(1.0, (step + 1) / warmup)
    return max(0.0, (steps - step) / max(1.0, steps - warmup))
