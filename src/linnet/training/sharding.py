"""Weights of a training spread over its processes: each holds a part of every layer, gathered while the layer computes.

Zhao et al. 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel", as torch's `fully_shard`. What is
outside of the layers (embeddings, the last norm, the head) is whole in every process. Optimiser and averages work on a
process's own parts; checkpoints and results hold whole tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core.errors import EngineError
from linnet.training import devices, parallel


def shard(model: Any) -> None:
    """Spread the layers of a decoder over the processes. Raises EngineError where they are not found."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise EngineError(f"{type(model).__name__} has no list of layers to spread.", "Run it without --shard.")
    mesh = init_device_mesh(devices.of(model).type, (parallel.size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        if isinstance(layer, FSDPModule):
            layer.set_gradient_divide_factor(1.0)  # gradients are of a share of one mean: they are added up
            layer.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def is_spread(tensor: Any) -> bool:
    """Whether it is torch's DTensor, which one process never has: its modules take a while to import."""
    return parallel.size() > 1 and hasattr(tensor, "to_local")


def is_sharded(parameters: Iterable[Any]) -> bool:
    return any(map(is_spread, parameters))


def own_part(parameter: Any) -> Tensor:
    """What this process holds of a parameter: the same memory, a plain tensor."""
    found: Tensor = parameter.detach().to_local() if is_spread(parameter) else parameter
    return found


def take_gradients(parameters: Sequence[Any], parts: Sequence[Tensor]) -> None:
    """Move the gradients of spread parameters to the parts that the optimiser knows; they are summed already."""
    for parameter, part in zip(parameters, parts, strict=True):
        if is_spread(parameter):
            part.grad = torch.zeros_like(part) if parameter.grad is None else parameter.grad.to_local()
            parameter.grad = None


def clip(parameters: Sequence[Tensor], parts: Sequence[Tensor], most: float) -> float:
    """Bound the norm of the gradients of all parts of all processes; the norm before."""
    if not is_sharded(parameters):
        return float(nn.utils.clip_grad_norm_(parts, most))
    gradients = [part.grad for part in parts if part.grad is not None]
    squares = [0.0, 0.0]
    for parameter, part in zip(parameters, parts, strict=True):
        if part.grad is not None:
            squares[is_spread(parameter)] += float(part.grad.square().sum())
    norm = math.sqrt(squares[0] + parallel.summed(squares[1:])[0])
    torch._foreach_mul_(gradients, min(1.0, most / (norm + 1e-6)))
    return norm


def whole(parameter: Any, part: Tensor) -> Tensor:
    """The tensor of which every process holds such a part as of this parameter; all processes must ask."""
    if not is_spread(parameter) or not part.dim():
        return part.detach()
    from torch.distributed.tensor import DTensor

    spread = DTensor.from_local(
        part.detach(), parameter.device_mesh, parameter.placements, run_check=False, shape=parameter.shape,
        stride=parameter.stride(),
    )  # fmt: skip
    found: Tensor = spread.full_tensor().clone()  # a plain tensor: it may still be on its way
    return found


def part_of(parameter: Any, found: Tensor) -> Tensor:
    """This process's part of a whole tensor, as it holds one of the parameter."""
    if not is_spread(parameter) or not found.dim():
        return found
    from torch.distributed.tensor import distribute_tensor

    spread = distribute_tensor(found, parameter.device_mesh, parameter.placements, src_data_rank=None)
    own: Tensor = spread.to_local()
    return own


@torch.no_grad()
def gather(model: nn.Module) -> None:
    """Put what was trained together again in process 0, which writes it; the model computes nothing after this."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if is_spread(parameter) and parameter.requires_grad:
                found = whole(parameter, own_part(parameter))
                module._parameters[name] = nn.Parameter(found if not parallel.rank() else found[:0])
