"""How much memory a GGUF model will take here, before it is loaded; and what would fit instead.

Knows the header of the file and no engine process. All sizes are in bytes.
"""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from linnet.core.errors import InputError, ResourceMissing
from linnet.core.settings import get_number, threads
from linnet.engines.planning.model_shape import PAD, Shape, padded
from linnet.formats.gguf_split import read_parts

MIB = 1 << 20
BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q4_0": 18 / 32}
BLOCK = 32
LIBRARY_BYTES = 40 * MIB  # interpreter and engine without a model, measured
RESERVE = 0.05  # of the machine's memory stays free
# Beyond the plan in address space, not in memory: libraries, thread stacks of 8 MiB, malloc's arenas. Measured
# at 250 MiB for a model of 1 MiB; the rest is for grammar and template code.
ADDRESS_SPACE_BYTES = 768 * MIB

LIMITS = {
    "context": (0, 1 << 24),
    "slots": (0, 64),
    "threads": (0, 512),
    "batch": (0, 8192),
    "gpu_layers": (0, 10_000),
    "prompt_cache_mib": (0, 1 << 20),
    "checkpoints": (0, 64),
    "draft_tokens": (1, 64),
}
CHOICES = {
    "cache_type": tuple(BYTES),
    "speculation": ("", "ngram", "draft"),
    "pooling": ("mean", "cls", "last"),
    "attention": ("", "auto", "flash", "plain"),
}
# Beyond so many tokens plain attention is faster on x86, whose kernel of flash attention converts every sum from F16
# and back: writing after 1,024 tokens 1.5 times as fast, after 2,048 1.7 times (benchmarks.attention).
LONG = 1024
X86 = ("x86_64", "AMD64")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How to load a model. 0 means: choose for me, and say what was chosen.

    `context` is tokens for each slot, `slots` how many requests run at once, `cache_type` the type of the KV cache.
    `speculation` guesses tokens from the text so far ("ngram") or with `draft_model` ("draft"); answers stay the same.
    `adapters` are LoRA files (GGUF) by name. `template` is a chat template's text, or "builtin:chatml".
    `attention` is how it is computed: "flash" or "plain", or "auto", which leaves it to the engine.
    `prompt_cache_mib` keeps finished conversations in memory beyond the slots. `engine` is "xllamacpp" or the path of a
    llama-server; empty: what LINNET_ENGINE says. Raises InputError.
    """

    context: int = 0
    slots: int = 0
    threads: int = 0
    batch: int = 0
    cache_type: str = "f16"
    gpu_layers: int = 0
    prompt_cache_mib: int = 0
    checkpoints: int = 4
    speculation: str = ""
    draft_model: Path | None = None
    draft_tokens: int = 12
    adapters: tuple[tuple[str, Path], ...] = ()
    template: str = ""
    embedding: bool = False
    pooling: str = "mean"
    attention: str = ""
    engine: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"{name} is {value!r}: it must be a whole number from {low} to {high}.")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                known = ", ".join(repr(one) for one in allowed)
                raise InputError(f"{name} is {getattr(self, name)!r}: it must be one of {known}.")
        if (self.speculation == "draft") != (self.draft_model is not None):
            raise InputError("speculation 'draft' and draft_model belong together: give both or neither.")
        names = [name for name, _ in self.adapters]
        if len(set(names)) != len(names):
            raise InputError("two adapters have the same name.")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What will be loaded, and what it is predicted to take once loaded.

    `growth_bytes` may come on top while serving (saved prompts). `reasons` say what was chosen and why.
    """

    label: str
    path: Path
    options: LoadOptions
    weights_bytes: int
    cache_bytes: int
    compute_bytes: int
    growth_bytes: int
    context_limit: int
    map_weights: bool = True
    reasons: tuple[str, ...] = ()
    device_bytes: int = 0  # of these, what lies in a GPU's own memory

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.compute_bytes + LIBRARY_BYTES

    @property
    def host_bytes(self) -> int:
        """What it takes of the machine's memory."""
        return self.total_bytes - self.device_bytes

    @property
    def address_space_bytes(self) -> int:
        """RLIMIT_AS of the worker: the plan and a quarter, and what takes addresses without memory. 0 with a GPU,
        whose driver reserves more addresses than the machine has memory."""
        if self.options.gpu_layers:
            return 0
        return int(1.25 * (self.total_bytes + self.growth_bytes)) + ADDRESS_SPACE_BYTES


