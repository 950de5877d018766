"""The candidates of a task that writes text before anything runs: which there are, and which its limits rule out.

Forecasts only. What is ruled out could never meet a limit here; what is merely too much at the moment is left to the
guards of the stages. Trains, converts and asks nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from linnet.core import history
from linnet.core.errors import InputError, LinnetError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.history import machine_id
from linnet.core.records import Model
from linnet.core.settings import get_number
from linnet.core.store import Step, Store
from linnet.core.task import BudgetPart, Task
from linnet.engines.requests.asking import SLOTS, SPARE_TOKENS
from linnet.formats.resolve import resolve_model
from linnet.pipeline.text_data import read_split
from linnet.pipeline.tune import TuneOptions, prepare_tuning
from linnet.stages import rehearse
from linnet.stages.plan import PlanOptions, plan
from linnet.stages.tune import DecoderJob, decoder_inputs, need_bytes

PROMPTED = ("prompt", "few_shot")
BYTES_PER_TOKEN = 3.0
# How far a forecast must be beyond a limit before it counts: what is measured later may be that much better.
SURE = {"memory": 1.25, "speed": 2.0}
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Way:
    """One base, under the `name` that the task gives it, by one method: trained once, or only asked, and then there is
    no `job`. Forecasts are in seconds and bytes; `kinds` are the types that are left to try."""

    name: str
    base: Model
    method: str
    label: str = ""
    job: DecoderJob | None = None
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    kinds: tuple[str, ...] = ()

    def candidate(self, kind: str) -> str:
        """Of the candidate of this type."""
        return f"{self.label}-{kind}"


@dataclass(frozen=True, slots=True)
class Planned:
    """What is left to try, each way with the types that are left of it, and what was ruled out by which number."""

    ways: tuple[Way, ...]
    excluded: dict[str, str] = field(default_factory=dict)


def plan_candidates(store: Store, task: Task, prepared: Step, on_event: OnEvent = silent) -> Planned:
    """Every candidate less those that cannot meet `[budget]` or be trained on this machine.

    Raises what preparing a training raises, and InputError when none is left, with the number that excluded each.
    """
    left: list[Way] = []
    excluded: dict[str, str] = {}
    for way in _ways(store, task, prepared):
        kinds = (_own_kind(way.base),) if way.base.format == "gguf" else tuple(task.candidates.quantizations)
        whole = _beyond_machine(store, way) or too_long(way.seconds, task.budget)
        found = {kind: whole or _over(store, task, prepared, (way, kind), on_event) for kind in kinds}
        excluded |= {way.candidate(kind): why for kind, why in found.items() if why}
        if fitting := tuple(kind for kind, why in found.items() if not why):
            left.append(replace(way, kinds=fitting))
    for name, why in excluded.items():
        on_event(Event("note", "plan", f"{name} is left out: {why}"))
    if not left:
        told = "; ".join(f"{name}: {why}" for name, why in excluded.items())
        raise InputError(f"No candidate can fit. {told}.", "Relax [budget], or add smaller candidates.")
    return Planned(tuple(left), excluded)


def _ways(store: Store, task: Task, prepared: Step) -> list[Way]:
    made: dict[str, Way] = {}
    several = len(task.candidates.models) > 1
    for name in task.candidates.models:
        for method in task.candidates.methods:
            prompted = method in PROMPTED
            way = _asked(store, name, method) if prompted else training(store, task, name, method, prepared.folder)
            label = f"{way.base.name.replace(':', '-')}-{way.method}" if several else way.method
            made.setdefault(label, replace(way, label=label))  # "auto" may mean what another one says too
    return list(made.values())


def _asked(store: Store, name: str, method: str) -> Way:
    base = resolve_model(store, name)
    if base.kind == "encoder":
        raise InputError(f"{name} is an encoder: it gives no text.", "Name a decoder in [candidates] models.")
    return Way(name, base, method)


def training(store: Store, task: Task, name: str, method: str, folder: Path) -> Way:
    """A base by a method that trains, on the chats of a folder, with its forecast. The first one is kept."""
    options = TuneOptions(
        method="" if method == "auto" else method, format="messages", seed=task.data.seed,
        validation=str(folder / "validation.jsonl"),
    )  # fmt: skip
    base, job = prepare_tuning(name, folder / "train.jsonl", options, store=store)
    inputs = decoder_inputs(base, job)[1]

    def work(_: Path) -> dict[str, Any]:
        wanted = rehearse.Rehearsal(job.data, job.recipe, inputs, need_bytes(base, job.recipe))
        found = rehearse.forecast_of(base, wanted)
        memory = found.memory_bytes * history.bias(store, rehearse.FORECAST[rehearse.MEMORY])
        seconds = rehearse.likely_seconds(store, found)
        return {"seconds": seconds, "memory_bytes": int(memory), "disk_bytes": found.disk_bytes}

    told = store.step("plan", {"training": inputs, "machine": machine_id()}, work, label=f"{method} on {name}").result
    return Way(name, base, job.recipe.method, job=job, **told)


def _own_kind(base: Model) -> str:
    """The type of a GGUF, which is asked as it is."""
    return str(base.report.get("quantisation_name") or "GGUF").split()[0]


def _beyond_machine(store: Store, way: Way) -> str:
    """What this machine can never do, whatever else runs on it."""
    memory, disk = psutil.virtual_memory().total, psutil.disk_usage(str(store.root)).total
    if way.memory_bytes > memory:
        need = way.memory_bytes / GIB
        return f"its training is forecast to need {need:.1f} GiB of memory, and this machine has {memory / GIB:.1f} GiB"
    if way.disk_bytes > disk:
        need = way.disk_bytes / GIB
        return f"its training is forecast to need {need:.1f} GiB on a disk of {disk / GIB:.1f} GiB"
    return ""


def too_long(seconds: float, budget: BudgetPart) -> str:
    """What a training that is forecast to take so long has against it, or ""."""
    minutes = seconds / 60
    if budget.train_minutes is None or minutes <= budget.train_minutes:
        return ""
    return f"its training is forecast to take {minutes:.1f} minutes; {budget.train_minutes:g} are allowed"


def _over(store: Store, task: Task, prepared: Step, one: tuple[Way, str], on_event: OnEvent) -> str:
    """What is forecast beyond a limit of `[budget]`; "" where nothing is, nothing is limited or nothing is known."""
    budget = task.budget
    if all(limit is None for limit in (budget.size, budget.memory, budget.latency_p95_ms, budget.tokens_per_second)):
        return ""
    try:
        return over_forecast(forecast(store, prepared, one), budget)
    except LinnetError as error:
        on_event(Event("warning", "plan", f"{one[0].candidate(one[1])}: no forecast: {error.message}"[:300]))
        return ""


def forecast(store: Store, prepared: Step, one: tuple[Way, str]) -> dict[str, float]:
    """What a candidate will cost here: `size_bytes` of its weights, `memory_bytes`, `latency_ms_p95` of one answer and
    `tokens_per_second` of one at a time, its prompt included. Kept; a training changes none of it.

    Raises what planning a load raises.
    """
    way, kind = one
    questions = [*read_split(prepared, "validation"), *read_split(prepared, "test")]
    prompts = [_bytes(turn.content for turn in one.turns) for one in questions]
    answers = sorted(_bytes(one.references[:1]) for one in questions)
    longest = max(prompts) + answers[-1] + SPARE_TOKENS
    context = min(longest, way.base.max_tokens or longest, int(get_number("LINNET_CONTEXT")))
    inputs = {
        "base": {name: entry.sha256 for name, entry in way.base.files.items()} or [way.base.path],
        "kind": kind,
        "context": context,
        "machine": machine_id(),
    }

    def work(_: Any) -> dict[str, Any]:
        told = PlanOptions(context=context, parallel=SLOTS, kind="" if way.base.format == "gguf" else kind)
        found = plan(store, way.name, "run", told)
        return {
            "size_bytes": found.parts["weights"], "memory_bytes": found.memory_bytes,
            "prefill": found.prefill, "decode": found.decode,
        }  # fmt: skip

    found = store.step("plan", inputs, work, label=way.candidate(kind)).result
    tokens = answers[math.ceil(0.95 * len(answers)) - 1] / BYTES_PER_TOKEN
    seconds = sum(prompts) / len(prompts) / BYTES_PER_TOKEN / found["prefill"] + tokens / found["decode"]
    return {
        "size_bytes": found["size_bytes"],
        "memory_bytes": found["memory_bytes"],
        "latency_ms_p95": 1000 * seconds,
        "tokens_per_second": tokens / seconds,
    }


def _bytes(texts: Any) -> int:
    return sum(len(text.encode()) for text in texts)


def over_forecast(found: dict[str, float], budget: BudgetPart) -> str:
    """The forecast that is surely beyond its limit, in words; or "". Weights are exact, the rest has to be far off."""
    size, memory = found["size_bytes"], found["memory_bytes"]
    wait, speed = found["latency_ms_p95"], found["tokens_per_second"]
    if budget.size is not None and size > budget.size:
        return f"its weights take {size / 1e6:.1f} MB; the size limit is {budget.size / 1e6:.1f} MB"
    if budget.memory is not None and memory > SURE["memory"] * budget.memory:
        return f"it is forecast to take {memory / 1e6:.0f} MB of memory; the limit is {budget.memory / 1e6:.0f} MB"
    if budget.latency_p95_ms is not None and wait > SURE["speed"] * budget.latency_p95_ms:
        return f"it is forecast to answer in {wait:.0f} ms (p95); the limit is {budget.latency_p95_ms:g} ms"
    if budget.tokens_per_second is not None and SURE["speed"] * speed < budget.tokens_per_second:
        asked = budget.tokens_per_second
        return f"it is forecast to write {speed:.1f} tokens per second; {asked:g} are asked for"
    return ""
