"""How a training runs, as one frozen value. One dial, the number of examples, sets what is not given."""

from __future__ import annotations

from linnet.core.files import canonical, sha256_bytes
from linnet.core.records import Record


class Recipe(Record):
    """Everything that decides the result of a training, besides the data and the base.

    `layer_decay` multiplies the rate once per layer downwards from the top; `ema` averages weights over steps
    (Polyak averaging); `clip` bounds the norm of the gradient.
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
    clip: float = 1.0
    patience: int = 3
    lora_rank: int = 16
    lora_alpha: int = 16
    seed: int = 0
    max_tokens: int = 128

    def digest(self, *inputs: str) -> str:
        """The hash of this recipe over these inputs: what a checkpoint may be continued by."""
        return sha256_bytes(canonical([self.to_json(), *inputs]))

    def reasons(self, examples: int) -> str:
        """Why these numbers, in one line."""
        return f"{self.epochs} epochs of {examples} examples, {self.batch_size} at a time, rate {self.learning_rate:g}"


def default_recipe(method: str, examples: int, seed: int, max_tokens: int) -> Recipe:
    """The recipe for a method and a number of training examples: few examples are seen more often."""
    epochs = max(3, min(16, round(3000 / max(examples, 1))))
    rate = 1.5e-4 if method == "full" else 1e-3
    return Recipe(method=method, epochs=epochs, learning_rate=rate, seed=seed, max_tokens=max_tokens)


def decoder_recipe(method: str, examples: int, parameters: int, *, seed: int = 0, max_tokens: int = 1024) -> Recipe:
    """The recipe for the answers of a decoder: no smoothing, because an answer is one exact text.

    The rate falls with the size to the power 3/4; only its start, at six million parameters, is measured
    (docs/log.md). LoRA's never falls below 2e-4.
    """
    rate = 2e-3 * min(1.0, 6e6 / max(parameters, 1)) ** 0.75
    return Recipe(
        method=method,
        epochs=max(3, min(12, round(12000 / max(examples, 1)))),
        batch_size=16,
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
