"""What a training of a decoder will take: memory, disk and seconds, from the sizes of the model and of the rows.

A forecast before the first step, from formulas on shapes; the rehearsal replaces it by what it measured. Opens no
weights. Numbers of bytes are of fp32 unless said otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linnet.core.records import Record
from linnet.training.align_plan import AlignRecipe
from linnet.training.recipe import CHUNK_LOGITS, CHUNK_ROWS, GPU_CHUNK_LOGITS, GPU_PART_TOKENS, PART_TOKENS, Recipe

RUNTIME_BYTES = 450 << 20  # Python with torch, transformers and PEFT, before any model
LOGIT_BYTES = 4 * 4  # a logit, its fp32 copy, its probability and its gradient
ADAM, AVERAGES, GRADIENT = 8, 12, 4  # bytes a trained number: two moments; average, best and a copy; gradient
NF4_BYTES, INT8_BYTES = 0.55, 1.05  # bytes a weight with its scales
GPU_RUNTIME_BYTES = 600 << 20  # what CUDA takes for itself
USUAL_LAYERS = 1.6  # what layers keep that are not computed in one piece
SHARE_OF_PEAK = 0.5  # what a training step reaches of the speed of one large matrix product
SAMPLING = 3.0  # what sampling an answer takes beside reading it
SLOWER = {"none": 1.0, "nf4": 3.0, "int8": 3.0}  # weights are unpacked at every use
TILE, GPU_TILE, TRIALS = 768, 8192, 4


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a decoder that decide what its training takes. `parameters` counts all weights; `is_half` says
    that they are stored in 16 bits, and under an adapter stay so; `on_gpu`, that a GPU trains it: the memory is the
    GPU's then."""

    parameters: int
    layers: int
    width: int
    inner: int
    cache_width: int
    vocabulary: int
    is_half: bool = False
    on_gpu: bool = False

    @property
    def linear(self) -> int:
        """Weights of the linear layers: what an adapter is put on, and what is quantised."""
        attention = 2 * self.width * self.width + 2 * self.width * self.cache_width
        return self.layers * (attention + 3 * self.width * self.inner)

    def adapter(self, rank: int) -> int:
        """Numbers of a LoRA of this rank on every linear layer."""
        attention = 4 * self.width + 2 * (self.width + self.cache_width)
        return self.layers * rank * (attention + 3 * (self.width + self.inner))


class Forecast(Record):
    """`memory_bytes` is the most that is held at once, `disk_bytes` what must be free, `seconds` the whole training."""

    memory_bytes: int
    disk_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """The rows of a training in numbers: tokens of all rows, of the held-out ones, and of the longest row."""

    tokens: int
    held_tokens: int
    longest: int


def shape_of(report: dict[str, Any], *, on_gpu: bool = False) -> Shape:
    """From the report of a checked model. Sizes that it does not state are guessed from the others."""
    sizes = report.get("hyper_parameters") or {}
    parameters = int(report.get("parameters") or 0)
    width = int(sizes.get("embedding_length") or 512)
    heads = int(sizes.get("head_count") or 1)
    return Shape(
        parameters=parameters,
        layers=int(sizes.get("block_count") or 1),
        width=width,
        inner=int(sizes.get("feed_forward_length") or 4 * width),
        cache_width=width * int(sizes.get("head_count_kv") or heads) // heads,
        vocabulary=int(sizes.get("vocabulary_size") or 32000),
        is_half=report.get("quantisation_name") in ("BF16", "F16"),
        on_gpu=on_gpu,
    )


def work_of(train: Sequence[int], held: Sequence[int]) -> Work:
    """From the lengths of rows in tokens."""
    return Work(sum(train), sum(held), max((*train, *held), default=1))


def preference_work(
    train: Sequence[tuple[int, int, int]], held: Sequence[tuple[int, int, int]], recipe: AlignRecipe
) -> Work:
    """From the tokens of each row: of its prompt, and of the chosen and the rejected answer.

    What is only read (the base's answers, others' answers, a sample) takes half of what is learned from.
    """
    once, batch = recipe.objective, recipe.batch_size
    pairs = once in ("dpo", "orpo")
    longest = max((max(row[1:]) + row[0] + recipe.answer_tokens for row in (*train, *held)), default=1)

    def tokens(rows: Sequence[tuple[int, int, int]]) -> int:
        return sum((2 if pairs else 1) * row[0] + row[1] + row[2] + recipe.answer_tokens for row in rows)

    base = 1.0 if recipe.beta and once != "orpo" else 0.0  # forward passes of the base beside the model's
    if once == "kto":
        read, at_once = 1 + 2 * base, batch * longest
    elif once == "grpo":
        read, at_once = base + SAMPLING, recipe.samples * batch * longest
    else:
        read, at_once = base, 2 * longest * (1 if once == "dpo" else batch)
    samples = recipe.samples if once == "grpo" else 1
    return Work(int(samples * (1 + read / 2) * tokens(train)), int((1 + read) * tokens(held)), at_once)


