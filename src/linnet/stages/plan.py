"""Plan: memory, disk, time and speed of a model on this machine, before anything is loaded, trained or written.

Decides nothing for the other stages. The formulas are those that guard them: engines.load_plan, training.forecast,
engines.quantize_cost; the speeds are measured once and kept; what earlier runs took corrects both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from linnet.core import history, settings
from linnet.core.errors import InputError, ResourceMissing
from linnet.core.records import Model, Record
from linnet.core.store import Store
from linnet.formats.resolve import resolve_model

if TYPE_CHECKING:
    from linnet.engines.llama.load_plan import LoadOptions, LoadPlan
    from linnet.engines.planning.machine_speed import MachineSpeed
    from linnet.engines.planning.speed_plan import Speed
    from linnet.engines.requests.generation import Generation

Purpose = Literal["run", "serve", "tune", "quantize"]
PURPOSES = ("run", "serve", "tune", "quantize")
MIB, GIB = 1 << 20, 1 << 30
UNBOUNDED = 1 << 62
DEFAULT_TYPE = "Q8_0"
ENOUGH = 16  # tokens that tell a speed
ROWS, ROW_TOKENS = 1000, 256  # of a training, where nobody says
# Kinds of core.history. The last two are those that a rehearsal keeps (stages.rehearse).
RUN = ("run-memory", "run-prefill", "run-decode")
QUANTIZE = ("quantize-memory", "quantize-seconds")
TUNE = ("forecast-tune-memory", "forecast-tune-seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What is known of the use. 0 and "" leave it open.

    `kind`: the type to plan with, where the model has another. `parallel`: requests at once. `rows` and `row_tokens`:
    of a training. `draft`: a smaller model that guesses. `again`: measure this machine anew.
    """

    context: int = 0
    parallel: int = 0
    kind: str = ""
    cache_type: str = "f16"
    draft: str = ""
    gpu_layers: int = 0
    method: str = ""
    quantization: str = ""
    rows: int = ROWS
    row_tokens: int = ROW_TOKENS
    again: bool = False


class Planned(Record):
    """What it will take. Rates are tokens per second, 0 where they do not apply or were not measured.

    `parts` add up to the memory. `device_bytes` is what lies on a GPU, not in `memory_bytes`. `prefill` and `decode`
    are of one request alone, `together` of all that run at once. `instead` says what would fit. `past_errors`: the
    median relative error of earlier predictions on this machine, None where nothing was compared yet.
    """

    model: str
    purpose: Purpose
    memory_bytes: int
    memory_free_bytes: int
    device_bytes: int = 0
    disk_bytes: int = 0
    disk_free_bytes: int
    seconds: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    together: float = 0.0
    parts: dict[str, int]
    fits: bool
    instead: str = ""
    reasons: tuple[str, ...]
    past_errors: dict[str, float | None]


def plan(store: Store, model: str, purpose: Purpose, options: PlanOptions = PlanOptions()) -> Planned:
    """Predict. Measures this machine first where that was not done yet (some seconds, kept in the store).

    Raises what resolving the name raises, InputError for a use that the model does not have, EngineError for a model
    that cannot be converted.
    """
    if purpose not in PURPOSES:
        raise InputError(f"{purpose!r} is no use.", f"Known: {', '.join(PURPOSES)}.")
    found = resolve_model(store, model)
    if found.kind == "encoder":
        raise InputError(f"{model} is an encoder; plans are of models that write text.", "See: linnet doctor")
    if purpose == "tune":
        return _tune(store, found, options)
    if purpose == "quantize":
        return _quantize(store, found, options)
    return _run(store, found, purpose, options)


