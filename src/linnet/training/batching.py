"""Which examples are trained on together: at random, or texts of like length; the seed alone decides which and when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POOL_BATCHES = 50  # sort within pools of this many batches: near-zero padding, still a random order
RANDOM = 1  # no more is sorted than one batch


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int, pool_batches: int = POOL_BATCHES
) -> list[list[int]]:
    """Every index once, in batches of `batch_size`. A pure function, so a resumed epoch is the same epoch."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = generator.permutation(len(lengths))
    batches: list[list[int]] = []
    pool = batch_size * pool_batches
    for start in range(0, len(order), pool):
        chosen = sorted(order[start : start + pool].tolist(), key=lambda index: (lengths[index], index))
        batches += [chosen[i : i + batch_size] for i in range(0, len(chosen), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """The share of all computed positions that is padding, 0 to 1."""
    computed = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    return 1.0 - sum(lengths[i] for batch in batches for i in batch) / computed if computed else 0.0
