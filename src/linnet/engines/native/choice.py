"""Which engine runs GGUF models here: the wheel, a native build of the store, or a binary that was named.

A binary is used only after its self-test; what came of that is kept, until a file of it, the wheel or the processor
changes. Builds nothing (native_build does) and loads no model of the user's.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from linnet.core import settings
from linnet.core.errors import EngineError, InputError, LinnetError, NotFound, ResourceMissing
from linnet.core.files import canonical, read_json, sha256_bytes, write_json
from linnet.core.names import ENGINES
from linnet.core.records import FileEntry, Record
from linnet.core.store import RECORD, Store, verify_files
from linnet.engines.native import native_selftest
from linnet.engines.native.build_sources import PINNED
from linnet.engines.native.native_selftest import SelfTest

WHEEL = "xllamacpp"
TESTS = "engine-tests"  # room of the store
SERVER, LIBRARIES = "llama-server", ("libllama.so", "libllama.dylib")
BUILD = "Build it with: linnet engine build"


class NativeEngine(Record):
    """A native build: `engines/<id>/record.json`, written last. `key` is the hash of all that it was made from.

    `system_info` is llama.cpp's own line about what it was compiled for.
    """

    schema_version: Literal[1] = 1
    id: str
    key: str
    source: str
    source_version: str
    source_sha256: str
    llama_version: str
    flags: list[str]
    compiler: str
    cmake: str
    system_info: str
    files: dict[str, FileEntry]
    seconds: float
    created: str

    @property
    def is_pinned(self) -> bool:
        """Whether it has the sources of the wheel that Linnet pins: only then can scoring use its library."""
        return (self.source, self.source_sha256) == (PINNED.name, PINNED.sha256)


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that runs: `engine` is for WorkerSpec, `why` a sentence. `library` is for scoring, where it works."""

    kind: Literal["wheel", "native", "named"]
    engine: str
    why: str
    native: NativeEngine | None = None
    test: SelfTest | None = None
    library: Path | None = None


def native_engines(store: Store) -> list[tuple[NativeEngine, Path]]:
    """The finished builds of a store with their folders, the newest first. A damaged record is no build."""
    room, found = store.path(ENGINES), []
    for path in room.glob(f"*/{RECORD}") if room.is_dir() else ():
        try:
            record = NativeEngine.model_validate(read_json(path))
        except (LinnetError, ValidationError):
            continue
        if record.id == path.parent.name:
            found.append((record, path.parent))
    return sorted(found, key=lambda one: (one[0].created, one[0].id), reverse=True)


def choose_engine(*, gpu: bool = False, again: bool = False) -> Choice:
    """The engine that LINNET_ENGINE asks for. `gpu`: layers go to a GPU, which native builds do not use.

    "auto" takes the newest native build that passes its self-test, and says why where it does not. A native build or a
    binary that was asked for by name is never replaced: raises ResourceMissing, NotFound or EngineError instead.
    `again` repeats a self-test that failed before.
    """
    wanted = settings.get("LINNET_ENGINE")
    if wanted == "wheel":
        return Choice("wheel", WHEEL, "LINNET_ENGINE is wheel")
    if wanted not in ("auto", "native"):
        return _named(wanted, again)
    if wanted == "auto" and gpu:
        return Choice("wheel", WHEEL, "layers go to a GPU, and native builds use none")
    store = Store() if settings.home().is_dir() else None
    builds = native_engines(store) if store else []
    if store is None or not builds:
        if wanted == "native":
            raise ResourceMissing("LINNET_ENGINE is native, and no native engine was built.", BUILD)
        return Choice("wheel", WHEEL, "no native engine was built (linnet engine build makes one)")
    return _native(store, *builds[0], wanted, again)


def engine_name(engine: str) -> str:
    """How a binary is told to people: "native" and the id of a build of a store, else its path."""
    folder = Path(engine).parent.parent
    return f"native {folder.name}" if folder.parent.name == ENGINES else engine


def _native(store: Store, record: NativeEngine, folder: Path, wanted: str, again: bool) -> Choice:
    binary, library = folder / "bin" / SERVER, _library(folder)
    try:
        test = _tested(store, binary, record, again)
        problem = test.server
    except LinnetError as error:
        test, problem = None, error.message
    if problem and wanted == "native":
        raise EngineError(
            f"The native engine {record.id} failed its self-test: {problem}",
            "Build it again with: linnet engine build; or use the wheel with LINNET_ENGINE=wheel.",
        )
    if problem:
        why = f"the native engine {record.id} failed its self-test: {problem}"
        return Choice("wheel", WHEEL, why, record, test)
    scores = test is not None and not test.scoring and record.is_pinned
    why = f"the native engine {record.id} passed its self-test"
    return Choice("native", str(binary), why, record, test, library if scores else None)


def _named(path: str, again: bool) -> Choice:
    binary = Path(path).expanduser()
    if not binary.is_absolute():
        raise InputError(
            f"LINNET_ENGINE is {path!r}: it must be auto, wheel, native, or the whole path of a llama-server."
        )
    if not binary.is_file() or not os.access(binary, os.X_OK):
        raise NotFound(f"LINNET_ENGINE names {binary}, which is no program.", "Name a llama-server, or unset it.")
    test = _tested(Store(), binary, None, again)
    if test.server:
        raise EngineError(f"{binary} failed its self-test: {test.server}", "Unset LINNET_ENGINE to use another engine.")
    return Choice("named", str(binary), f"LINNET_ENGINE names {binary}", test=test)


def scoring_library() -> Path | None:
    """The native libllama that may be used for scoring; None: the wheel's. Raises nothing of the choice's errors."""
    try:
        return choose_engine().library
    except LinnetError:
        return None


def _library(folder: Path) -> Path | None:
    return next((path for name in LIBRARIES if (path := folder / "bin" / name).is_file()), None)


def _tested(store: Store, binary: Path, record: NativeEngine | None, again: bool) -> SelfTest:
    """The self-test's result, from the store where nothing changed since. The files of a build are checked first."""
    from linnet.engines.planning.hardware import processor
    from linnet.engines.scoring.llama_c import installed

    folder = binary.parent
    files = sorted(folder.iterdir()) if record else [binary]
    stamps = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files if path.is_file()]
    about = [native_selftest.VERSION, stamps, installed(), *processor()]
    place = store.path(TESTS, f"{sha256_bytes(canonical(about))[:20]}.json")
    kept, scores = _kept(place), record is not None and record.is_pinned
    if kept and not (again and (kept.server or (scores and kept.scoring))):
        return kept
    if record:
        verify_files(folder.parent, record.files)
    result = native_selftest.run_selftest(binary, _library(folder.parent) if record else None)
    write_json(place, result.to_json())
    return result


def _kept(place: Path) -> SelfTest | None:
    try:
        return SelfTest.model_validate(read_json(place)) if place.is_file() else None
    except (LinnetError, ValidationError):
        return None


def remove_old(store: Store, keep: int = 2) -> None:
    """Remove all but the newest builds. One that runs has its files open and goes on."""
    for record, folder in native_engines(store)[keep:]:
        (folder / RECORD).unlink(missing_ok=True)
        shutil.rmtree(store.path(ENGINES, record.id), ignore_errors=True)
