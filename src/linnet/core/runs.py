"""The runs of the store: found by id, with their state and the curve that a training wrote step by step.

`log.jsonl` of a run holds one line a step and one an epoch, without times: the same training writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import ValidationError

from linnet.core.errors import CorruptFile, InputError, NotFound, StoreBusy, did_you_mean, os_errors
from linnet.core.events import Event, OnEvent
from linnet.core.files import read_json, write_bytes
from linnet.core.locks import alone
from linnet.core.names import is_name
from linnet.core.records import Run
from linnet.core.store import RECORD, Store

LOG, REQUEST = "log.jsonl", "request.json"
State = Literal["done", "running", "stopped", "damaged"]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it lies in the store. `run` is its record, absent until it is done; `request` what was asked for."""

    id: str
    state: State
    folder: Path
    run: Run | None
    request: dict[str, Any]

    @property
    def stage(self) -> str:
        return self.id.rpartition("-")[0]

    @property
    def created(self) -> str:
        return self.run.created if self.run else str(self.request.get("started", ""))


def list_runs(store: Store, stage: str = "") -> list[RunView]:
    """Every run of the store, or of one stage, the oldest first."""
    room = store.path("runs")
    names = sorted(p.name for p in room.iterdir() if p.is_dir() and is_name(p.name)) if room.is_dir() else []
    found = [_view(store, name) for name in names if not stage or name.startswith(f"{stage}-")]
    return sorted(found, key=lambda view: (view.created, view.id))


def find_run(store: Store, name: str, stage: str = "") -> RunView:
    """A run by its id or the beginning of it, with or without the stage. Raises NotFound, InputError, NameInvalid."""
    store.path("runs", name)
    views = list_runs(store, stage)
    ids = [view.id for view in views]
    fitting = [v for v in views if v.id == name] or [
        v for v in views if v.id.startswith(name) or v.id.rpartition("-")[2].startswith(name)
    ]
    if not fitting:
        what = f"{stage} run" if stage else "run"
        raise NotFound(f"No {what} is called {name!r}.{did_you_mean(name, ids)}", "`linnet runs list` shows them.")
    if len(fitting) > 1:
        raise InputError(f"{name} is the beginning of {len(fitting)} runs.", f"Say more of it: {fitting[0].id}, ...")
    return fitting[0]


def _view(store: Store, name: str) -> RunView:
    folder = store.path("runs", name)
    request = read_json(folder / REQUEST) if (folder / REQUEST).is_file() else {}
    if (folder / RECORD).is_file():
        try:
            return RunView(name, "done", folder, Run.model_validate(read_json(folder / RECORD)), request)
        except (ValidationError, CorruptFile):
            return RunView(name, "damaged", folder, None, request)
    path = store.path("locks", name)
    try:
        with alone(path.with_name(f"{name}.lock"), name):
            return RunView(name, "stopped", folder, None, request)
    except StoreBusy:
        return RunView(name, "running", folder, None, request)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's curve, in order; a last line that was cut by a crash is left out. Empty where none is."""
    path = folder / LOG
    if not path.is_file():
        return []
    with os_errors(path, "Reading"):
        lines = path.read_bytes().split(b"\n")
    found = []
    for line in lines[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise CorruptFile(
                f"{path} holds a line that is not JSON.", "Its record, if there is one, stands."
            ) from error
    return found


class _Log:
    def __init__(self, folder: Path, on_event: OnEvent) -> None:
        self.folder, self.on_event = folder, on_event
        self.handle: TextIO | None = None

    def __call__(self, event: Event) -> None:
        data = event.data
        if "resumed_step" in data:
            self._open(data["resumed_step"], data["resumed_epoch"])
        elif "loss" in data:
            self._write({"step": event.done, **data})
        elif "epoch" in data and "step" in data:
            self._write(data)
        self.on_event(event)

    def _open(self, step: int, epoch: int) -> TextIO:
        """Keep what the state that is gone on from had seen; the rest is written again."""
        kept = [e for e in read_log(self.folder) if e["step"] <= step and e.get("epoch", 0) <= epoch]
        path = self.folder / LOG
        write_bytes(path, "".join(_line(entry) for entry in kept).encode())
        self.handle = path.open("a", encoding="utf-8")
        return self.handle

    def _write(self, entry: dict[str, Any]) -> None:
        handle = self.handle or self._open(0, 0)
        with os_errors(self.folder / LOG, "Writing"):
            handle.write(_line(entry))
            handle.flush()

    def close(self) -> None:
        if self.handle is not None:
            self.handle.close()


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"


@contextmanager
def logged(folder: Path, on_event: OnEvent) -> Iterator[OnEvent]:
    """A listener that also writes the curve of a training into `folder`, and goes on where a checkpoint does."""
    log = _Log(folder, on_event)
    try:
        yield log
    finally:
        log.close()
