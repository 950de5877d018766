"""On a GPU: layers that Liger Kernel computes in one piece, where it is installed (`pip install liger-kernel`).

Hsu et al. 2024, "Liger Kernel: Efficient Triton Kernels for LLM Training". Of it only the functions for norms and gated
feed-forwards are used, in place of a module's forward; nothing of transformers is patched. As on the processor, `prove`
compares hidden states and gradients with those of the usual operations first.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from torch import Tensor, nn

from linnet.training import fused

BOUND = 0.03  # as fused.BOUND, for products in bfloat16, whose numbers have eight bits


class _Mlp(fused.StandIn):
    """Of a gated feed-forward with SiLU."""

    def __call__(self, x: Tensor) -> Tensor:
        from liger_kernel.transformers.functional import liger_swiglu

        if self.is_plain:
            return self.plain(x)
        return self.module.down_proj(liger_swiglu(self.module.gate_proj(x), self.module.up_proj(x)))


class _Norm(fused.StandIn):
    """Of a root mean square norm. Its input's gradient is not written over: the residual stream reads it too."""

    def __call__(self, x: Tensor) -> Tensor:
        from liger_kernel.transformers.functional import liger_rms_norm

        if self.is_plain:
            return self.plain(x)
        return liger_rms_norm(x, self.module.weight, self.module.variance_epsilon, in_place=False)


_KERNELS: dict[Any, type[fused.StandIn]] = {fused.MlpForward: _Mlp, fused.NormForward: _Norm}


def is_installed() -> bool:
    return importlib.util.find_spec("liger_kernel") is not None


def fuse(model: nn.Module) -> None:
    """Let Liger's kernels compute what they can; the usual operations, where they do not `prove` the same."""
    if not is_installed():
        return
    for module, kind in list(fused.kinds(model)):
        if kind in _KERNELS:
            module.forward = _KERNELS[kind](module)
    if fused.count(model) and not fused.prove(model, BOUND):
        fused.withdraw(model)
