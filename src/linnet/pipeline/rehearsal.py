"""When a training is rehearsed, and what its run keeps of that: before long ones, or when asked for."""

from __future__ import annotations

from typing import Any

from linnet.core.events import Event, OnEvent, silent
from linnet.core.records import Model
from linnet.core.store import Step, Store
from linnet.stages import rehearse as stage
from linnet.stages.tune import DecoderJob, decoder_inputs, need_bytes

LONG_S = 300  # a run predicted to take longer is rehearsed unasked


def rehearse_tuning(store: Store, base: Model, job: DecoderJob, on_event: OnEvent = silent) -> Step:
    """Walk through the training of `job` on a few rows. Raises GuardStopped with the name of what would fail."""
    step = stage.rehearse(store, base, _wanted(base, job), on_event)
    on_event(Event("note", "rehearse", predicted_text(store, step.result["predicted"])))
    return step


def before_training(store: Store, base: Model, job: DecoderJob, wish: bool | None, on_event: OnEvent) -> None:
    """Rehearse where it is wished (True), or not refused (None) and the run is long; note in the request what was done.

    Raises GuardStopped, also for a run that is not rehearsed but does not fit into the memory.
    """
    if wish is False:
        job.request["rehearsal"] = {"mode": "refused"}
        return
    wanted = _wanted(base, job)
    found = stage.forecast_of(base, wanted)
    kept: dict[str, Any] = {"mode": "short run", "forecast": found.to_json()}
    if wish or stage.likely_seconds(store, found, stage.objective_of(job.recipe)) > LONG_S:
        step = rehearse_tuning(store, base, job, on_event)
        kept |= {"mode": "done", "run": step.run.id, "predicted": step.result["predicted"]}
    else:
        stage.check_memory(store, base, wanted)
    job.request["rehearsal"] = kept


def after_training(store: Store, job: DecoderJob, run: Step) -> None:
    """Keep what the run took beside what was predicted of it."""
    stage.record_truth(store, job.request.get("rehearsal") or {}, run)


def predicted_text(store: Store, predicted: dict[str, float]) -> str:
    """The prediction in one line, each number with the error of earlier ones on this machine."""
    errors = stage.known_errors(store)
    seconds = predicted["seconds"]
    shown = {
        "memory_bytes": f"{predicted['memory_bytes'] / 2**30:.2f} GiB of memory",
        "disk_bytes": f"{predicted['disk_bytes'] / 1e6:.0f} MB on the disk",
        "seconds": f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds",
    }
    parts = [f"{text} ({_error(errors[key])})" for key, text in shown.items()]
    return "the run will take at most " + ", ".join(parts)


def _error(error: float | None) -> str:
    return "first prediction here" if error is None else f"earlier ones were off by {error:.0%}"


def _wanted(base: Model, job: DecoderJob) -> stage.Rehearsal:
    return stage.Rehearsal(job.data, job.recipe, decoder_inputs(base, job)[1], need_bytes(base, job.recipe))
