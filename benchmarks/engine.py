"""The native engine beside the wheel, and beside the peer `llama-bench` of the same build: prefill and decode.

    python -m benchmarks.engine [tiny|small|billion ...]    default: small and billion

`linnet engine build` first; without a native engine only the wheel is measured, and the output says so. Models are
Llamas of random weights in Q8_0, made once in $LINNET_BENCH (default .bench), where the results are kept as JSON too.
Every round runs each engine once, one after the other, on a prompt that it has not seen; a row is the median of
rounds, a ratio the median of the rounds' ratios. Ours is measured outside the engine, from the request to its last
token, with everything that comes between; llama-bench measures inside, with the same threads and batch, and decodes at
the same depth. tokens/s of the wall clock: run it on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import random_llama
from benchmarks.classify import keep
from benchmarks.random_llama import Shape
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.native.choice import WHEEL, Choice, choose_engine
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
TEXTS = ["a model of random weights says nothing that was worth training a tokenizer on"]
# name: shape, rounds, prompt tokens, new tokens
SIZES = {
    "tiny": (Shape(2, 64, 4, 2, 128, 512, 512), 2, 64, 8),
    "small": (random_llama.SMALL, 7, 512, 64),
    "billion": (Shape(22, 2048, 32, 4, 5632, 32_000), 5, 512, 64),  # as TinyLlama-1.1B
}
Rates = dict[str, list[float]]


def ours(engine: LlamaEngine, prompt: int, new: int, seed: int) -> tuple[float, float]:
    """Tokens per second of the prompt and of the answer, seen from outside."""
    ids = tuple(int(one) for one in np.random.default_rng(seed).integers(1, 256, prompt))
    *_, answer = engine.generate(GenerateRequest(token_ids=ids, sampling=GREEDY, max_tokens=new))
    assert isinstance(answer, Generation)
    first = answer.timings.first_token_ms or answer.timings.total_ms
    if answer.completion_tokens < new:
        print(f"  the answer ended after {answer.completion_tokens} of {new} tokens")
    rest = max(1e-3, answer.timings.total_ms - first)
    return 1000 * prompt / first, 1000 * (answer.completion_tokens - 1) / rest


def peer(program: Path, engine: LlamaEngine, prompt: int, new: int) -> tuple[float, float]:
    """The same by llama-bench: one run, after a warm-up of its own."""
    options = engine.plan.options
    common = [str(program), "-m", str(engine.plan.path), "-t", str(options.threads), "-r", "1", "-o", "json"]
    common += ["-b", str(options.batch), "-ub", str(options.batch)]
    rates = []
    for what in (["-p", str(prompt), "-n", "0"], ["-p", "0", "-n", str(new), "-d", str(prompt)]):
        done = subprocess.run([*common, *what], capture_output=True, text=True, check=True)
        rates.append(float(json.loads(done.stdout)[0]["avg_ts"]))
    return rates[0], rates[1]


def measure(name: str, chosen: Choice) -> None:
    shape, rounds, prompt, new = SIZES[name]
    path = OUT / f"engine-{name}.gguf"
    if not path.is_file():
        random_llama.make(path.with_suffix(".part"), shape, TEXTS).rename(path)
    binaries = {"wheel": WHEEL} | ({"native": chosen.engine} if chosen.kind != "wheel" else {})
    options = {label: LoadOptions(context=2 * prompt, slots=1, engine=engine) for label, engine in binaries.items()}
    engines = {label: LlamaEngine(plan_load(path, one, label=name)) for label, one in options.items()}
    bench = Path(chosen.engine).with_name("llama-bench")
    prefill: Rates = {label: [] for label in engines}
    decode: Rates = {label: [] for label in engines}
    try:
        for number in range(1, rounds + 1):
            found = {}
            for label, engine in engines.items():
                ours(engine, prompt, 2, 100 + number)  # as llama-bench warms up before each run
                found[label] = ours(engine, prompt, new, number)
            if chosen.kind != "wheel" and bench.is_file():
                found["llama-bench"] = peer(bench, engines["native"], prompt, new)
            for label, (read, written) in found.items():
                prefill.setdefault(label, []).append(read)
                decode.setdefault(label, []).append(written)
    finally:
        for engine in engines.values():
            engine.close()
    keep(f"engine-{name}", {"rounds": rounds, "prompt": prompt, "new": new, **rows(prefill, decode)})


def rows(prefill: Rates, decode: Rates) -> dict[str, float]:
    """Medians in tokens/s, and native over each of the others."""
    found = {}
    for what, rates in {"prefill": prefill, "decode": decode}.items():
        for label, values in rates.items():
            found[f"{what}_{label}"] = round(statistics.median(values), 1)
        for label in rates.keys() - {"native"} if "native" in rates else ():
            ratios = [a / b for a, b in zip(rates["native"], rates[label], strict=True)]
            found[f"{what}_native_over_{label}"] = round(statistics.median(ratios), 3)
    return dict(sorted(found.items()))


def main() -> None:
    OUT.mkdir(exist_ok=True)
    chosen = choose_engine()
    print(f"engine: {chosen.why}")
    for name in sys.argv[1:] or ("small", "billion"):
        measure(name, chosen)


if __name__ == "__main__":
    main()
