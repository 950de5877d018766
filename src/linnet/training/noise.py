"""NEFTune: noise on the embeddings while a model is trained, and never when it is judged.

Jain et al. 2023, "NEFTune: Noisy Embeddings Improve Instruction Finetuning": uniform in [-1, 1], times
alpha / sqrt(tokens of the row x width). The noise of a row depends on the step and the row alone, so neither the
limit of memory nor a resume changes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

SEEDS = 1 << 62


@contextmanager
def noisy(embedding: nn.Module, alpha: float, made: Sequence[Sequence[int]], lengths: Sequence[int]) -> Iterator[None]:
    """While open, the embedding of the parts `made`, in this order, is noisy; rows are indices into `lengths`.

    Draws one number of torch's random state, which is in every checkpoint. With `alpha` 0 nothing is done or drawn.
    """
    if not alpha:
        yield
        return
    seed = int(torch.randint(SEEDS, ()))
    left = iter(made)

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output + _noise(output, alpha, seed, [(row, lengths[row]) for row in next(left)])

    handle = embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _noise(output: Tensor, alpha: float, seed: int, rows: Sequence[tuple[int, int]]) -> Tensor:
    """Noise of the shape of `output` (rows, tokens, width); none where a row is padded."""
    noise = torch.zeros_like(output)
    source = torch.Generator()
    for place, (row, length) in enumerate(rows):
        source.manual_seed((seed + row) % SEEDS)
        drawn = 2 * torch.rand(length, output.shape[-1], generator=source) - 1
        noise[place, :length] = (drawn * (alpha / math.sqrt(length * output.shape[-1]))).to(noise)
    return noise
