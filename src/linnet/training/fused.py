"""Layers of the Llama family as single functions of autograd: fewer passes over activations, and half of them kept.

A linear layer with LoRA adds its update into the product of the base, whose frozen weights stay in the 16 bits they are
stored in and are widened where they are used: no number changes. A norm keeps its input only. A gated feed-forward
keeps gate and up and computes their product a second time, where it takes no matrix product. Results are those of the
modules they stand for, but for rounding; `prove` compares them on the model itself.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.training import devices
from linnet.training.quantized import kind_of

PROBE_TOKENS = 8
MOST_RANK = 128  # of an adapter whose gradients are compared
BOUND = 1e-3  # largest difference, relative to the largest number compared
_ROOM = threading.local()


class _Frozen(torch.autograd.Function):
    """x W' + bias, both frozen and maybe narrower than x; they are widened once more on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return _wide(x, weight, None, bias)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, None, None]:
        return given[0] @ _open(ctx.saved_tensors[0], None), None, None


class _Lora(torch.autograd.Function):
    """x W' + bias + scale (x A') B' of x, W, how W is packed, bias, A, B and scale, where W and bias are frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *adapter: Any) -> Tensor:
        return _lora_product(ctx, x, (x,), adapter)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        x, *kept = ctx.saved_tensors
        to_x, to_a, to_b = _lora_gradients(ctx, given[0], x, kept)
        return to_x, None, None, None, to_a, to_b, None


def _open(weight: Tensor, packed: Any) -> Tensor:
    """The weights of a layer in fp32, shape (out, in); `packed` is what bitsandbytes knows of weights in 4 bits.

    They are good until the next call in this thread: all share one place, which is written over.
    """
    if packed is None:
        return weight if weight.dtype == torch.float32 else _place(weight).copy_(weight)
    from bitsandbytes.functional import dequantize_4bit

    opened: Tensor = dequantize_4bit(weight.data, packed)
    return opened.float()


def _place(weight: Tensor) -> Tensor:
    """Room for so many numbers; fresh memory would take as long to get as to fill."""
    room = getattr(_ROOM, "numbers", None)
    if room is None or room.numel() < weight.numel():
        room = _ROOM.numbers = torch.empty(weight.numel())
    found: Tensor = room[: weight.numel()].view(weight.shape)
    return found


def _wide(x: Tensor, weight: Tensor, packed: Any, bias: Tensor | None) -> Tensor:
    return functional.linear(x, _open(weight, packed), None if bias is None else bias.float())


def _lora_product(ctx: Any, x: Tensor, kept: tuple[Tensor, ...], adapter: Sequence[Any]) -> Tensor:
    """What goes forward of x; for the way back `kept` is saved, from which x can be had again."""
    weight, packed, bias, a, b, scale = adapter
    flat = x.flatten(0, -2)
    low = flat @ a.T
    made = _wide(flat, weight, packed, bias).addmm_(low, b.T, alpha=scale)
    ctx.save_for_backward(*kept, low, weight, a, b)
    ctx.scale, ctx.packed = scale, packed
    return made.view(*x.shape[:-1], -1)


def _lora_gradients(ctx: Any, given: Tensor, x: Tensor, kept: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Of x, A and B; `kept` is what `_lora_product` saved beside x."""
    low, weight, a, b = kept
    grad = given.flatten(0, -2)
    down = (grad @ b).mul_(ctx.scale)
    to_x = (grad @ _open(weight, ctx.packed)).addmm_(down, a)
    return to_x.view_as(x), down.T @ x.flatten(0, -2), (low.T @ grad).mul_(ctx.scale).T


class _GatedLora(torch.autograd.Function):
    """_Lora of silu(gate) up, which is not kept."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, *adapter: Any) -> Tensor:
        return _lora_product(ctx, functional.silu(gate).mul_(up), (gate, up), adapter)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, *kept = ctx.saved_tensors
        open_ = functional.silu(gate)
        to_x, to_a, to_b = _lora_gradients(ctx, given[0], open_ * up, kept)
        to_gate, to_up = _gate_gradients(to_x, gate, up, open_)
        return to_gate, to_up, None, None, None, to_a, to_b, None


def _gate_gradients(grad: Tensor, gate: Tensor, up: Tensor, open_: Tensor) -> tuple[Tensor, Tensor]:
    """Of silu(gate) up, where `open_` is silu(gate); both arguments of the caller are used up."""
    to_gate = torch.ops.aten.silu_backward(grad * up, gate)
    return to_gate, open_.mul_(grad)


class _Gated(torch.autograd.Function):
    """silu(gate) up, of which only gate and up are kept."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return _gate_gradients(given[0], gate, up, functional.silu(gate))


