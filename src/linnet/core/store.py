"""The store: one folder that holds everything Linnet makes, and one function that joins its paths.

runs/<stage>-<key>/        a stage's files, record.json last
specialists/<name>/<n>/    bundles, record.json last
locks/                     who is writing what
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from linnet.core import settings
from linnet.core.errors import CorruptFile, LinnetError, NotFound, did_you_mean, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.failpoints import failpoint
from linnet.core.files import canonical, make_folder, read_json, sha256_bytes, sha256_file, write_json
from linnet.core.locks import lock
from linnet.core.names import check_name, is_name, split_version
from linnet.core.records import FileEntry, Run, Specialist
from linnet.version import code_version

RECORD = "record.json"
_VERSION = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Step:
    """A finished stage: its record, its folder, and whether it was already there."""

    run: Run
    folder: Path
    reused: bool

    @property
    def result(self) -> dict[str, Any]:
        return self.run.result

    def sha256(self, name: str) -> str:
        """Hash of one of its files: what a later stage names as its input."""
        return self.run.files[name].sha256


def scan_files(folder: Path) -> dict[str, FileEntry]:
    """Every file below `folder` but its record and its hidden files, hashed."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.as_posix() != RECORD and not any(p.startswith(".") for p in relative.parts):
            entries[relative.as_posix()] = FileEntry(sha256=sha256_file(path), size_bytes=path.stat().st_size)
    return entries


def verify_files(folder: Path, files: dict[str, FileEntry]) -> None:
    """Raise CorruptFile, naming the file, when one is missing or not the bytes that were recorded."""
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise CorruptFile(f"{path} is missing.")
        if path.stat().st_size != entry.size_bytes or sha256_file(path) != entry.sha256:
            raise CorruptFile(f"{path} is not the file that was written: its sha256 differs from the record.")


def decision_digest(specialist: Specialist) -> str:
    """What a specialist answers with beside its files: labels, temperature, threshold; or what it is asked."""
    decision, asked = specialist.decision, specialist.asked
    said: list[Any] = [decision.labels, decision.temperature, decision.out_of_scope, decision.threshold]
    if asked is not None:
        said += [asked.input, asked.instruction, asked.answer_schema, asked.max_tokens, asked.shots]
    return sha256_bytes(canonical(said))


class Store:
    """Where everything lies. Opening it makes the folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or settings.home()
        with os_errors(self.root, "Opening the store"):
            make_folder(self.root)
            self.root.chmod(0o700)

    def path(self, room: str, *names: str) -> Path:
        """The one way to a path in the store. Raises NameInvalid for any part outside the grammar."""
        return self.root.joinpath(room, *(check_name(name) for name in names))

    @contextmanager
    def locked(self, name: str, what: str, on_event: OnEvent = silent) -> Iterator[None]:
        """Hold a name, or a `room/name`, of the store; waits as long as LINNET_LOCK_WAIT_S says."""
        path = self.path("locks", *name.split("/"))
        with lock(path.with_name(f"{path.name}.lock"), what, settings.get_number("LINNET_LOCK_WAIT_S"), on_event):
            yield

    def step(
        self,
        stage: str,
        inputs: dict[str, Any],
        work: Callable[[Path], dict[str, Any]],
        on_event: OnEvent = silent,
        *,
        label: str = "",
        begun_by: str = "",
    ) -> Step:
        """Run a stage, or reuse it when the same inputs under the same code were run before.

        `work(folder)` writes its files into `folder` and returns its small result; a stage that was
        interrupted finds there what it had left. A finished run whose files changed is reported and made again.
        `begun_by` is the code version that began the run, where this one goes on with it.
        """
        code = begun_by or code_version()
        key = sha256_bytes(canonical({"stage": stage, "inputs": inputs, "code": code}))
        run_id = f"{stage}-{key[:20]}"
        folder = self.path("runs", run_id)
        with self.locked(run_id, label or run_id, on_event):
            if done := self._finished(folder, stage, label, on_event):
                return Step(done, folder, reused=True)
            on_event(Event("start", stage, label or stage))
            started = time.monotonic()
            with os_errors(folder, "Making"):
                make_folder(folder)
            with os_errors(folder, "Writing"):
                result = work(folder)
            run = Run(
                id=run_id,
                stage=stage,
                key=key,
                inputs=inputs,
                code_version=code,
                files=scan_files(folder),
                result=result,
                seconds=round(time.monotonic() - started, 3),
                created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            )
            with os_errors(folder, "Writing"):
                failpoint("record.write")
            write_json(folder / RECORD, run.to_json())
        on_event(Event("done", stage, label or stage, data={"seconds": run.seconds}))
        return Step(run, folder, reused=False)

    def _finished(self, folder: Path, stage: str, label: str, on_event: OnEvent) -> Run | None:
        if not (folder / RECORD).exists():
            return None
        try:
            run = Run.model_validate(read_json(folder / RECORD))
            verify_files(folder, run.files)
        except (LinnetError, ValidationError) as error:
            problem = error.message if isinstance(error, LinnetError) else "its record is damaged."
            on_event(Event("warning", stage, f"{problem} The stage is run again."))
            shutil.rmtree(folder)
            return None
        on_event(Event("reused", stage, label or stage, data={"run": run.id, "seconds": run.seconds}))
        return run

    def versions(self, name: str) -> list[int]:
        """The finished versions of a specialist, oldest first."""
        folder = self.path("specialists", name)
        if not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if _VERSION.fullmatch(p.name) and (p / RECORD).exists())

    def names(self) -> list[str]:
        """The names of all specialists, sorted."""
        folder = self.path("specialists")
        found = [p.name for p in folder.iterdir() if is_name(p.name)] if folder.is_dir() else []
        return sorted(name for name in found if self.versions(name))

    def find(self, full_name: str) -> tuple[Specialist, Path]:
        """A specialist and its folder, by `name` (the newest) or `name:version`.

        Raises NotFound with the nearest name, NameInvalid, or CorruptFile when its record is damaged.
        """
        name, version = split_version(full_name)
        versions = self.versions(name)
        if not versions:
            near = did_you_mean(name, self.names())
            raise NotFound(f"No specialist is called {name!r}.{near}", "`linnet list` shows what is there.")
        if version is not None and version not in versions:
            shown = ", ".join(map(str, versions))
            raise NotFound(f"{name} has no version {version}.", f"It has: {shown}.")
        folder = self.path("specialists", name, str(version or versions[-1]))
        try:
            specialist = Specialist.model_validate(read_json(folder / RECORD))
        except ValidationError as error:
            raise CorruptFile(f"{folder / RECORD} is damaged.", "Build the specialist again.") from error
        if specialist.lineage.get("decision", digest := decision_digest(specialist)) != digest:
            raise CorruptFile(
                f"{full_name}: its labels, calibration or instruction are not those that it was measured with.",
                "Build the specialist again.",
            )
        return specialist, folder

    def remove(self, full_name: str) -> list[str]:
        """Remove one version, or every version of a bare name. Returns what was removed."""
        name, version = split_version(full_name)
        self.find(full_name)
        doomed = [version] if version is not None else self.versions(name)
        with self.locked(f"specialists/{name}", name):
            for number in doomed:
                folder = self.path("specialists", name, str(number))
                (folder / RECORD).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
        return [f"{name}:{number}" for number in doomed]
