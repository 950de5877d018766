"""Predicted against really taken: `python -m benchmarks.plan [--quick]`. Prints rows for docs/benchmarks.md.

What `linnet plan` says beside what a load, a quantisation and a training take, over shapes, types and contexts. Models
have random weights and are made once in $LINNET_BENCH (default .bench). The machine is measured first, as a plan does
it; nothing is corrected by history. Peaks are the kernel's count of the process that does the work. A bar is held by
the median of the errors: memory 10 %, speed and time 20 %. Run it on a machine that does nothing else; --quick has one
small shape.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import random_llama
from benchmarks.processes import measured
from benchmarks.random_llama import Shape
from linnet.core.store import Store
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import MIB, LoadOptions, plan_load, read_shape
from linnet.engines.native.choice import choose_engine
from linnet.engines.planning.machine_speed import MachineSpeed, machine_speed
from linnet.engines.planning.speed_plan import predict_speed
from linnet.engines.quantization import quantize_cost
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation
from linnet.training import forecast
from linnet.training.recipe import Recipe

OUT = Path(os.environ.get("LINNET_BENCH", ".bench"))
TEXTS = ["a model of random weights says nothing that was worth training a tokenizer on"]
# layers, width, heads, heads of the cache, feed-forward, vocabulary, context
SHAPES = {
    "0.03B": Shape(8, 384, 6, 6, 1024, 32_000, 4096),
    "0.1B": Shape(12, 768, 12, 12, 2048, 32_000, 4096),
    "0.5B": Shape(24, 1024, 16, 8, 4096, 64_000, 4096),
    "1B": Shape(22, 2048, 32, 4, 5632, 32_000, 4096),
}
TYPES, CONTEXTS = ("F16", "Q8_0", "Q4_K_M"), (512, 4096)
TUNED = (("0.03B", "full"), ("0.1B", "lora"), ("0.5B", "lora"))
QUICK = ("0.03B",)
BARS = {"memory": 0.10, "speed": 0.20}
SOURCE_ROWS = 48
QUANTIZE = (
    "import sys; from pathlib import Path; from linnet.core.store import Store; "
    "from linnet.stages.convert import Options, convert; "
    "convert(Store(Path(sys.argv[1])), sys.argv[2], sys.argv[3], Options(out=sys.argv[4]))"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction and its truth. `kind` says which bar holds."""

    what: str
    model: str
    kind: str
    predicted: float
    actual: float
    unit: str

    @property
    def error(self) -> float:
        return abs(self.predicted - self.actual) / self.actual

    def line(self) -> str:
        sign = "+" if self.predicted >= self.actual else "-"
        numbers = f"{self.predicted:,.4g} | {self.actual:,.4g} {self.unit} | {sign}{self.error:.0%}"
        return f"| {self.what} | {self.model} | {numbers} |"


def source(name: str) -> Path:
    path = OUT / f"plan-{name}-F16.gguf"
    if not path.is_file():
        random_llama.make(path.with_suffix(".part"), SHAPES[name], TEXTS, "F16").rename(path)
    return path


def quantized(name: str, kind: str, machine: MachineSpeed) -> Iterator[Row]:
    """The model in another type, and what a plan of that says beside what it took."""
    before, after = source(name), OUT / f"plan-{name}-{kind}.gguf"
    after.unlink(missing_ok=True)
    home, started = OUT / "plan-store", before.stat().st_size
    shutil.rmtree(home, ignore_errors=True)
    taken = measured([sys.executable, "-c", QUANTIZE, str(home), str(before), kind, str(after)])
    shape = read_shape(after)
    memory = quantize_cost.memory_bytes(started, shape, folder=False)
    prefill = min(machine.prefill_weights.values())
    time = quantize_cost.seconds(shape.weights, started, machine.threads, prefill=prefill, folder=False)
    yield Row(f"quantize to {kind}: peak", name, "memory", memory / MIB, taken.peak_bytes / MIB, "MiB")
    yield Row(f"quantize to {kind}: time", name, "speed", time, taken.seconds, "s")