Shapes = tuple[Shape, ...]  # of the model, and of its draft where there is one


def read_shape(path: Path) -> Shape:
    """What decides about memory, of a GGUF or the first part of a set. Raises ModelFileError and NotFound."""
    parts = read_parts(path)
    return Shape(parts[0], [tensor for part in parts for tensor in part.tensors])


def _cache_bytes(shape: Shape, options: LoadOptions) -> int:
    """Keys and values of every layer, slot and token, at the cache's type; and the states of recurrent layers."""
    cells = padded(options.context)
    in_window = min(cells, padded(shape.window + options.batch)) if shape.window else cells
    each, total = BYTES[options.cache_type], 0.0
    kv_heads = shape.numbers("attention.head_count_kv", shape.heads)
    for layer in range(shape.layers):
        heads = kv_heads[layer] if layer < len(kv_heads) else kv_heads[-1]
        rows = cells if shape.has_full_attention(layer) else in_window
        total += rows * heads * (shape.key_length + shape.value_length) * each
    inner = shape.number("ssm.inner_size", 0)
    if inner:
        state, groups = shape.number("ssm.state_size", 0), shape.number("ssm.group_count", 0)
        convolution = max(0, shape.number("ssm.conv_kernel", 1) - 1) * (inner + 2 * groups * state)
        recurrent = sum(1 for heads in kv_heads if heads == 0) or shape.layers
        total += recurrent * 4 * (convolution + state * inner)
    return int(total) * options.slots


def _compute_bytes(shape: Shape, options: LoadOptions) -> int:
    """Scratch memory of the largest batch. Fitted to what llama.cpp reserves (its tests)."""
    batch = options.batch
    attention = shape.heads * (shape.key_length + shape.value_length)
    activations = 4 * batch * (2 * shape.feed_forward + 4 * shape.width + 2 * attention)
    mask = 6 * batch * padded(options.context)
    scores = 4 * batch * shape.heads * padded(options.context) if options.attention == "plain" else 0
    logits = 4 * shape.vocabulary * (options.slots + 1)
    return activations + mask + scores + logits


def _sizes(shapes: Shapes, options: LoadOptions) -> tuple[int, int]:
    """Cache and scratch of the model and of its draft, which keeps as many tokens, always in f16."""
    cache = compute = 0
    for number, shape in enumerate(shapes):
        chosen = replace(options, cache_type="f16") if number else options
        cache += _cache_bytes(shape, chosen)
        compute += _compute_bytes(shape, chosen)
    return cache, compute


