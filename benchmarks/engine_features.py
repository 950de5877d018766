"""What n-gram speculation, a reused prefix and a warm start are worth in the engine.

    python -m benchmarks.engine_features [ngram|prefix|start ...]    default: all three

Models are Llamas of 110 million random weights in Q8_0, made once in $LINNET_BENCH (default .bench), where the results
are kept as JSON too. For `ngram` one of them has attention that adds nothing, so that each token follows from the one
before: a prompt that holds the walk of its tokens is repeated word for word, one that holds it in pieces of 16 tokens
is repeated piece by piece, as an edit or a summary does. Plain and speculating engine take turns, the answers are
compared token by token, a row is the median of the rounds' ratios of tokens per second. `prefix`: time to the first
token of requests with 1,000 tokens in common over that of the first one. `start`: from the command to the first token,
`linnet run` beside `llama-server` of the same build ($LINNET_PEERS/bin), both fresh processes.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks import random_llama
from benchmarks.classify import keep
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Piece
from linnet.engines.scoring.scorer import Scorer

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
PEERS = Path(os.environ.get("LINNET_PEERS", ""))
TEXTS = ["a model of random weights says nothing that was worth training a tokenizer on"]
ROUNDS, NEW, PIECE = 7, 128, 16
PREFIX, REQUESTS = 1000, 100


def model(name: str, *, attends: bool = True) -> Path:
    path = OUT / f"{name}.gguf"
    if not path.is_file():
        random_llama.make(path.with_suffix(".part"), random_llama.SMALL, TEXTS, attends=attends).rename(path)
    return path


def opened(path: Path, **options: object) -> LlamaEngine:
    return LlamaEngine(plan_load(path, LoadOptions(context=2048, slots=1, **options), label=path.stem))  # type: ignore[arg-type]


def answer(engine: LlamaEngine, prompt: list[int], new: int) -> tuple[list[int], Generation]:
    request = GenerateRequest(token_ids=tuple(prompt), sampling=GREEDY, max_tokens=new)
    *pieces, end = engine.generate(request)
    assert isinstance(end, Generation)
    return [one for piece in pieces if isinstance(piece, Piece) for one in piece.token_ids], end


def walk(path: Path) -> list[int]:
    """A long sequence of different tokens in which each follows from the one before."""
    best: list[int] = []
    with Scorer(path, threads=1) as scorer:
        for first in range(1, 12):
            if len(best) > NEW:
                break
            known = [first]
            while len(known) < 2 * NEW:
                following = int(scorer.next_logits(known).argmax())
                if following in known:
                    break
                known.append(following)
            best = max(best, known, key=len)
    return best


def ngram() -> dict[str, float]:
    """Tokens per second of decoding, with guesses over without, for three kinds of prompt."""
    copying, plain = model("random-walk", attends=False), model("random")
    found: dict[str, float] = {}
    path = walk(copying)
    found["walk_tokens"] = len(path)
    pieces = [path[at : at + PIECE] for at in range(0, len(path), PIECE)]
    shuffled = [pieces[at] for at in np.random.default_rng(0).permutation(len(pieces))]
    prompts = {
        "repeats": (copying, path + path[:1]),
        "in_pieces": (copying, [one for piece in shuffled for one in piece] + path[:1]),
        "elsewhere": (plain, [int(one) for one in np.random.default_rng(1).integers(1, 256, 256)]),
    }
    for name, (file, prompt) in prompts.items():
        new = min(NEW, len(path) - 1) if file is copying else NEW
        found |= {f"{name}_{key}": value for key, value in sides(file, prompt, new).items()}
    return found


def sides(file: Path, prompt: list[int], new: int) -> dict[str, float]:
    rates: dict[str, list[float]] = {"plain": [], "ngram": []}
    with closing(opened(file)) as plain, closing(opened(file, speculation="ngram")) as guessing:
        engines = {"plain": plain, "ngram": guessing}
        for engine in engines.values():
            answer(engine, prompt, new)  # to warm up, and to keep the prompt
        expected, same = answer(plain, prompt, new)[0], 0
        for _ in range(ROUNDS):
            for name, engine in engines.items():
                ids, end = answer(engine, prompt, new)
                same += ids == expected
                rates[name].append((end.completion_tokens - 1) / (end.timings.decode_ms / 1000))
    ratios = [b / a for a, b in zip(*rates.values(), strict=True)]
    share = end.timings.draft_accepted / max(1, end.timings.draft_tokens)
    return {
        "plain": round(statistics.median(rates["plain"]), 1),
        "ngram": round(statistics.median(rates["ngram"]), 1),
        "ratio": round(statistics.median(ratios), 3),
        "accepted": round(share, 2),
        "same_answers": round(same / (2 * ROUNDS), 2),
    }


def prefix() -> dict[str, float]:
    """Milliseconds to the first token: the first request, and the median of those that share its first tokens."""
    noise = np.random.default_rng(2)
    shared = [int(one) for one in noise.integers(1, 256, PREFIX)]
    firsts, later = [], []
    with closing(opened(model("random"))) as engine:
        answer(engine, [1, 2, 3], 1)
        for number in range(REQUESTS):
            ids = shared + [int(one) for one in noise.integers(1, 256, 16)]
            _, end = answer(engine, ids, 1)
            (later if number else firsts).append(end.timings.first_token_ms or 0.0)
            assert not number or end.cached_tokens >= PREFIX - 1
    return {
        "first_ms": round(firsts[0], 1),
        "shared_ms": round(statistics.median(later), 1),
        "ratio": round(statistics.median(later) / firsts[0], 3),
    }


def start() -> dict[str, float]:
    """Seconds from the command to the first token, and to the end of `linnet run`."""
    path, server = model("random").resolve(), PEERS / "bin" / "llama-server"
    seconds: dict[str, list[float]] = {"linnet": [], "llama-server": []}
    for number in range(ROUNDS + 1):
        found = {"linnet": _linnet(path), "llama-server": _server(server, path) if server.is_file() else 0.0}
        if number:  # the first one reads the file from the disk
            for name, value in found.items():
                seconds[name].append(value)
    result = {f"{name}_s": round(statistics.median(values), 2) for name, values in seconds.items()}
    if server.is_file():
        result["ratio"] = round(statistics.median(a / b for a, b in zip(*seconds.values(), strict=True)), 2)
    return result


def _linnet(path: Path) -> float:
    begun = time.perf_counter()
    command = [sys.executable, "-m", "linnet", "run", str(path), "once", "--raw", "--max-tokens", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        taken = time.perf_counter() - begun
        process.communicate()
    return taken


def _server(program: Path, path: Path) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    flags = ["--model", str(path), "--port", str(port), "--ctx-size", "2048", "--parallel", "1", "--offline", "--no-ui"]
    process = subprocess.Popen([str(program), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        body = json.dumps({"prompt": "once", "n_predict": 4, "stream": True}).encode()
        while True:
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", body)
                with urllib.request.urlopen(request, timeout=60) as reply:
                    assert reply.readline().startswith(b"data:")
                    return time.perf_counter() - begun
            except OSError:
                if time.perf_counter() - begun > 60:
                    raise
                time.sleep(0.01)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    OUT.mkdir(exist_ok=True)
    parts = {"ngram": ngram, "prefix": prefix, "start": start}
    for name in sys.argv[1:] or parts:
        keep(f"engine-{name}", parts[name]())


if __name__ == "__main__":
    main()