class _Norm(torch.autograd.Function):
    """weight x / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019); what is kept is x and one number a token."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        mean = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        scale = mean.add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[1]:
            to_weight = (given[0] * x).mul_(scale).flatten(0, -2).sum(0)
        if ctx.needs_input_grad[0]:
            weighted = given[0] * weight
            along = torch.linalg.vecdot(weighted, x).unsqueeze_(-1).mul_(scale**3).div_(x.shape[-1])
            to_x = weighted.mul_(scale).addcmul_(x, along, value=-1)
        return to_x, to_weight, None


class StandIn:
    """Takes the place of a module's forward; `is_plain` lets the usual operations compute instead."""

    def __init__(self, module: Any) -> None:
        self.module, self.plain, self.is_plain = module, module.forward, False


class LoraForward(StandIn):
    """Of PEFT's linear layer, as long as that has one plain adapter, which is switched on and not merged."""

    def parts(self) -> tuple[Tensor, Any, Tensor | None, Tensor, Tensor, float] | None:
        """Weight, how it is packed, bias, A, B and scale; None while there is no adapter to add."""
        module = self.module
        base, active = module.base_layer, module.active_adapters
        if module.disable_adapters or module.merged or len(active) != 1 or active[0] not in module.lora_A:
            return None
        a, b = module.lora_A[active[0]].weight, module.lora_B[active[0]].weight
        packed = getattr(base.weight, "quant_state", None)
        return base.weight, packed, base.bias, a, b, float(module.scaling[active[0]])

    def __call__(self, x: Tensor) -> Tensor:
        found, base = self.parts(), self.module.base_layer
        is_narrow = base.weight.dtype in (torch.bfloat16, torch.float16)  # PEFT's own would not multiply it with fp32
        if x.dtype != torch.float32 or ((found is None or self.is_plain) and not is_narrow):
            return self.plain(x)
        if found is None:
            return _Frozen.apply(x, base.weight, base.bias)
        if self.is_plain:
            weight, _, bias, a, b, scale = found
            return _Frozen.apply(x, weight, bias) + functional.linear(functional.linear(x, a), b) * scale
        return _Lora.apply(x, *found)


class MlpForward(StandIn):
    """Of a gated feed-forward with SiLU: Shazeer 2020, "GLU Variants Improve Transformer"."""

    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        if self.is_plain or x.dtype != torch.float32:
            return self.plain(x)
        gate, up = module.gate_proj(x), module.up_proj(x)
        down = module.down_proj.__dict__.get("forward")
        found = down.parts() if isinstance(down, LoraForward) else None
        if found is None:
            return module.down_proj(_Gated.apply(gate, up))
        return _GatedLora.apply(gate, up, *found)


class NormForward(StandIn):
    """Of a root mean square norm."""

    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        if self.is_plain or x.dtype != torch.float32:
            return self.plain(x)
        return _Norm.apply(x, module.weight, module.variance_epsilon)


def kinds(model: nn.Module) -> Iterator[tuple[nn.Module, type[StandIn]]]:
    """Modules, and what may stand in for their forward; whether it does so truly is proved afterwards."""
    from peft.tuners.lora.layer import LoraLayer

    for module in model.modules():
        name = type(module).__name__
        if isinstance(module, LoraLayer):
            if _is_plain_lora(module):
                yield module, LoraForward
        elif name.endswith("MLP") and all(hasattr(module, f"{part}_proj") for part in ("gate", "up", "down")):
            if isinstance(module.act_fn, nn.SiLU) or type(module.act_fn).__name__ == "SiLUActivation":
                yield module, MlpForward
        elif name.endswith("RMSNorm") and hasattr(module, "variance_epsilon") and hasattr(module, "weight"):
            yield module, NormForward


