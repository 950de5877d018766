"""`builtin:nano` as Q8_0 beside a model of half a billion random weights, same engine, same commands, in turns.

    python -m benchmarks.nano [ROUNDS]      commands of examples/smart-home (5 rounds of 8), two threads

Random weights cost what trained ones cost. Each model reads the command in its own tokens and then writes at most 32;
prefill and decoding are the engine's own times. A row is the median of rounds; the large model is made once in
$LINNET_BENCH (default .bench), where the results are kept as JSON too.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
from pathlib import Path

from benchmarks import random_llama
from benchmarks.classify import keep
from benchmarks.scoring import OUT
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation

ROOT = Path(__file__).parents[1]
NANO = ROOT / "src" / "linnet" / "builtin" / "nano" / "model-Q8_0.gguf"
COMMANDS = ROOT / "examples" / "smart-home" / "test.jsonl"
ROUNDS, EACH, WRITTEN, REPEATS = 5, 8, 32, 4  # a command four times over: some 60 tokens


def run(engine: LlamaEngine, prompts: list[str]) -> dict[str, float]:
    """Tokens a second of one round."""
    read = written = prefill = decode = 0.0
    for prompt in prompts:
        request = GenerateRequest(prompt=prompt, sampling=GREEDY, max_tokens=WRITTEN)
        *_, last = engine.generate(request)
        assert isinstance(last, Generation)
        read += last.prompt_tokens - last.cached_tokens
        written += last.completion_tokens
        prefill, decode = prefill + last.timings.prompt_ms, decode + last.timings.decode_ms
    return {
        "prefill": 1000 * read / prefill,
        "decode": 1000 * written / decode,
        "both": 1000 * (read + written) / (prefill + decode),
    }


def main() -> None:
    OUT.mkdir(exist_ok=True)
    commands = [json.loads(line)["command"] for line in COMMANDS.read_text().splitlines()]
    large = OUT / "random-0.5b.gguf"
    if not large.is_file():
        random_llama.make(large.with_suffix(".part"), random_llama.HALF_BILLION, commands).rename(large)
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    options = LoadOptions(context=512, slots=1, threads=2)
    found: dict[str, list[dict[str, float]]] = {"nano": [], "half_billion": []}
    with contextlib.ExitStack() as stack:
        engines = {name: open_llama(path, options) for name, path in (("nano", NANO), ("half_billion", large))}
        for engine in engines.values():
            stack.callback(engine.close)
            run(engine, ["Warm up."])
        for number in range(rounds):
            prompts = [f"{one}\n" * REPEATS for one in commands[number * EACH : (number + 1) * EACH]]
            for name, engine in engines.items():
                found[name].append(run(engine, prompts))
    row = {f"{name}_{part}": round(statistics.median(r[part] for r in made), 1)
           for name, made in found.items() for part in made[0]}  # fmt: skip
    pairs = list(zip(found["nano"], found["half_billion"], strict=True))
    row |= {f"ratio_{part}": round(statistics.median(a[part] / b[part] for a, b in pairs), 1) for part in pairs[0][0]}
    keep("nano-speed", row)


if __name__ == "__main__":
    main()
