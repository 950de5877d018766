"""Merge a run and give the model a name: `name` is the GGUF that runs, `name:hf` the folder it was made of.

Or leave the adapter an adapter: then `name` is a base's GGUF with the adapter on it. No weight is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, sha256_bytes
from linnet.core.models import model_names
from linnet.core.names import split_tag, to_name
from linnet.core.records import Model
from linnet.core.runs import RunView, find_run
from linnet.core.store import Step, Store
from linnet.engines.base import GGUF
from linnet.formats.builtin import RUNNABLE
from linnet.formats.model_report import ModelReport
from linnet.formats.resolve import resolve_model
from linnet.stages.import_ import import_
from linnet.stages.merge import ADAPTER, MODEL, keep_adapter
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
            "gguf": next(
                (str(self.step.folder / name) for name in (GGUF, ADAPTER) if name in self.step.run.files), None
            ),
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
    found, base = _found(store, run, out)
    step = merge_stage(store, base, found, on_event, gguf=gguf)
    return MergeResult(step, _named(store, step, out, on_event) if out else ())


def merge_adapter(
    run: str, out: str = "", *, base: str = "", store: Store | None = None, on_event: OnEvent = silent
) -> MergeResult:
    """The adapter of a finished run as a GGUF adapter, proved; with `out` a model of that name: `base` with it.

    `base` is a GGUF of the store made of the model that was tuned, in any type. Without it that model is converted in
    its own precision, once for all adapters on it; a built-in one has its GGUF. Raises what `merge` raises.
    """
    store = store or Store()
    found, tuned = _found(store, run, out)
    if base and not out:
        raise InputError("--base is for a model with a name.", "Give it with --out.")
    step = keep_adapter(store, tuned, found, on_event)
    if not out:
        return MergeResult(step)
    from linnet.core.uploads import take_file
    from linnet.pipeline.create import Recipe, create

    name = base or _base_gguf(store, tuned, on_event)
    own = found.request["template"]["name"] == "the model's own"
    template = None if own else (found.folder / "template.jinja").read_text(encoding="utf-8")
    adapters = {ADAPTER: take_file(store, step.folder / ADAPTER)}
    made = create(store, out, Recipe(base=name, adapters=adapters, template=template), on_event)
    return MergeResult(step, (resolve_model(store, made.full_name),))


def _base_gguf(store: Store, tuned: Model, on_event: OnEvent) -> str:
    """The name of the tuned model's own GGUF, made when it is first needed."""
    if tuned.name in RUNNABLE:
        return RUNNABLE[tuned.name]
    from linnet.stages.convert import Options, convert

    stem, kind = to_name(tuned.name.partition(":")[0].partition("@")[0]), _precision(tuned)
    weights = sha256_bytes(canonical({file: entry.sha256 for file, entry in tuned.files.items()}))
    name = f"{stem[:50]}-{weights[:8]}:{kind.lower()}"
    if name not in model_names(store):
        source = tuned.name if tuned.digest else tuned.path
        convert(store, source, kind, Options(out=name), on_event)
    return name


def _precision(tuned: Model) -> str:
    """The type that most bytes of a folder are of."""
    found = ModelReport.model_validate(tuned.report).quantisation
    return max(found, key=lambda kind: found[kind].bytes, default="F16")


def _found(store: Store, run: str, out: str) -> tuple[RunView, Model]:
    """The run and the model that it tuned."""
    if out and split_tag(out)[1] is not None:
        raise InputError(f"--out {out}: a name without a tag is needed.", "The model gets two: latest (GGUF) and hf.")
    found = find_run(store, run, "tune")
    if not found.request:
        raise InputError(f"{found.id} is no run of `linnet tune`.", "See: linnet runs list")
    return found, resolve_model(store, found.request["base"])


def _named(store: Store, step: Step, out: str, on_event: OnEvent) -> tuple[Model, ...]:
    made = [import_(store, step.folder / MODEL, f"{out}:hf", on_event=on_event)]
    if GGUF in step.run.files:
        made.insert(0, import_(store, step.folder / GGUF, f"{out}:latest", on_event=on_event))
    return tuple(made)