def _file_bytes(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.exists() else 0


def plan_load(path: Path, options: LoadOptions, *, label: str = "", free_bytes: int | None = None) -> LoadPlan:
    """Choose what was left open and predict the memory.

    `free_bytes` is what may be used; None: the machine's free memory less a reserve. Raises ResourceMissing, which
    says what would fit, ModelFileError and NotFound.
    """
    shape = read_shape(path)
    shapes = (shape, read_shape(options.draft_model)) if options.draft_model else (shape,)
    room = usable_bytes() if free_bytes is None else free_bytes
    _refuse_cache_type(shape, options)
    chosen, reasons = _choose(shape, options)
    plan = _plan(path, label or path.name, shapes, chosen)
    if plan.host_bytes > room and not options.context and (smaller := _shrunk(plan, shapes, room)):
        # Nobody asked for this much context: take what fits instead of refusing.
        plan = smaller
        reasons.append(f"context {plan.options.context}: what fits in {room / MIB:.0f} MiB")
    if plan.host_bytes > room:
        raise _does_not_fit(plan, shapes, room)
    return replace(plan, reasons=tuple(reasons))


def _refuse_cache_type(shape: Shape, options: LoadOptions) -> None:
    """A quantised cache stores blocks of 32 numbers; the engine only says that it could not start."""
    if BYTES[options.cache_type] < 2 and (shape.key_length % BLOCK or shape.value_length % BLOCK):
        raise InputError(
            f"cache_type is {options.cache_type!r}: it needs heads of a multiple of {BLOCK} numbers, this model's have "
            f"{shape.key_length} (keys) and {shape.value_length} (values).",
            "Use cache_type f16.",
        )


def usable_bytes() -> int:
    """Free memory of this machine less a reserve."""
    memory = psutil.virtual_memory()
    return int(max(0, memory.available - RESERVE * memory.total))


def _choose(shape: Shape, options: LoadOptions) -> tuple[LoadOptions, list[str]]:
    reasons = []
    wished = int(get_number("LINNET_CONTEXT"))
    most = shape.trained_context or wished
    context = options.context
    if not context:
        context = min(wished, most)
        reasons.append(f"context {context}: LINNET_CONTEXT is {wished}, the model was trained with {most}")
    elif context > most:
        reasons.append(f"context {context} is beyond the {most} the model was trained with: quality falls")
    slots = options.slots or (1 if options.embedding else max(1, int(get_number("LINNET_SLOTS"))))
    if not options.slots:
        reasons.append(f"slots {slots}: {'one text at a time' if options.embedding else 'LINNET_SLOTS'}")
    batch = options.batch or _batch(shape, options, context)
    if not options.batch:
        reasons.append(f"batch {batch}: a stopped request gives up its slot after at most two batches")
    count, attention = options.threads or threads(), options.attention or _attention(options, context)
    if attention == "plain" and not options.attention:
        reasons.append(f"attention plain: faster than flash on this processor beyond {LONG} tokens")
    chosen = replace(
        options, context=padded(context), slots=slots, threads=count, batch=batch, attention=attention
    )  # fmt: skip
    return chosen, reasons


def _attention(options: LoadOptions, context: int) -> str:
    """Values in a cache of blocks can be read by flash attention alone."""
    blocks, elsewhere = BYTES[options.cache_type] < 2, options.gpu_layers or platform.machine() not in X86
    return "auto" if blocks or elsewhere or options.embedding or context <= LONG else "plain"


def _batch(shape: Shape, options: LoadOptions, context: int) -> int:
    """Tokens that are computed in one go. More is faster (64 had 0.85 of the speed of 512 here, 32 only 0.45), but the
    engine notices a cancelled prompt only between batches. A text to embed must be one batch."""
    if options.embedding:
        return min(LIMITS["batch"][1], padded(context))
    if options.gpu_layers or shape.parameters < 20e6:
        return 512
    return 128 if shape.parameters < 200e6 else 64


def _plan(path: Path, label: str, shapes: Shapes, options: LoadOptions) -> LoadPlan:
    shape = shapes[0]
    mapped = shape.repacked_bytes < shape.weights_bytes / 2
    weights = shape.weights_bytes + (shape.repacked_bytes if mapped else 0)
    weights += sum(one.weights_bytes + (one.repacked_bytes if mapped else 0) for one in shapes[1:])
    weights += sum(_file_bytes(adapter) for _, adapter in options.adapters)
    window = padded(shape.window + options.batch) * shape.layers if shape.window else 0
    heads = max(shape.numbers("attention.head_count_kv", shape.heads))
    checkpoint = window * heads * (shape.key_length + shape.value_length) * BYTES[options.cache_type]
    growth = options.prompt_cache_mib * MIB + int(options.checkpoints * options.slots * checkpoint)
    cache, compute = _sizes(shapes, options)
    plan = LoadPlan(label, path, options, weights, cache, compute, growth, options.context, mapped)
    return replace(plan, device_bytes=_device_bytes(plan, shape.layers + 1))


def _device_bytes(plan: LoadPlan, layers: int) -> int:
    """The part of a GPU with memory of its own; Apple's have none."""
    if not plan.options.gpu_layers or sys.platform == "darwin":
        return 0
    share = min(1.0, plan.options.gpu_layers / layers)
    return int(share * (plan.weights_bytes + plan.cache_bytes) + plan.compute_bytes)


def _shrunk(plan: LoadPlan, shapes: Shapes, room: int) -> LoadPlan | None:
    """The same with the largest context that fits, at least PAD tokens; None when none does."""
    context = plan.options.context
    while context > PAD:
        context = padded(context // 2)
        smaller = replace(plan.options, context=context)
        cache, compute = _sizes(shapes, smaller)
        found = replace(plan, options=smaller, cache_bytes=cache, compute_bytes=compute, context_limit=context)
        found = replace(found, device_bytes=_device_bytes(found, shapes[0].layers + 1))
        if found.host_bytes <= room:
            return found
    return None


def _does_not_fit(plan: LoadPlan, shapes: Shapes, room: int) -> ResourceMissing:
    """The refusal, with every change that would make it fit by itself."""
    options, shape, fits = plan.options, shapes[0], []
    for slots in range(options.slots - 1, 0, -1):
        if _with(plan, shapes, slots=slots) <= room:
            fits.append(f"{slots} slot{'s' * (slots > 1)} instead of {options.slots}")
            break
    if smaller := _shrunk(plan, shapes, room):
        fits.append(f"a context of {smaller.options.context} instead of {options.context}")
    blocks = not (shape.key_length % BLOCK or shape.value_length % BLOCK)
    if blocks and options.cache_type in ("f16", "bf16", "f32") and _with(plan, shapes, cache_type="q8_0") <= room:
        fits.append("a q8_0 cache")
    rest = room - (plan.total_bytes - plan.weights_bytes)
    bits = math.floor(80 * rest / max(1, shape.parameters)) / 10
    if not fits and bits >= 1.5:
        fits.append(f"a quantisation of at most {bits:g} bits a weight")
    hint = f"What would fit: {'; or '.join(fits)}." if fits else "Free some memory, or use a smaller model."
    return ResourceMissing(
        f"{plan.label} needs {plan.total_bytes / MIB:.0f} MiB (weights {plan.weights_bytes / MIB:.0f}, cache "
        f"{plan.cache_bytes / MIB:.0f}, scratch {plan.compute_bytes / MIB:.0f}); {room / MIB:.0f} MiB may be used.",
        hint,
    )


def _with(plan: LoadPlan, shapes: Shapes, **changes: Any) -> int:
    return plan.weights_bytes + sum(_sizes(shapes, replace(plan.options, **changes))) + LIBRARY_BYTES


def worker_options(plan: LoadPlan) -> Mapping[str, Any]:
    """The plan as worker_protocol.OPTIONS."""
    options = plan.options
    return {
        "context": options.context * options.slots,
        "slots": options.slots,
        "batch": options.batch,
        "map_weights": plan.map_weights,
        "threads": options.threads,
        "cache_type_k": options.cache_type,
        "cache_type_v": options.cache_type,
        "gpu_layers": options.gpu_layers,
        "prompt_cache_mib": options.prompt_cache_mib,
        "checkpoints": options.checkpoints,
        "speculation": options.speculation,
        "draft_model": str(options.draft_model.absolute()) if options.draft_model else "",
        "draft_tokens": options.draft_tokens,
        "adapters": [str(path.absolute()) for _, path in options.adapters],  # the worker is in another folder
        "template": options.template.removeprefix("builtin:"),
        "embedding": options.embedding,
        "pooling": options.pooling,
        "attention": options.attention or "auto",
    }
