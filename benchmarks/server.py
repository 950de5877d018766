"""The server beside the bare engine, under overload, and beside the peer `llama-server` of the same sources.

    python -m benchmarks.server [--quick] [--peers DIR] [engine|overload|peer ...]     default: all three

engine: requests of 1, 4 and 16 clients to `linnet serve`, and the same requests straight to an engine of the same kind,
model and flags on its unix socket; and the time to the first token of one client, alternating. overload: ten times the
clients that keep every slot busy. peer: 16 clients whose prompts begin alike; DIR/bin/llama-server (default
$LINNET_PEERS) runs as a peer, and as the engine below `linnet serve`. Without DIR that part is left out and says so.

Models are Llamas of random weights in Q8_0, kept in $LINNET_BENCH (default .bench) with the results as JSON. One client
here speaks to all of them. Sides take turns; a row is the median of rounds, a ratio the median of the rounds' ratios.
The wall clock counts: run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import random_llama
from benchmarks.classify import keep
from benchmarks.random_llama import Shape
from linnet.core.settings import threads
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.native.choice import Choice, choose_engine

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
TEXTS = ["a model of random weights says nothing that was worth training a tokenizer on"]
SLOTS, CONTEXT, WAITING = 16, 1024, 64
RAMP_S = 3.0  # until the queue of an overloaded server is full


@dataclass(frozen=True, slots=True)
class Size:
    shape: Shape
    rounds: int
    prompt: int  # tokens
    new: int
    each: int  # requests of a client in a round
    first_tokens: int  # requests for the time to the first token
    shared: int  # tokens that prompts of the peer part begin with alike
    overload_s: float


FULL = Size(random_llama.SMALL, 5, 64, 48, 2, 40, 384, 30.0)
QUICK = Size(Shape(2, 64, 4, 2, 128, 512), 2, 16, 16, 2, 10, 64, 3.0)


@dataclass
class Door:
    """Where a server listens: `open` connects."""

    name: str
    open: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
    head: str = ""  # more lines of the request's head


@dataclass
class Answer:
    """What came of one request: `tokens` is 0 where it was not answered to its end."""

    status: int
    first_s: float = 0.0
    total_s: float = 0.0
    tokens: int = 0
    retry_s: float = 0.0  # Retry-After of a refusal
    pieces: list[float] = field(default_factory=list)  # when each came, by the clock


@dataclass
class Load:
    """The answers of one run, and how long it took."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens per second of answers that came whole."""
        return sum(one.tokens for one in self.answers) / self.seconds