def remember(store: Store, load: LoadPlan, answer: Generation, memory_bytes: int) -> None:
    """Keep what a load and one answer took beside what is predicted of them, for later plans.

    Nothing where this machine was not measured, or the answer is too short to tell. Raises StoreBusy.
    """
    from linnet.engines.llama.load_plan import read_shape
    from linnet.engines.planning.machine_speed import kept_speed
    from linnet.engines.planning.speed_plan import predict_speed

    machine, timings = kept_speed(store), answer.timings
    if machine is None or load.options.gpu_layers or load.options.speculation:
        return
    speed = predict_speed(read_shape(load.path), load, machine, max(1, answer.prompt_tokens))
    options = load.options
    key = f"{load.label} {options.context} {options.slots} {options.cache_type} {options.batch}"
    if memory_bytes > 0:
        history.append(store, RUN[0], key, load.total_bytes, memory_bytes)
    fresh = answer.prompt_tokens - answer.cached_tokens
    if fresh >= ENOUGH and timings.prompt_ms > 0:
        history.append(store, RUN[1], key, speed.prefill, 1000 * fresh / timings.prompt_ms)
    if answer.completion_tokens >= ENOUGH and timings.decode_ms > 0:
        history.append(store, RUN[2], key, speed.decode, 1000 * answer.completion_tokens / timings.decode_ms)


def _run(store: Store, model: Model, purpose: Purpose, options: PlanOptions) -> Planned:
    from linnet.engines.llama.load_plan import LoadOptions, read_shape
    from linnet.engines.planning.speed_plan import predict_speed

    machine = _machine(store, options)
    slots = options.parallel or (1 if purpose == "run" else 0)
    draft = Path(resolve_model(store, options.draft).path) if options.draft else None
    wanted = LoadOptions(
        context=options.context, slots=slots, cache_type=options.cache_type, gpu_layers=options.gpu_layers,
        speculation="draft" if draft else "", draft_model=draft,
    )  # fmt: skip
    with _as_gguf(model, options.kind) as (path, note):
        load, instead = _load(path, wanted, model.name)
        shape = read_shape(path)
    speed = _corrected(store, predict_speed(shape, load, machine))
    device, need = load.device_bytes, load.host_bytes
    count = load.options.slots
    reasons = [
        *note,
        *load.reasons,
        *_speed_reasons(machine, speed, count),
        *_device_reasons(options.gpu_layers, device),
    ]
    if load.growth_bytes:
        reasons.append(f"up to {load.growth_bytes / MIB:.0f} MiB more while it serves: saved prompts")
    on_device = options.gpu_layers > shape.layers
    return Planned(
        model=model.name,
        purpose=purpose,
        memory_bytes=need,
        memory_free_bytes=_free(),
        device_bytes=device,
        disk_bytes=0,
        disk_free_bytes=_disk(store),
        prefill=0 if on_device else speed.prefill,
        decode=0 if on_device else speed.decode,
        together=0 if on_device else _together(speed, count),
        parts=_parts(load, device),
        fits=need <= _free(),
        instead=instead,
        reasons=tuple(reasons),
        past_errors={kind: history.errors(store, kind) for kind in RUN},
    )


def _load(path: Path, options: LoadOptions, label: str) -> tuple[LoadPlan, str]:
    """The plan of a load, and what would fit instead where it does not."""
    from linnet.engines.llama.load_plan import plan_load

    try:
        return plan_load(path, options, label=label), ""
    except ResourceMissing as error:
        return plan_load(path, options, label=label, free_bytes=UNBOUNDED), error.hint


def _corrected(store: Store, speed: Speed) -> Speed:
    """The speeds times what they were off by here. Memory is not corrected: the same number guards the load."""
    prefill, decode = (history.bias(store, kind) for kind in RUN[1:])
    return speed.model_copy(update={"prefill": speed.prefill * prefill, "decode": speed.decode * decode})


def _together(speed: Speed, slots: int) -> float:
    """Answers side by side share the reading of the weights, until arithmetic bounds them as it does a prompt."""
    return slots / max(1 / speed.decode, slots / speed.prefill)