def ran(name: str, kind: str, context: int, machine: MachineSpeed) -> Iterator[Row]:
    """A load, one prompt of a quarter of the context and an answer."""
    path = OUT / f"plan-{name}-{kind}.gguf"
    options = LoadOptions(context=context, slots=1, engine=choose_engine().engine)
    plan, prompt, new = plan_load(path, options), context // 4, 32
    speed = predict_speed(read_shape(path), plan, machine, prompt)
    engine, read, written = LlamaEngine(plan), [], []
    try:
        for number in range(4):
            ids = tuple(int(one) for one in np.random.default_rng(number).integers(1, 256, prompt))
            *_, answer = engine.generate(GenerateRequest(token_ids=ids, sampling=GREEDY, max_tokens=new))
            assert isinstance(answer, Generation)
            first = answer.timings.first_token_ms or answer.timings.total_ms
            read.append(1000 * prompt / first)
            written.append(1000 * (answer.completion_tokens - 1) / max(1e-3, answer.timings.total_ms - first))
        worker = engine.keeper.running
        assert worker is not None
        status = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    finally:
        engine.close()
    label = f"{name} {kind}, context {context}"
    yield Row("run: peak memory", label, "memory", plan.total_bytes / MIB, peak / MIB, "MiB")
    yield Row("run: prompt", label, "speed", speed.prefill, statistics.median(read[1:]), "tokens/s")
    yield Row("run: answer", label, "speed", speed.decode, statistics.median(written[1:]), "tokens/s")


def tuned(name: str, method: str, machine: MachineSpeed) -> Iterator[Row]:
    """One epoch on SOURCE_ROWS rows, beside the forecast that plans and rehearsals use."""
    base, home = random_llama.folder(OUT / f"plan-{name}-hf", SHAPES[name], TEXTS), OUT / "plan-store"
    shutil.rmtree(home, ignore_errors=True)
    rows = OUT / "plan-rows.jsonl"
    said = [{"prompt": f"{number} {TEXTS[0]}", "completion": TEXTS[0] * 2} for number in range(SOURCE_ROWS)]
    rows.write_text("".join(json.dumps(one) + "\n" for one in said))
    command = [sys.executable, "-m", "linnet", "tune", "--model", str(base), "--data", str(rows), "--epochs", "1"]
    command += ["--method", method, "--no-rehearse", "--json", "--quiet"]
    environment = {**os.environ, "LINNET_HOME": str(home.absolute())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"linnet tune failed: {done.stderr[-800:]}")
    record = next(path for path in (home / "runs").glob("tune-*/record.json"))
    found: dict[str, Any] = json.loads(record.read_text())["result"]
    from linnet.formats.model_check import check_model

    shape = forecast.shape_of(check_model(base).to_json())
    recipe = Recipe.model_validate(found["recipe"])
    work = forecast.Work(found["train"]["tokens"], found["validation"]["tokens"], found["train"]["longest"])
    memory = forecast.memory_bytes(shape, recipe, work.longest)
    seconds = forecast.seconds(shape, recipe, work, max(machine.matrix_flops.values()))
    yield Row(f"tune {method}: peak memory", name, "memory", memory / MIB, found["peak_memory_bytes"] / MIB, "MiB")
    yield Row(f"tune {method}: time", name, "speed", seconds, found["seconds"], "s")


def rows(names: tuple[str, ...], machine: MachineSpeed) -> Iterator[Row]:
    for name in names:
        source(name)
        for kind in TYPES:
            if kind != "F16":
                yield from quantized(name, kind, machine)
            for context in CONTEXTS:
                yield from ran(name, kind, context, machine)
    for name, method in TUNED:
        if name in names:
            yield from tuned(name, method, machine)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    quick = "--quick" in sys.argv
    machine = machine_speed(Store((OUT / "plan-speed").absolute()), again=True)
    print(f"this machine was measured in {machine.seconds:.1f} s, {machine.load:.1f} processes waiting for a core")
    print("\n| what | model | predicted | taken | error |\n|---|---|---|---|---|")
    found = []
    for row in rows(QUICK if quick else tuple(SHAPES), machine):
        print(row.line(), flush=True)
        found.append(row)
    for kind, bar in BARS.items():
        errors = [row.error for row in found if row.kind == kind]
        middle = statistics.median(errors)
        met = "met" if middle <= bar else "missed"
        print(f"| median error of {kind} | {len(errors)} rows | | {middle:.1%} | bar {bar:.0%}: {met} |")


if __name__ == "__main__":
    main()
