"""Merge a run and give the model a name: `name` is the GGUF that runs, `name:hf` the folder it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.names import split_tag
from linnet.core.records import Model
from linnet.core.runs import find_run
from linnet.core.store import Step, Store
from linnet.formats.resolve import resolve_model
from linnet.stages.import_ import import_
from linnet.stages.merge import GGUF, MODEL
from linnet.stages.merge import merge as merge_stage


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A merged model: the step that holds it, and its names in the store where one was asked for."""

    step: Step
    models: tuple[Model, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The one line of `--json`."""
        return {
            "run": self.step.run.id,
            "folder": str(self.step.folder / MODEL),
            "gguf": str(self.step.folder / GGUF) if GGUF in self.step.run.files else None,
            "gates": self.step.result["gates"],
            "reused": self.step.reused,
            "models": [model.name for model in self.models],
        }


def merge(
    run: str, out: str = "", *, gguf: bool = True, store: Store | None = None, on_event: OnEvent = silent
) -> MergeResult:
    """Merge a finished run of `tune` into its base's precision; with `out` the models get names in the store.

    Raises NotFound, InputError for an unfinished run or a name that is taken, StoreError for a changed base,
    GateFailed, and what converting raises.
    """
    store = store or Store()
    if out and split_tag(out)[1] is not None:
        raise InputError(f"--out {out}: a name without a tag is needed.", "The model gets two: latest (GGUF) and hf.")
    found = find_run(store, run, "tune")
    if not found.request:
        raise InputError(f"{found.id} is no run of `linnet tune`.", "See: linnet runs list")
    base = resolve_model(store, found.request["base"])
    step = merge_stage(store, base, found, on_event, gguf=gguf)
    return MergeResult(step, _named(store, step, out, on_event) if out else ())


def _named(store: Store, step: Step, out: str, on_event: OnEvent) -> tuple[Model, ...]:
    made = [import_(store, step.folder / MODEL, f"{out}:hf", on_event=on_event)]
    if GGUF in step.run.files:
        made.insert(0, import_(store, step.folder / GGUF, f"{out}:latest", on_event=on_event))
    return tuple(made)