def _is_plain_lora(module: Any) -> bool:
    """Whether it is LoRA and nothing else, on a linear layer in full or 4 bits."""
    base = module.base_layer
    if type(base) is not nn.Linear and (kind_of(base) != "nf4" or base.compute_dtype != torch.float32):
        return False
    if module.lora_variant or any(module.lora_bias.values()):
        return False
    return all(isinstance(drop, nn.Identity) for drop in module.lora_dropout.values())


def fuse(model: nn.Module, *, narrow: bool = True) -> None:
    """`install`, and where the model does not `prove` the same as before, `release`."""
    install(model, narrow=narrow)
    if count(model) and not prove(model):
        release(model)


def install(model: nn.Module, *, narrow: bool = True) -> None:
    """Let the layers of a model compute in one piece what they can.

    Every number of the model is fp32 then; with `narrow` frozen weights under an adapter stay in 16 bits. For answers
    written token by token, widening would cost more than the products. A quantised model stays as it is, and computes
    in one piece where it computes in fp32.
    """
    found = list(kinds(model))
    if kind_of(model) == "none":
        kept = {id(module.base_layer.weight) for module, kind in found if kind is LoraForward and narrow}
        _widen(model, kept)
    for module, kind in found:
        module.forward = kind(module)


@torch.no_grad()
def _widen(model: nn.Module, kept: Collection[int] = ()) -> None:
    """Numbers in 16 bits become fp32; tied ones stay tied."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype in (torch.bfloat16, torch.float16) and id(tensor) not in kept:
            tensor.data = tensor.data.float()


def release(model: nn.Module) -> None:
    """The modules as they were; all numbers in fp32 unless it is quantised."""
    if kind_of(model) == "none":
        _widen(model)
    withdraw(model)


def withdraw(model: nn.Module) -> None:
    """The modules as they were, the numbers as they are."""
    for stand_in in _installed(model):
        del stand_in.module.forward


def _installed(model: nn.Module) -> list[StandIn]:
    found = (module.__dict__.get("forward") for module in model.modules())
    return [forward for forward in found if isinstance(forward, StandIn)]


def count(model: nn.Module) -> int:
    """How many layers compute in one piece."""
    return len(_installed(model))


def prove(model: Any, bound: float = BOUND) -> bool:
    """Whether hidden states and gradients are those of the usual operations; adapters are moved off their start."""
    backup, stand_ins = _moved(model), _installed(model)
    made = []
    for is_plain in (True, False):
        for stand_in in stand_ins:
            stand_in.is_plain = is_plain
        made.append(_computed(model))
    with torch.no_grad():
        for parameter, before in backup:
            parameter.copy_(before)
    return all(_close(one, other, bound) for one, other in zip(*made, strict=True))


@torch.no_grad()
def _moved(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Adapters with noise on them, and what they were: a fresh one has no gradient for its first half."""
    backup = []
    source = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            backup.append((parameter, parameter.detach().clone()))
            parameter.add_(torch.randn(parameter.shape, generator=source).to(parameter.device), alpha=0.02)
    return backup


def _computed(model: Any) -> list[Tensor]:
    """Hidden states at some tokens, and gradients of the inputs and of everything small that is trained."""
    small = [p for p in model.parameters() if p.requires_grad and (p.dim() == 1 or min(p.shape) <= MOST_RANK)]
    embedding = model.get_input_embeddings()
    device = devices.of(model)
    ids = torch.arange(1, 1 + PROBE_TOKENS, device=device)[None] % embedding.weight.shape[0]
    inputs = embedding(ids).detach().requires_grad_()
    with devices.computing(device):
        hidden = model.get_decoder()(inputs_embeds=inputs, use_cache=False).last_hidden_state
    weights = torch.linspace(-1, 1, hidden.numel(), device=device).view_as(hidden)
    gradients = torch.autograd.grad((hidden * weights).sum(), [inputs, *small], allow_unused=True)
    return [hidden.detach(), *(gradient for gradient in gradients if gradient is not None)]


def _close(one: Tensor, other: Tensor, bound: float) -> bool:
    return bool(float((one - other).abs().max()) <= bound * max(float(one.abs().max()), 1e-9))
