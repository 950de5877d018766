"""Roughly whether a model fits this machine and how fast it would answer, before it is fetched.

A forecast from sizes. What a load takes is planned in load_plan and measured when it is loaded.
"""

from __future__ import annotations

import time

import psutil

from linnet.core.records import Record
from linnet.formats.model_report import HyperParameters

# Of the speed of a plain copy, what decoding reaches: every weight is read once a token. Rough on purpose.
SHARE = 0.6
# Of a mixture of experts, what is read for every token beside the experts: attention and embeddings.
ALWAYS = 0.2
CONTEXT, CACHE_BYTES, BUFFERS = 4096, 2, 256 << 20


class Fit(Record):
    """Bytes, and tokens per second for one answer at a time. `memory_bytes` is all that a load takes."""

    memory_bytes: int
    memory_total_bytes: int
    memory_free_bytes: int
    tokens_per_second: float

    @property
    def is_possible(self) -> bool:
        """Whether the machine could hold it with nothing else running."""
        return self.memory_bytes <= self.memory_total_bytes

    @property
    def fits_now(self) -> bool:
        return self.memory_bytes <= self.memory_free_bytes


def fit(weights_bytes: int, memory_bytes: int, sizes: HyperParameters, copy_speed: float | None = None) -> Fit:
    """What weights of this size mean here. `copy_speed` is in bytes per second; measured when not given."""
    memory = psutil.virtual_memory()
    read = float(weights_bytes)
    if sizes.expert_count and sizes.expert_used_count:
        read *= ALWAYS + (1 - ALWAYS) * min(1.0, sizes.expert_used_count / sizes.expert_count)
    speed = SHARE * (memory_copy_speed() if copy_speed is None else copy_speed) / max(read, 1.0)
    return Fit(
        memory_bytes=memory_bytes,
        memory_total_bytes=memory.total,
        memory_free_bytes=memory.available,
        tokens_per_second=float(f"{speed:.2g}"),
    )


def rough_memory(weights_bytes: int, sizes: HyperParameters) -> int:
    """Weights, an f16 cache of 4,096 tokens, and buffers, where load_plan has no whole file to look at."""
    layers, width, heads = sizes.block_count or 0, sizes.embedding_length or 0, sizes.head_count or 1
    context = min(CONTEXT, sizes.context_length or CONTEXT)
    cache = 2 * CACHE_BYTES * layers * context * width * (sizes.head_count_kv or heads) // heads
    return weights_bytes + cache + BUFFERS


def memory_copy_speed() -> float:
    """Bytes per second that go through memory in a plain copy by one core: read and written, best of three."""
    source = bytearray(64 << 20)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        bytes(source)
        best = min(best, time.perf_counter() - started)
    return 2 * len(source) / best
