"""Plain attention against flash attention on this processor, by depth: `python -m benchmarks.attention`.

A model of 0.1 billion random weights in F16 answers after prompts of several lengths, once with each, taking turns in
one run. A row is the median over rounds of tokens a second, reading and writing, and of the ratios of neighbours.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import numpy as np

from benchmarks import random_llama
from benchmarks.classify import keep
from benchmarks.plan import SHAPES, TEXTS
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.native.choice import choose_engine
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
DEPTHS, CONTEXT, NEW, ROUNDS = (16, 256, 1024, 2048, 3072), 4096, 32, 3


def speeds(engine: LlamaEngine, depth: int, number: int) -> tuple[float, float]:
    """Tokens a second of the prompt and of the answer."""
    ids = tuple(int(one) for one in np.random.default_rng(number).integers(1, 256, depth))
    *_, answer = engine.generate(GenerateRequest(token_ids=ids, sampling=GREEDY, max_tokens=NEW))
    assert isinstance(answer, Generation)
    first = answer.timings.first_token_ms or answer.timings.total_ms
    return 1000 * depth / first, 1000 * (answer.completion_tokens - 1) / max(1e-3, answer.timings.total_ms - first)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    path = OUT / "plan-0.1B-F16.gguf"
    if not path.is_file():
        random_llama.make(path.with_suffix(".part"), SHAPES["0.1B"], TEXTS, "F16").rename(path)
    engines = {}
    for attention in ("flash", "plain"):
        options = LoadOptions(context=CONTEXT, slots=1, engine=choose_engine().engine, attention=attention)
        engines[attention] = LlamaEngine(plan_load(path, options))
    print("| tokens before | reading: flash | plain | ratio | writing: flash | plain | ratio |")
    print("|---|---|---|---|---|---|---|")
    try:
        for depth in DEPTHS:
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
            for engine in engines.values():
                speeds(engine, depth, ROUNDS)  # the first one warms up
            for number in range(ROUNDS):
                for name, engine in engines.items():
                    found[name].append(speeds(engine, depth, number))
            row: dict[str, float] = {"depth": depth}
            for place, what in enumerate(("reading", "writing")):
                for name, pairs in found.items():
                    row[f"{what}_{name}"] = round(statistics.median(pair[place] for pair in pairs), 1)
                ratios = [p[place] / f[place] for p, f in zip(found["plain"], found["flash"], strict=True)]
                row[f"{what}_ratio"] = round(statistics.median(ratios), 2)
            print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)
            keep(f"attention-{depth}", row)
    finally:
        for engine in engines.values():
            engine.close()


if __name__ == "__main__":
    main()
