"""What it takes to write a GGUF of another type: memory and seconds, before a weight is read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

import numpy as np

from linnet.engines.planning.model_shape import Shape
from linnet.engines.scoring.groves import SEQUENCES
from linnet.engines.scoring.llama_context import BATCH, ROW_BYTES

MIB = 1 << 20
PYTHON_BYTES = 90 * MIB  # this process with the engine's library, without a model, measured
TORCH_BYTES = 430 * MIB  # the same with torch and transformers: the children that read a folder
FILE_BYTES_PER_SECOND = 400e6  # of reading and writing; not measured: what an ordinary SSD does
GATE_TOKENS = 256  # both files are loaded and read the same text: quantize_gate.WINDOW
TORCH_SECONDS = 15.0  # three children that import torch
ROWS, WIDTH = 32, 4096


def memory_bytes(source_bytes: int, result: Shape, *, folder: bool) -> int:
    """The most memory at once: the comparison of the result with its source.

    From a GGUF both are mapped side by side, each with its cache in F32 and the logits of a batch; then the logits of
    the text are compared.
    From a folder torch maps the source instead and holds its largest part in float32; before that a computed tensor may
    be whole in memory. Folders of several precisions take more: 4 bytes a weight.
    """
    if folder:
        largest = max((tensor.elements for tensor in result.tensors), default=0)
        return PYTHON_BYTES + TORCH_BYTES + max(source_bytes + 4 * largest, 16 * largest)
    row = 4 * result.vocabulary
    rows = max(SEQUENCES, min(BATCH, ROW_BYTES // max(1, row)))
    logits = 2 * rows * row + 2 * GATE_TOKENS * row
    kept = 4 * sum(result.numbers("attention.head_count_kv", result.heads)) * (result.key_length + result.value_length)
    caches = 2 * (GATE_TOKENS + BATCH) * kept
    return PYTHON_BYTES + source_bytes + result.weights_bytes + result.repacked_bytes + logits + caches


def seconds(weights: Mapping[str, int], source_bytes: int, threads: int, *, prefill: float, folder: bool) -> float:
    """`weights`: how many become which type. `prefill`: weights times tokens per second of the engine, for the gate."""
    total = sum(weights.values())
    work = sum(count / (kernel_speed(kind) * threads) for kind, count in weights.items())
    files = 2 * source_bytes / FILE_BYTES_PER_SECOND
    gate = 2 * GATE_TOKENS * total / prefill
    return work + files + gate + (TORCH_SECONDS if folder else 0.5)


@cache
def kernel_speed(kind: str) -> float:
    """Weights per second that one thread turns into this type, measured now on a small matrix. By processor
    time: what else runs does not count."""
    from linnet.engines.quantization.quant_kernels import NEEDS_IMPORTANCE, quantize_rows

    rows = np.random.default_rng(0).normal(0, 0.05, (ROWS, WIDTH)).astype(np.float32)
    importance = np.ones(WIDTH, np.float32) if kind in NEEDS_IMPORTANCE else None
    if kind == "F32":
        return 1e9
    quantize_rows(rows[:1], kind, importance)  # its tables are made at the first use
    best = float("inf")
    for _ in range(3):
        started = time.thread_time()
        quantize_rows(rows, kind, importance)
        best = min(best, time.thread_time() - started)
    return rows.size / best