def memory_bytes(shape: Shape, recipe: Recipe, longest: int) -> int:
    """The most memory at once: weights, what is trained with its moments and averages, and one part of a batch."""
    is_full, is_wide = recipe.method != "lora", recipe.quantization == "none" or recipe.compute_dtype == "float32"
    rest = max(shape.parameters - shape.linear, 0)
    is_narrow = shape.is_half and not is_full and not isinstance(recipe, AlignRecipe)
    held = {"none": 2.0 if is_narrow else 4.0, "nf4": NF4_BYTES, "int8": INT8_BYTES}[recipe.quantization]
    size = 4 if is_wide else 2
    if shape.on_gpu:  # frozen weights in bfloat16, trained ones in fp32 with a copy to compute with
        held, size = (2.0 if recipe.quantization == "none" and not is_full else held) + 2.0 * is_full, 2
    weights = held * shape.linear + (held if shape.on_gpu and is_full else size) * rest
    trained = shape.parameters if is_full else shape.adapter(recipe.lora_rank)
    states = trained * (ADAM + AVERAGES + GRADIENT + (0 if is_full else 4))
    usual, chunk = (GPU_PART_TOKENS, GPU_CHUNK_LOGITS) if shape.on_gpu else (PART_TOKENS, CHUNK_LOGITS)
    tokens = max(recipe.part_tokens or usual, longest)
    layer = tokens * size * (8 * shape.width + 2 * shape.cache_width + (3 if is_full else 2) * shape.inner)
    layer = int(USUAL_LAYERS * layer) if shape.on_gpu else layer
    kept = shape.layers * tokens * size * shape.width + 2 * layer if recipe.gradient_checkpointing else (
        shape.layers * layer
    )  # fmt: skip
    logits = tokens * shape.vocabulary  # preference methods compute all of them
    if not isinstance(recipe, AlignRecipe):
        logits = min(max(chunk, CHUNK_ROWS * shape.vocabulary), logits)
    # A quantised base is read in its own precision first, layer by layer.
    unpacked = 2 * 4 * shape.width * shape.inner if recipe.quantization != "none" else 0
    runtime = GPU_RUNTIME_BYTES if shape.on_gpu else RUNTIME_BYTES
    return int(runtime + weights + states + kept + LOGIT_BYTES * logits + unpacked)


def disk_bytes(parameters: int, recipe: Recipe, stored_bytes: int) -> int:
    """Room on the disk: two checkpoints of weights, average, best ones and moments, and the model; less of an adapter.
    `stored_bytes` are the base's weight files."""
    return stored_bytes // 5 if recipe.method == "lora" else 2 * 5 * 4 * parameters + stored_bytes


def merge_bytes(shape: Shape) -> int:
    """The most memory at once of a merge: the base in fp32 beside the result in its own precision."""
    return RUNTIME_BYTES + 7 * shape.parameters


def seconds(shape: Shape, recipe: Recipe, work: Work, speed: float) -> float:
    """All epochs with their validation. `speed` is of a matrix product, in operations per second.

    Operations per weight and token are 2 forward and 4 backward (Kaplan et al. 2020); an adapter needs 2 of the 4.
    """
    backward = 4 if recipe.method != "lora" else 2
    if recipe.gradient_checkpointing:
        backward += 2
    operations = recipe.epochs * shape.linear * ((2 + backward) * work.tokens + 2 * work.held_tokens)
    return SLOWER[recipe.quantization] * operations / (SHARE_OF_PEAK * speed)


def matrix_speed(device: Any = "cpu", products: str = "float32") -> float:
    """Operations per second of a matrix product, the best of some: on this process's threads; on a GPU in bfloat16.

    `products` as in a recipe.
    """
    import torch

    from linnet.training import devices

    on_gpu = torch.device(device).type == "cuda"
    size = GPU_TILE if on_gpu else TILE
    one = torch.ones(size, size, device=device, dtype=torch.bfloat16 if on_gpu else torch.float32)
    best = float("inf")
    with devices.products(products):
        for _ in range(TRIALS):
            started = time.perf_counter()
            float((one @ one)[0, 0])  # waits for the GPU
            best = min(best, time.perf_counter() - started)
    return float(2 * size**3 / best)


def what_fits(shape: Shape, recipe: Recipe, longest: int, free_bytes: int, factor: float = 1.0) -> list[str]:
    """The settings with which the forecast is below `free_bytes`, each as flags, the least change first.

    `factor` is what the forecast was off by on this machine.
    """
    if isinstance(recipe, AlignRecipe):
        return _fewer_at_once(shape, recipe, longest, free_bytes / factor)
    lora, few = {"method": "lora"} if recipe.method != "lora" else {}, 2048 if shape.on_gpu else 256
    changes: list[tuple[str, dict[str, Any]]] = [
        (f"--part-tokens {few}", {"part_tokens": few}),
        ("--checkpointing", {"gradient_checkpointing": True}),
        (f"--checkpointing --part-tokens {few}", {"gradient_checkpointing": True, "part_tokens": few}),
    ]
    if lora:
        changes.append(("--method lora", lora))
    if recipe.quantization != "nf4":
        changes += [
            ("--quantize nf4", {**lora, "quantization": "nf4"}),
            ("--quantize nf4 --checkpointing", {**lora, "quantization": "nf4", "gradient_checkpointing": True}),
        ]
    found = []
    for flags, change in changes:
        changed = recipe.model_copy(update=change)
        if changed != recipe and factor * memory_bytes(shape, changed, longest) <= free_bytes:
            found.append(flags)
    return found


def _fewer_at_once(shape: Shape, recipe: AlignRecipe, longest: int, free_bytes: float) -> list[str]:
    """For a preference method: less rows a step, and the base in 4 bits; dpo computes two answers at once anyway."""
    found, rows = [], recipe.batch_size
    least = {"dpo": rows, "kto": 2}.get(recipe.objective, 1)
    for quantization, flag in ((recipe.quantization, ""), ("nf4", " --quantize nf4")):
        for batch in (rows >> by for by in range(rows.bit_length())):
            changed = recipe.model_copy(update={"quantization": quantization, "batch_size": batch})
            if changed == recipe or batch < least:
                continue
            if memory_bytes(shape, changed, longest * batch // rows) <= free_bytes:
                found.append((f"--batch {batch}" * (batch != rows) + flag).strip())
                break
    return found