def _parts(load: LoadPlan, device: int) -> dict[str, int]:
    parts = {"weights": load.weights_bytes, "cache": load.cache_bytes, "scratch": load.compute_bytes}
    whole = max(1, sum(parts.values()))
    kept = {name: size - size * device // whole for name, size in parts.items()}
    return {**kept, "engine": load.total_bytes - device - sum(kept.values())}


@contextmanager
def _as_gguf(model: Model, kind: str) -> Iterator[tuple[Path, list[str]]]:
    """The GGUF to plan with: the model's own, or one that is as long as it would be and holds nothing but its head."""
    from linnet.engines.conversion.conversion_proof import prove_load
    from linnet.engines.quantization.gguf_quantize import Recipe, gguf_source
    from linnet.engines.quantization.gguf_quantize import plan as types_of
    from linnet.engines.quantization.mixtures import parse
    from linnet.engines.quantization.quantize_file import Wish, from_folder

    path = Path(model.path)
    if model.format == "gguf" and not kind:
        yield path, []
        return
    mixture = parse(kind or DEFAULT_TYPE)
    with tempfile.TemporaryDirectory(prefix="linnet-plan-") as scratch:
        target = Path(scratch) / "planned.gguf"
        if model.format == "gguf":
            with gguf_source(path) as opened:
                prove_load(types_of(opened, Recipe(mixture, requantize=True)), target)
        else:
            from_folder(path, None, Wish(mixture), Path(scratch))
        why = "as asked" if kind else f"{model.name} is a folder, which the engine reads as GGUF"
        yield target, [f"type {mixture}: {why}; convert it first with: linnet convert"]


def _machine(store: Store, options: PlanOptions) -> MachineSpeed:
    from linnet.engines.planning.machine_speed import machine_speed

    return machine_speed(store, again=options.again)


def _speed_reasons(machine: MachineSpeed, speed: Speed, slots: int) -> list[str]:
    read = ", ".join(f"{kind} {rate / 1e9:.1f}" for kind, rate in machine.decode_bytes.items())
    how = f"measured {machine.created[:10]}, {machine.threads} threads"
    found = [f"speed: this machine reads weights at (GB/s) {read}; {how}"]
    if machine.was_disturbed:
        found.append("speed: other programs ran while it was measured; measure again with --again on a quiet machine")
    if speed.unmeasured:
        found.append(f"speed: {', '.join(speed.unmeasured)} not measured, taken from a like type")
    if slots > 1:
        found.append(f"speed: {slots} requests share the reading of the weights")
    return found


def _device_reasons(gpu_layers: int, device: int) -> list[str]:
    from linnet.engines.planning.hardware import gpu_memory

    if not gpu_layers:
        return []
    memory = gpu_memory()
    if not memory:
        return ["gpu: none found; the engine keeps every layer in memory"]
    have = ", ".join(f"{one.name} {one.free_bytes / GIB:.1f} GiB free" for one in memory)
    short = device > max(one.free_bytes for one in memory)
    return [f"gpu: {have}; " + ("too little: fewer layers" if short else "enough"), "gpu: its speed is not measured"]


def _tune(store: Store, model: Model, options: PlanOptions) -> Planned:
    from linnet.training import forecast
    from linnet.training.tune_plan import Chosen, plan_recipe

    if model.format != "safetensors":
        raise InputError(f"{model.name} is {model.format}; a decoder is tuned from a safetensors folder.")
    machine, shape = _machine(store, options), forecast.shape_of(model.report)
    chosen = Chosen(method=options.method, quantization=options.quantization, max_tokens=options.context)
    recipe, lines = plan_recipe(chosen, options.rows, shape.parameters, model.max_tokens)
    longest = min(recipe.max_tokens, 2 * options.row_tokens)
    held = min(200, options.rows // 10)
    work = forecast.Work((options.rows - held) * options.row_tokens, held * options.row_tokens, longest)
    memory, taken = (history.bias(store, kind) for kind in TUNE)
    need = int(memory * forecast.memory_bytes(shape, recipe, longest))
    speed = max(machine.matrix_flops.values())
    seconds = taken * forecast.seconds(shape, recipe, work, speed)
    stored = sum(entry.size_bytes for name, entry in model.files.items() if name.endswith(".safetensors"))
    reasons = [f"{options.rows:,} rows of {options.row_tokens} tokens, the longest {longest}: --rows and --row-tokens"]
    reasons += [*lines, f"time: {speed / 1e9:.0f} billion operations a second in large products, measured"]
    reasons += _corrections(memory, taken) + _gpu_instead()
    instead = forecast.what_fits(shape, recipe, longest, _free(), memory) if need > _free() else []
    rest = need - min(need, forecast.RUNTIME_BYTES)
    return Planned(
        model=model.name,
        purpose="tune",
        memory_bytes=need,
        memory_free_bytes=_free(),
        disk_bytes=forecast.disk_bytes(shape.parameters, recipe, stored),
        disk_free_bytes=_disk(store),
        seconds=seconds,
        parts={"libraries": need - rest, "weights and training": rest},
        fits=need <= _free() and forecast.disk_bytes(shape.parameters, recipe, stored) <= _disk(store),
        instead=_offer(instead),
        reasons=tuple(reasons),
        past_errors={kind: history.errors(store, kind) for kind in TUNE},
    )


def _gpu_instead() -> list[str]:
    from linnet.engines.planning.hardware import gpu_memory

    found = [one.name for one in gpu_memory() if not one.unified]
    return [f"gpu: {found[0]} would train it, if torch sees it; these numbers are the processor's"] if found else []


def _corrections(memory: float, taken: float) -> list[str]:
    named = (("memory", memory), ("time", taken))
    return [f"{name} times {value:.2f}: what earlier runs took here" for name, value in named if value != 1]


def _offer(flags: Sequence[str]) -> str:
    return f"What would fit: {'; '.join(flags)}." if flags else ""


def _quantize(store: Store, model: Model, options: PlanOptions) -> Planned:
    from linnet.engines.llama.load_plan import read_shape
    from linnet.engines.quantization import quantize_cost

    machine, threads = _machine(store, options), settings.threads()
    folder = model.format != "gguf"
    with _as_gguf(model, options.kind or "Q4_K_M") as (path, note):
        shape, size = read_shape(path), path.stat().st_size
    source = Path(model.path).stat().st_size if not folder else sum(
        entry.size_bytes for name, entry in model.files.items() if name.endswith(".safetensors")
    )  # fmt: skip
    memory, taken = (history.bias(store, kind) for kind in QUANTIZE)
    need = int(memory * quantize_cost.memory_bytes(source, shape, folder=folder))
    prefill = min(machine.prefill_weights.values())
    seconds = taken * quantize_cost.seconds(shape.weights, source, threads, prefill=prefill, folder=folder)
    kernels = ", ".join(
        f"{kind} {quantize_cost.kernel_speed(kind) / 1e6:.0f}" for kind in shape.weights if kind != "F32"
    )
    reasons = [one.partition(";")[0] for one in note]
    reasons += [f"time: million weights a second and thread: {kernels}; measured now, {threads} threads"]
    reasons.append("memory: the comparison with the source, before the file gets its name")
    reasons += _corrections(memory, taken)
    return Planned(
        model=model.name,
        purpose="quantize",
        memory_bytes=need,
        memory_free_bytes=_free(),
        disk_bytes=size,
        disk_free_bytes=_disk(store),
        seconds=seconds,
        parts={"source": min(need, source), "result and libraries": need - min(need, source)},
        fits=need <= _free() and 1.05 * size <= _disk(store),
        instead="",
        reasons=tuple(reasons),
        past_errors={kind: history.errors(store, kind) for kind in QUANTIZE},
    )


def _free() -> int:
    from linnet.engines.llama.load_plan import usable_bytes

    return usable_bytes()


def _disk(store: Store) -> int:
    return int(psutil.disk_usage(str(store.root)).free)
