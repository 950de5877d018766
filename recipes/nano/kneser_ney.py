"""An interpolated 5-gram model with Kneser-Ney smoothing over token ids: what pre-training must beat.

Formula: Chen and Goodman 1998, "An Empirical Study of Smoothing Techniques", section 2.8, one discount for each order
(n1 / (n1 + 2 n2)); lower orders count after how many different tokens an n-gram was seen. Below one token: uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def _hashes(ids: Array, length: int) -> Array:
    """One 64-bit hash for each n-gram of this length, by its first position; two never met in practice."""
    found = np.zeros(len(ids) - length + 1, dtype=np.uint64)
    for offset in range(length):
        part = ids[offset : offset + len(found)].astype(np.uint64) + np.uint64(1)
        found = (found ^ part) * MULTIPLIER
        found ^= found >> np.uint64(29)
    return found


@dataclass(slots=True)
class _Order:
    grams: Array  # sorted hashes
    counts: Array
    contexts: Array  # sorted hashes of all but the last token
    totals: Array
    kinds: Array
    discount: float


def _look(keys: Array, values: Array, wanted: Array) -> Array:
    """values of the wanted keys, 0 where a key is not there."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


class KneserNey:
    """Trained on one stream of token ids [tokens]."""

    def __init__(self, ids: Array, vocabulary: int, order: int = 5) -> None:
        self.vocabulary, self.order = vocabulary, order
        self._orders = [self._counted(ids, length) for length in range(1, order + 1)]

    def _counted(self, ids: Array, length: int) -> _Order:
        hashes = _hashes(ids, length)
        if length == self.order:
            grams, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        else:
            longer, at = np.unique(_hashes(ids, length + 1), return_index=True)
            grams, first_of, counts = np.unique(hashes[at + 1], return_index=True, return_counts=True)
            first = at[first_of] + 1
            del longer
        context_of = _hashes(ids, length - 1)[first] if length > 1 else np.zeros(len(first), dtype=np.uint64)
        contexts, group = np.unique(context_of, return_inverse=True)
        ones, twos = int((counts == 1).sum()), int((counts == 2).sum())
        return _Order(
            grams, counts, contexts, np.bincount(group, weights=counts), np.bincount(group).astype(float),
            ones / (ones + 2 * twos) if ones else 0.5,
        )  # fmt: skip

    def log_probabilities(self, ids: Array) -> Array:
        """Natural logarithm of the probability of every token but the first. [tokens - 1]."""
        size = len(ids) - 1
        found = np.full(size, 1.0 / self.vocabulary)
        for length, order in enumerate(self._orders, start=1):
            start = max(0, length - 2)  # the first target that has a whole context of this length
            grams = _hashes(ids, length)[start + 2 - length :]
            context = _hashes(ids, length - 1)[start + 2 - length :][: len(grams)] if length > 1 else None
            if context is None:
                context = np.zeros(len(grams), dtype=np.uint64)
            total = _look(order.contexts, order.totals, context)
            count = _look(order.grams, order.counts, grams)
            kinds = _look(order.contexts, order.kinds, context)
            safe = np.maximum(total, 1)
            shorter = found[start:]
            mixed = np.maximum(count - order.discount, 0) / safe + order.discount * kinds / safe * shorter
            found[start:] = np.where(total > 0, mixed, shorter)
        return np.log(found)
