"""Where a training computes: this machine's processor, or a GPU that torch reaches through CUDA (ROCm answers to it).

On a GPU numbers that are trained stay in fp32, frozen ones are held in bfloat16, and products are computed in bfloat16
(mixed precision: Micikevicius et al. 2018). Attention is torch's own, which takes its flash kernel there. Bits are
promised on the processor only: kernels of a GPU add up in an order of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core import settings
from linnet.core.errors import EngineError, InputError, ResourceMissing

CPU = torch.device("cpu")
RANDOM = "random_state_gpu"


def chosen() -> torch.device:
    """What LINNET_DEVICE asks for; by itself a GPU where there is one. Of several processes each takes its own.

    Raises InputError for a name that means nothing, ResourceMissing for a GPU that is not there.
    """
    wanted = settings.get("LINNET_DEVICE")
    kind, _, number = wanted.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdecimal())):
        raise InputError(f"LINNET_DEVICE={wanted!r} is no device.", "Known: auto, cpu, cuda, cuda:0, cuda:1 ...")
    count = torch.cuda.device_count() if kind != "cpu" and torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and not count):
        return CPU
    index = int(number) if number else settings.local_rank() % max(count, 1)
    if index >= count:
        raise ResourceMissing(
            f"LINNET_DEVICE={wanted!r}: torch {torch.__version__} sees {count} GPUs here.",
            "Unset it, or install the build of torch for your GPU.",
        )
    return torch.device("cuda", index)


def on_gpu() -> bool:
    """Whether a GPU would train. Raises as `chosen`."""
    return bool(chosen().type != "cpu")


def of(model: nn.Module) -> torch.device:
    """Where a model's numbers are."""
    return next((parameter.device for parameter in model.parameters()), CPU)


def name(device: torch.device) -> str:
    """The device as a run records it."""
    return device.type if device.type != "cuda" else f"{device} ({torch.cuda.get_device_name(device)})"


def identity(device: torch.device) -> list[str]:
    """What a device adds to the name of a training that a checkpoint continues: nothing on the processor."""
    return [] if device.type == "cpu" else [device.type]


def place(model: Any, device: torch.device) -> None:
    """Move a model to a GPU: what is frozen becomes bfloat16, what is trained fp32. One that is there stays."""
    if device.type == "cpu":
        return
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.dtype.itemsize > 1:  # not what is packed in 4 or 8 bits
                parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else torch.bfloat16)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what a library takes for the current one
    if of(model) != device:
        model.to(device)


def computing(device: torch.device) -> Any:
    """A context in which matrix products are as the device computes them best."""
    return nullcontext() if device.type != "cuda" else torch.autocast(device.type, torch.bfloat16)


@contextmanager
def products(kind: str) -> Iterator[None]:
    """Matrix products of fp32 numbers on the processor: with "bfloat16" the factors are rounded, sums stay in fp32.

    oneDNN does so on processors that multiply bfloat16, and computes in fp32 on others.
    """
    matmul = torch.backends.mkldnn.matmul
    before = getattr(matmul, "fp32_precision", None)  # since torch 2.9
    if kind == "float32" or before is None:
        yield
        return
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def free_bytes(device: torch.device) -> int:
    """What is free of a GPU's memory."""
    return int(torch.cuda.mem_get_info(device)[0])


def forget_peak(device: torch.device) -> None:
    """Count `peak_bytes` from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """The most of a GPU's memory that was held; 0 on the processor, whose memory the system counts."""
    return 0 if device.type != "cuda" else int(torch.cuda.max_memory_allocated(device))


def random_state(device: torch.device) -> dict[str, Tensor]:
    """What a checkpoint must hold beside torch's own random state, by name."""
    return {} if device.type != "cuda" else {RANDOM: torch.cuda.get_rng_state(device)}


def set_random_state(device: torch.device, tensors: dict[str, Tensor]) -> None:
    """Take what `random_state` gave out of the tensors of a checkpoint."""
    found = tensors.pop(RANDOM, None)
    if found is not None and device.type == "cuda":
        torch.cuda.set_rng_state(found, device)


@contextmanager
def faults(step: int) -> Iterator[None]:
    """A GPU that fails or is full, in words that say what to do. Raises EngineError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"The GPU's memory was too small at step {step}: {_first_line(error)}",
            "Try --part-tokens 2048, --checkpointing, or --quantize nf4.",
        ) from error
    except torch.AcceleratorError as error:
        raise EngineError(
            f"The GPU was lost at step {step}: {_first_line(error)}",
            "Run the same command again: it goes on from the last checkpoint. LINNET_DEVICE=cpu trains without it.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