async def ask(door: Door, prompt: list[int], new: int) -> Answer:
    """One streamed completion on a connection of its own."""
    body = {"model": "bench", "prompt": prompt, "max_tokens": new, "temperature": 0, "stream": True}
    content = json.dumps({**body, "stream_options": {"include_usage": True}}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{door.head}Content-Type: application/json\r\n"
    started = time.perf_counter()
    reader, writer = await door.open()
    try:
        writer.write(head.encode() + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        found = Answer(int((await reader.readline()).split()[1]))
        last, is_whole = b"", False
        while line := await reader.readline():
            if line.lower().startswith(b"retry-after:"):
                found.retry_s = float(line.split(b":")[1])
            if line.startswith(b"data: {"):
                found.pieces.append(time.perf_counter())
                found.first_s = found.first_s or found.pieces[0] - started
                last = line if b'"usage"' in line else last
            is_whole = is_whole or line.startswith(b"data: [DONE]")
        found.total_s = time.perf_counter() - started
        if is_whole:
            found.tokens = json.loads(last[6:])["usage"]["completion_tokens"]
        return found
    finally:
        writer.close()


def prompts(seed: int, count: int, tokens: int, shared: int = 0) -> list[list[int]]:
    noise = np.random.default_rng(seed)
    head = np.random.default_rng(0).integers(1, 256, shared).tolist()
    return [head + noise.integers(1, 256, tokens).tolist() for _ in range(count)]


def load(door: Door, clients: int, given: list[list[int]], new: int) -> Load:
    """All prompts, by so many clients at once."""
    queue = list(reversed(given))

    async def client(into: list[Answer]) -> None:
        while queue:
            into.append(await ask(door, queue.pop(), new))

    async def together() -> Load:
        found = Load()
        started = time.perf_counter()
        await asyncio.gather(*(client(found.answers) for _ in range(clients)))
        found.seconds = time.perf_counter() - started
        return found

    found = asyncio.run(together())
    if lost := [one.status for one in found.answers if not one.tokens]:
        print(f"  {door.name}: {len(lost)} of {len(found.answers)} requests failed, with status {lost[0]}")
    return found


def warm_up(doors: list[Door], size: Size) -> None:
    """Load the model everywhere, and end here where that fails."""
    for door in doors:
        if not all(one.tokens for one in load(door, SLOTS, prompts(0, SLOTS, size.prompt), 2).answers):
            raise SystemExit(f"{door.name} does not answer")


def _named(chosen: Choice) -> str:
    """An engine as LINNET_ENGINE names it."""
    return "wheel" if chosen.kind == "wheel" else chosen.engine


def model(name: str, size: Size) -> Path:
    OUT.mkdir(exist_ok=True)
    path = OUT / f"server-{name}.gguf"
    if not path.is_file():
        random_llama.make(path.with_suffix(".part"), size.shape, TEXTS).rename(path)
    return path


@contextmanager
def linnet(path: Path, engine: str) -> Iterator[tuple[Door, psutil.Process]]:
    """`linnet serve` as users start it."""
    with tempfile.TemporaryDirectory(prefix="linnet-bench-") as home:
        limits = {"LINNET_SLOTS": str(SLOTS), "LINNET_CONTEXT": str(CONTEXT), "LINNET_ENGINE": engine}
        environ = {**os.environ, "LINNET_HOME": home, "HF_HUB_OFFLINE": "1", **limits}
        command = [sys.executable, "-m", "linnet", "serve", "--port", "0", "--json", "--model", f"bench={path}"]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            try:
                port = json.loads(run.stdout.readline())["port"]
                yield Door("linnet", lambda: asyncio.open_connection("127.0.0.1", port)), psutil.Process(run.pid)
            finally:
                run.terminate()
                run.wait(60)


@contextmanager
def bare(path: Path, engine: str) -> Iterator[Door]:
    """The engine alone, as `linnet serve` loads it."""
    options = LoadOptions(context=CONTEXT, slots=SLOTS, engine=engine)
    loaded = LlamaEngine(plan_load(path, options, label="bench"))
    try:
        worker = loaded.keeper.worker()
        key = f"Authorization: Bearer {worker.key}\r\n"
        yield Door("bare engine", lambda: asyncio.open_unix_connection(str(worker.socket)), key)
    finally:
        loaded.close()


@contextmanager
def llama_server(path: Path, program: Path) -> Iterator[Door]:
    """The peer with its own defaults, and as many slots, tokens and threads."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "--model", str(path), "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
    command += ["--parallel", str(SLOTS), "--ctx-size", str(SLOTS * CONTEXT), "--threads", str(threads())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        door = Door("llama-server", lambda: asyncio.open_connection("127.0.0.1", port))
        try:
            end = time.monotonic() + 60
            while not _answers(door) and run.poll() is None and time.monotonic() < end:
                time.sleep(0.2)
            yield door
        finally:
            run.terminate()
            run.wait(60)


def _answers(door: Door) -> bool:
    try:
        return asyncio.run(ask(door, [1, 2], 1)).tokens == 1
    except (OSError, IndexError):
        return False


def medians(rates: dict[str, list[float]], ours: str) -> dict[str, Any]:
    """Medians, and ours over each of the others by round."""
    found: dict[str, Any] = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    for name, values in rates.items():
        if name != ours:
            ratios = [mine / theirs for mine, theirs in zip(rates[ours], values, strict=True)]
            found["ratio"] = round(statistics.median(ratios), 3)
    return found


def against(doors: list[Door], size: Size, clients: int, shared: int = 0) -> dict[str, Any]:
    """Tokens per second of each, turn about, on prompts that none has seen."""
    rates: dict[str, list[float]] = {door.name: [] for door in doors}
    for number in range(size.rounds):
        for door in doors if number % 2 else reversed(doors):
            given = prompts(1000 * clients + number, clients * size.each, size.prompt, shared)
            rates[door.name].append(load(door, clients, given, size.new).rate)
    return medians(rates, doors[0].name)


def first_tokens(doors: list[Door], size: Size) -> dict[str, float]:
    """The median time to the first token, in ms, of one client; and by how much ours is later."""
    waits: dict[str, list[float]] = {door.name: [] for door in doors}
    for number, prompt in enumerate(prompts(7, size.first_tokens, size.prompt)):
        for door in doors if number % 2 else reversed(doors):
            waits[door.name].append(1000 * asyncio.run(ask(door, [*prompt[:-1], number % 256], 2)).first_s)
    added = statistics.median(a - b for a, b in zip(*waits.values(), strict=True))
    return {name: round(statistics.median(values), 2) for name, values in waits.items()} | {"added": round(added, 2)}


def cpu_of(door: Door, process: psutil.Process, size: Size) -> float:
    """Milliseconds of a processor that the server itself takes for a token at 16 clients: what no noise changes."""
    before = process.cpu_times()
    found = load(door, SLOTS, prompts(5, SLOTS * size.each, size.prompt), size.new)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return round(1000 * spent / sum(one.tokens for one in found.answers), 3)


def against_engine(name: str, size: Size, _: Path | None) -> None:
    chosen, path = choose_engine(), model(name, size)
    with ExitStack() as stack:
        ours, process = stack.enter_context(linnet(path, _named(chosen)))
        doors = [ours, stack.enter_context(bare(path, chosen.engine))]
        warm_up(doors, size)
        found: dict[str, Any] = {f"clients_{count}": against(doors, size, count) for count in (1, 4, 16)}
        found["first_token_ms"] = first_tokens(doors, size)
        found["server_cpu_ms_a_token"] = cpu_of(doors[0], process, size)
    keep(f"server-engine-{name}", {"engine": chosen.why, **found})
    for count in (1, 4, 16):
        row = found[f"clients_{count}"]
        print(f"| {count} clients, tokens/s | {row['linnet']} | {row['bare engine']} | {row['ratio']}x | 0.97x |")
    print(f"| processor time of the server, a token | {found['server_cpu_ms_a_token']} ms | | | |")
    row = found["first_token_ms"]
    print(
        f"| first token, median | {row['linnet']} ms | {row['bare engine']} ms | {row['added']:+} ms | at most +3 ms |"
    )


def overload(name: str, size: Size, _: Path | None) -> None:
    chosen, path = choose_engine(), model(name, size)
    with linnet(path, _named(chosen)) as (door, process):
        warm_up([door], size)
        given = prompts(1, SLOTS * size.each * 2, size.prompt)
        peak = load(door, SLOTS, given, size.new)
        before = process.memory_info().rss
        most, found, begun = asyncio.run(_flood(door, 10 * SLOTS, size, process))
        after = load(door, SLOTS, given, size.new)
    whole = [one for one in found.answers if one.tokens]
    # While the queue is full: not while it fills, nor while the last ones leave the slots empty.
    full = [
        at for one in whole for at in one.pieces[: one.tokens] if begun + RAMP_S < at < begun + RAMP_S + size.overload_s
    ]
    goodput = len(full) / size.overload_s
    refused = [1000 * one.total_s for one in found.answers if one.status == 503]
    lost = sum(one.status == 200 and not one.tokens for one in found.answers)
    other = sum(one.status not in (200, 503) for one in found.answers)
    values = {
        "peak": round(peak.rate, 1),
        "goodput": round(goodput, 1),
        "ratio": round(goodput / peak.rate, 3),
        "afterwards": round(after.rate, 1),
        "answered": len(whole),
        "refused": len(refused),
        "accepted_and_lost": lost,
        "other": other,
        "refusal_ms_median": round(statistics.median(refused), 1) if refused else None,
        "refusal_ms_p99": round(float(np.percentile(refused, 99)), 1) if refused else None,
        "memory_mb": [round(before / 1e6), round(most / 1e6)],
    }
    keep(f"server-overload-{name}", {"engine": chosen.why, **values})
    print(f"| goodput at 10x, tokens/s | {values['goodput']} | {values['peak']} (peak) | {values['ratio']}x | 0.9x |")
    print(f"| refusal, median and p99 | {values['refusal_ms_median']}, {values['refusal_ms_p99']} ms | | | 50 ms |")
    print(f"| accepted requests lost | {lost} of {len(whole) + lost} | | | 0 |")
    print(f"| memory of the server | {values['memory_mb'][1]} MB | {values['memory_mb'][0]} MB (before) | | |")


async def _flood(door: Door, clients: int, size: Size, process: psutil.Process) -> tuple[int, Load, float]:
    """Clients that ask again at once when they were answered, and after what Retry-After says, or half a second less or
    more, when refused. Returns the most memory, the answers, and when it began."""
    found, most = Load(), 0
    started = time.perf_counter()

    async def client(number: int) -> None:
        chance = random.Random(number)
        await asyncio.sleep(chance.random())  # people do not come at the same moment
        for index in range(1_000_000):
            if time.perf_counter() - started > RAMP_S + size.overload_s:
                return
            (prompt,) = prompts(10_000 + 997 * number + index, 1, size.prompt)
            answer = await ask(door, prompt, size.new)
            found.answers.append(answer)
            if answer.status == 503:
                await asyncio.sleep(answer.retry_s - 0.5 + chance.random())

    waiting = [asyncio.ensure_future(client(number)) for number in range(clients)]
    while not all(one.done() for one in waiting):
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.2)
    await asyncio.gather(*waiting)
    found.seconds = time.perf_counter() - started
    return most, found, started


def peer(name: str, size: Size, program: Path | None) -> None:
    if program is None or not program.is_file():
        print("peer: left out, there is no DIR/bin/llama-server; say --peers DIR")
        return
    path = model(name, size)
    with linnet(path, str(program)) as (ours, _), llama_server(path, program) as theirs:
        warm_up([ours, theirs], size)
        found = against([ours, theirs], size, 16, size.shared)
    keep(f"server-peer-{name}", {"shared_tokens": size.shared, **found})
    row = f"{found['linnet']} | {found['llama-server']} (`llama-server`) | {found['ratio']}x | 1.0x"
    print(f"| 16 clients, {size.shared} tokens shared, tokens/s | {row} |")


PARTS = {"engine": against_engine, "overload": overload, "peer": peer}


def main() -> None:
    parser = argparse.ArgumentParser(description="The server's speed. See the head of the file.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a tiny model and few requests: to see that it runs")
    parser.add_argument(
        "--peers", type=Path, default=os.environ.get("LINNET_PEERS"), help="folder with bin/llama-server"
    )
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    program = Path(given.peers) / "bin" / "llama-server" if given.peers else None
    for part in given.parts or PARTS:
        PARTS[part]("quick" if given.quick else "small", QUICK if given.quick else FULL, program)


if __name__ == "__main__":
    main()
