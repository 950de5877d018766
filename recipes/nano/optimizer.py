"""Muon, for the matrices.

Momentum, orthogonalised by five Newton-Schulz steps (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
torch.optim.Muon does these steps in bf16, which on a processor without bf16 takes five times as long as the rest of
the training step: here they are in what the caller says. Matrices of one shape are done together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(stack: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: singular values end in 0.7 to 1.2. [count, rows, columns]."""
    a, b, c = COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    x = stack.transpose(1, 2) if tall else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x


class Muon:
    """`state` holds one momentum for each parameter, in their order."""

    def __init__(self, parameters: Iterable[Tensor], momentum: float = 0.95, weight_decay: float = 0.05) -> None:
        self.parameters = list(parameters)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.state = [torch.zeros_like(p) for p in self.parameters]
        self._alike: dict[torch.Size, list[int]] = defaultdict(list)
        for index, parameter in enumerate(self.parameters):
            self._alike[parameter.shape].append(index)

    @torch.no_grad()
    def step(self, rate: float, numbers: torch.dtype = torch.float32) -> None:
        for shape, indices in self._alike.items():
            updates = []
            for i in indices:
                gradient = self.parameters[i].grad
                assert gradient is not None
                self.state[i].lerp_(gradient, 1 - self.momentum)
                updates.append(gradient.lerp(self.state[i], self.momentum))  # Nesterov
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for i, update in zip(indices, orthogonalised(torch.stack(updates).to(numbers)), strict=True):
                self.parameters[i].mul_(1 - rate * self.weight_decay).add_(update, alpha=-rate * scale)
                self.parameters[i].grad = None
