"""How many layers of a model go to a GPU: as many as its free memory holds, where the wheel can use one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from linnet.core.errors import InputError, LinnetError
from linnet.core.settings import get
from linnet.engines.llama.load_plan import LIMITS, MIB, LoadOptions, plan_load, read_shape
from linnet.engines.native.choice import WHEEL

RESERVE_BYTES = 512 * MIB  # of each GPU: the driver's own, and what a screen takes
ALL_MEMORY = 1 << 60


def with_gpu(path: Path, options: LoadOptions) -> tuple[LoadOptions, tuple[str, ...]]:
    """The options with `gpu_layers`, and why so many. What they say themselves stays; LINNET_GPU_LAYERS is auto or a
    number. Native builds and named binaries are left as they are: they use no GPU that we know of.

    Raises InputError for another setting, and what reading the file raises.
    """
    if options.gpu_layers or options.engine not in ("", WHEEL):
        return options, ()
    if (wanted := get("LINNET_GPU_LAYERS")) != "auto":
        count = _number(wanted)
        return replace(options, gpu_layers=count), (f"gpu: {count} layers, as LINNET_GPU_LAYERS says",) if count else ()
    if get("LINNET_ENGINE") not in ("auto", "wheel"):
        return options, ()
    from linnet.engines.planning.hardware import gpu_memory

    cards = gpu_memory()
    if not cards:
        return options, ()
    names = ", ".join(card.name for card in cards)
    if not _wheel_uses_gpus():
        return options, (f"gpu: {names} is not used, the installed engine was built for processors only",)
    free = sum(max(0, card.free_bytes - RESERVE_BYTES) for card in cards)
    layers, count = layers_that_fit(path, options, free)
    return replace(options, gpu_layers=count), (f"gpu: {count} of {layers} layers fit into what is free on {names}",)


def layers_that_fit(path: Path, options: LoadOptions, free_bytes: int) -> tuple[int, int]:
    """A model's layers, its head among them, and how many of them `free_bytes` of a GPU hold with their part of the
    cache and the scratch memory."""
    plan = plan_load(path, replace(options, gpu_layers=0), free_bytes=ALL_MEMORY)
    layers = read_shape(path).layers + 1
    each = (plan.weights_bytes + plan.cache_bytes) / layers
    return layers, max(0, min(layers, int((free_bytes - plan.compute_bytes) / each)))


def _number(text: str) -> int:
    low, high = LIMITS["gpu_layers"]
    if not text.isascii() or not text.isdigit() or int(text) > high:
        raise InputError(
            f"LINNET_GPU_LAYERS is {text[:40]!r}: it must be auto, or a whole number from {low} to {high}."
        )
    return int(text)


def _wheel_uses_gpus() -> bool:
    from linnet.engines.native.engine_status import wheel_gpus

    try:
        return bool(wheel_gpus())
    except LinnetError:  # a wheel that does not start says so when it loads
        return False
