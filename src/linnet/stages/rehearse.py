"""Rehearse: a training walked through on a few rows, so that nothing fails after hours; and what it will take."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.core import history
from linnet.core.errors import DiskFull, GuardStopped, require
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, check_space, make_folder, sha256_bytes
from linnet.core.records import Model
from linnet.core.store import Step, Store
from linnet.training import forecast
from linnet.training.align_plan import AlignRecipe
from linnet.training.recipe import Recipe

if TYPE_CHECKING:
    from linnet.training.decoder_data import DecoderData

ROOM = ".room"
# Kinds of core.history: what the formulas said, and what a rehearsal said, beside what the run took.
MEMORY, SECONDS, DISK = "tune-memory", "tune-seconds", "tune-disk"
FORECAST = {MEMORY: "forecast-tune-memory", SECONDS: "forecast-tune-seconds"}
KEYS = {MEMORY: "memory_bytes", SECONDS: "seconds", DISK: "disk_bytes"}
LEAST_S = 20  # what a shorter run takes says more of starting than of training
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What is rehearsed: the rows and recipe of a run, everything that decides it (`inputs`), and its room on disk."""

    data: DecoderData
    recipe: Recipe
    inputs: dict[str, Any]
    disk_bytes: int
    gguf: bool = True


def rehearse(store: Store, base: Model, wanted: Rehearsal, on_event: OnEvent = silent) -> Step:
    """Walk through a training, unless the same one was rehearsed before. The result holds `steps` and `predicted`.

    Raises GuardStopped with the name of what would fail: memory, disk, rate, a step, a merge, a conversion or the
    engine; ResourceMissing without the libraries.
    """
    require("torch", "train")
    check_memory(store, base, wanted)
    _check_disk(store, base, wanted)
    inputs = {"rehearsed": wanted.inputs, "gguf": wanted.gguf}

    def work(folder: Path) -> dict[str, Any]:
        from linnet.training import rehearsal

        room = folder / ROOM
        shutil.rmtree(room, ignore_errors=True)
        make_folder(room)
        given = rehearsal.Given(
            Path(base.path), sha256_bytes(canonical(inputs)), base.name, wanted.data, wanted.recipe, wanted.gguf
        )
        try:
            found = rehearsal.rehearse(given, room, on_event)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # there is nothing to go on with
            raise
        shutil.rmtree(room, ignore_errors=True)
        rows = sum(len(example.ids) for side in wanted.data.targets for example in side.examples)
        disk = found.predicted["artefact_bytes"] + 12 * rows  # texts, report and curve are small beside it
        predicted = {**found.predicted, "disk_bytes": disk}
        return {"base": base.name, "method": wanted.recipe.method, "steps": found.steps, "predicted": predicted}

    return store.step("rehearse", inputs, work, on_event, label=f"{wanted.recipe.method} on {base.name}")


def forecast_of(base: Model, wanted: Rehearsal) -> forecast.Forecast:
    """What the formulas say of a run."""
    from linnet.training import devices

    work = _work(wanted)
    shape = forecast.shape_of(base.report, on_gpu=devices.on_gpu())
    return forecast.Forecast(
        memory_bytes=forecast.memory_bytes(shape, wanted.recipe, work.longest),
        disk_bytes=wanted.disk_bytes,
        seconds=forecast.seconds(
            shape, wanted.recipe, work, forecast.matrix_speed(devices.chosen(), wanted.recipe.products)
        ),
    )


def likely_seconds(store: Store, found: forecast.Forecast, objective: str = "") -> float:
    """The forecast times what it was off by on this machine; `objective` is that of a preference method."""
    from linnet.training import devices

    return found.seconds * history.bias(store, _kind(FORECAST[SECONDS], objective, devices.chosen().type))


def objective_of(recipe: Recipe) -> str:
    """dpo, kto, orpo or grpo; "" for a recipe of imitation."""
    return recipe.objective if isinstance(recipe, AlignRecipe) else ""


def _kind(name: str, objective: str, device: str) -> str:
    """Under what a forecast is kept: what the formulas are off by differs with the method, and on a GPU."""
    return "-".join([name, *filter(None, [objective, device if device != "cpu" else ""])])


def check_memory(store: Store, base: Model, wanted: Rehearsal) -> None:
    """Raise GuardStopped when the run, or its merge, needs more memory than is free; with the settings that fit.

    The run's memory is the GPU's where one trains. The merge is the processor's.
    """
    from linnet.engines.llama.load_plan import usable_bytes
    from linnet.training import devices

    device, longest, usable = devices.chosen(), _work(wanted).longest, usable_bytes()
    shape = forecast.shape_of(base.report, on_gpu=devices.on_gpu())
    whose, free = ("The GPU's memory", devices.free_bytes(device)) if shape.on_gpu else ("The memory", usable)
    factor = history.bias(store, _kind(FORECAST[MEMORY], objective_of(wanted.recipe), device.type))
    need = factor * forecast.memory_bytes(shape, wanted.recipe, longest)
    if need > free:
        fitting = forecast.what_fits(shape, wanted.recipe, longest, free, factor)
        hint = f"These fit: {'; '.join(fitting)}." if fitting else "No setting fits: take a smaller base or a larger "
        raise GuardStopped(
            f"{whose} is too small: training {base.name} is predicted to need {need / GIB:.1f} GiB, and "
            f"{free / GIB:.1f} GiB are free.",
            hint if fitting else hint + "machine.",
        )
    if wanted.recipe.method == "lora" and (merge := forecast.merge_bytes(shape)) > usable:
        raise GuardStopped(
            f"The memory is too small for the merge: it needs {merge / GIB:.1f} GiB for the base in fp32, and "
            f"{usable / GIB:.1f} GiB are free.",
            "Take a smaller base; or train with --no-rehearse and merge on a larger machine.",
        )


def record_truth(store: Store, rehearsed: dict[str, Any], run: Step) -> None:
    """Keep what was predicted of a run beside what it took, unless it was gone on with or taken from before.

    `rehearsed` is what the run's request says of its rehearsal. Less epochs than planned take less time.
    """
    result = run.result
    if run.reused or result.get("resumed_step") or "forecast" not in rehearsed:
        return
    share = len(result["epochs"]) / result["recipe"]["epochs"]
    seconds = float(result.get("wall_seconds") or 0)
    taken = {
        MEMORY: float(result.get("device_memory_bytes") or result.get("peak_memory_bytes") or 0),
        SECONDS: seconds / share if seconds >= LEAST_S else 0.0,
        DISK: float(sum(entry.size_bytes for entry in run.run.files.values())),
    }
    told = [(kind, kind, "predicted") for kind in KEYS]
    objective, device = result["recipe"].get("objective", ""), str(result.get("device", "cpu")).partition(":")[0]
    told += [(kind, _kind(name, objective, device), "forecast") for kind, name in FORECAST.items()]
    for kind, name, source in told:
        predicted = float((rehearsed.get(source) or {}).get(KEYS[kind]) or 0)
        if predicted > 0 and taken[kind] > 0:
            history.append(store, name, run.run.id, predicted, taken[kind])


def known_errors(store: Store) -> dict[str, float | None]:
    """The median relative error of earlier predictions on this machine, by what was predicted."""
    return {key: history.errors(store, kind) for kind, key in KEYS.items()}


def _check_disk(store: Store, base: Model, wanted: Rehearsal) -> None:
    stored = sum(entry.size_bytes for name, entry in base.files.items() if name.endswith(".safetensors"))
    need = wanted.disk_bytes + 3 * stored  # the run, and its merge with a GGUF, which the rehearsal makes too
    try:
        check_space(store.root, need, f"Training and merging {base.name}")
    except DiskFull as error:
        raise GuardStopped(f"The disk is too small. {error.message}", error.hint) from error


def _work(wanted: Rehearsal) -> forecast.Work:
    from linnet.training.align_data import AlignData

    if isinstance(wanted.data, AlignData) and isinstance(wanted.recipe, AlignRecipe):
        answers = [[(len(r.prompt), len(r.chosen), len(r.rejected)) for r in side] for side in wanted.data.rows]
        return forecast.preference_work(answers[0], answers[1], wanted.recipe)
    train, held = ([len(example.ids) for example in side.examples] for side in wanted.data.targets)
    return forecast.work_of(train, held)
