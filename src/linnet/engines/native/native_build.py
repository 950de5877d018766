"""Compile llama.cpp for exactly this processor, into the store: `engines/<id>/`, complete or absent.

The steps run in processes of their own without network. What is compiled so far stays in `engines/<id>.partial/`, so
that a build that was stopped goes on where it was. Knows no index and no hub: `fetch` brings an archive.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import EngineError, InputError, LinnetError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, check_space, make_folder, publish_folder, sha256_bytes, write_json
from linnet.core.names import ENGINES
from linnet.core.settings import threads
from linnet.core.store import RECORD, Store, scan_files, verify_files
from linnet.engines.native.build_sources import PINNED, Source, identify, source_root, unpack
from linnet.engines.native.build_tools import Tools, find_tools, wrap_zig
from linnet.engines.native.choice import NativeEngine, native_engines, remove_old

TARGETS = ("llama-server", "llama-quantize", "llama-bench", "llama-perplexity")
FLAGS = (
    *("CMAKE_BUILD_TYPE=Release", "BUILD_SHARED_LIBS=ON", "CMAKE_BUILD_RPATH_USE_ORIGIN=ON"),
    *("GGML_NATIVE=ON", "GGML_CCACHE=OFF"),
    # Nothing that reaches out, and nothing that starts programs: the worker needs neither.
    *("LLAMA_CURL=OFF", "LLAMA_OPENSSL=OFF", "LLAMA_SUBPROCESS=OFF", "LLAMA_LLGUIDANCE=OFF"),
    *("LLAMA_BUILD_UI=OFF", "LLAMA_USE_PREBUILT_UI=OFF", "FETCHCONTENT_FULLY_DISCONNECTED=ON"),
    *("LLAMA_BUILD_TOOLS=ON", "LLAMA_BUILD_SERVER=ON"),
    *("LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_EXAMPLES=OFF", "LLAMA_BUILD_APP=OFF", "LLAMA_BUILD_COMMIT=unknown"),
)
NEED_BYTES = 1_500_000_000  # the sources take 180 MB; the rest is for objects and programs, with room
MEMORY_PER_JOB = 2 << 30  # what the largest files of llama.cpp take to compile
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME")
DONE = re.compile(rb"\[\s*(\d+)(?:/(\d+)|%)\]")
LOG = "build.log"
END_S = 60.0
Fetch = Callable[[Source, Path], Path]


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """`source`: an archive, instead of the pinned one from the package index. `jobs`: compilers at once, 0: choose."""

    source: Path | None = None
    jobs: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.jobs <= 512:
            raise InputError(f"jobs is {self.jobs}: it must be a whole number from 0 to 512.")


@dataclass(frozen=True, slots=True)
class _Plan:
    """One build: its inputs and where it happens."""

    source: Source
    tools: Tools
    flags: tuple[str, ...]
    key: str
    id: str
    work: Path


def build_engine(
    store: Store,
    options: BuildOptions,
    fetch: Fetch,
    on_event: OnEvent = silent,
    *,
    work_folder: Path | None = None,
) -> tuple[NativeEngine, Path, bool]:
    """Build the native engine; gives its record, its folder, and whether it was there already.

    `fetch(source, folder)` brings a known archive when none is given; its bytes are checked here. `work_folder` is for
    tests: a folder with an earlier build's objects. Raises ResourceMissing for missing tools, DiskFull, NotFound and
    InputError for the archive, CorruptFile for other bytes than the known ones, EngineError when a step fails.
    """
    tools = find_tools()
    source = identify(options.source) if options.source else PINNED
    plan = _plan(store, source, tools, work_folder)
    if not source.version:
        on_event(Event("warning", "engine", f"{options.source} is no known archive (sha256 {source.sha256})"))
    with store.locked("engine-build", "The engine", on_event):
        if found := _finished(store, plan, on_event):
            return *found, True
        _remove_other_partials(store, plan)
        check_space(plan.work, NEED_BYTES, "Building the engine")
        on_event(Event("start", "engine", f"{plan.id} with {tools.compiler}, {tools.generator}"))
        started = time.monotonic()
        with os_errors(plan.work, "Making"):
            make_folder(plan.work)
        root = _sources(plan, options.source, fetch, on_event)
        _configure(plan, root, on_event)
        _compile(plan, _jobs(options.jobs), on_event)
        record = _publish(store, plan, root, time.monotonic() - started)
        if work_folder is None:
            shutil.rmtree(plan.work, ignore_errors=True)
        remove_old(store)
    on_event(Event("done", "engine", plan.id, data={"seconds": record.seconds}))
    return record, store.path(ENGINES, plan.id), False


def _plan(store: Store, source: Source, tools: Tools, work_folder: Path | None) -> _Plan:
    from linnet.engines.planning.hardware import processor

    flags = (*FLAGS, f"LLAMA_BUILD_NUMBER={source.build_number}")
    inputs = {
        "source": source.sha256,
        "flags": list(flags),
        "targets": list(TARGETS),
        "compiler": [tools.compiler, tools.cmake_version, tools.generator],
        "processor": [platform.machine(), *processor()],
    }
    key = sha256_bytes(canonical(inputs))
    name = f"{source.name}-{source.version or source.sha256[:8]}-{key[:12]}"
    return _Plan(source, tools, flags, key, name, work_folder or store.path(ENGINES, f"{name}.partial"))


def _finished(store: Store, plan: _Plan, on_event: OnEvent) -> tuple[NativeEngine, Path] | None:
    for record, folder in native_engines(store):
        if record.key != plan.key:
            continue
        try:
            verify_files(folder, record.files)
        except LinnetError as error:
            on_event(Event("warning", "engine", f"{error.message} It is built again."))
            return None
        on_event(Event("reused", "engine", plan.id))
        return record, folder
    return None


def _remove_other_partials(store: Store, plan: _Plan) -> None:
    for folder in store.path(ENGINES).glob("*.partial"):
        if folder != plan.work:
            shutil.rmtree(folder, ignore_errors=True)


def _jobs(asked: int) -> int:
    """As many compilers as cores, and as the free memory holds."""
    import psutil

    return asked or max(1, min(threads(), psutil.virtual_memory().available // MEMORY_PER_JOB))


def _sources(plan: _Plan, archive: Path | None, fetch: Fetch, on_event: OnEvent) -> Path:
    """The unpacked sources. An archive that was fetched is checked like one that was given."""
    if archive is None:
        kept = plan.work / plan.source.file_name
        archive = kept if kept.is_file() and identify(kept) == plan.source else fetch(plan.source, plan.work)
        if identify(archive) != plan.source:
            raise EngineError(f"{archive.name} is not {plan.source.name} {plan.source.version}.")
    folder = plan.work / "source"
    count = unpack(archive, folder)
    on_event(Event("note", "engine", f"{count} files unpacked from {archive.name}"))
    return source_root(folder)


def _configure(plan: _Plan, root: Path, on_event: OnEvent) -> None:
    tools, programs = plan.tools, {}
    if tools.zig:
        wrapped = wrap_zig(plan.work / "zig")
        programs = {"AR": wrapped["ar"], "RANLIB": wrapped["ranlib"]}
        c, cxx = wrapped["cc"], wrapped["c++"]
    else:
        c, cxx = tools.c, tools.cxx
    programs |= {"C_COMPILER": c, "CXX_COMPILER": cxx, "MAKE_PROGRAM": tools.make}
    flags = [f"-D{flag}" for flag in plan.flags] + [f"-DCMAKE_{name}={path}" for name, path in programs.items()]
    command = [tools.cmake, "-S", str(root), "-B", str(plan.work / "build"), "-G", tools.generator, *flags]
    (plan.work / LOG).unlink(missing_ok=True)
    _run(plan, command, "configuring", on_event)


def _compile(plan: _Plan, jobs: int, on_event: OnEvent) -> None:
    command = [plan.tools.make, "-C", str(plan.work / "build"), f"-j{jobs}", *TARGETS]
    _run(plan, command, f"compiling, {jobs} at once", on_event)


def _run(plan: _Plan, command: list[str], what: str, on_event: OnEvent) -> None:
    """One step, its output in the log. Whatever ends this ends the step's processes too. Raises EngineError."""
    on_event(Event("note", "engine", what))
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"NINJA_STATUS": "[%f/%t] "}
    step = [sys.executable, "-I", str(Path(__file__).with_name("build_step.py")), *command]
    with os_errors(plan.work, "Building in"), (plan.work / LOG).open("ab") as log:
        process = subprocess.Popen(
            step,
            stdin=subprocess.PIPE,  # closes when we are gone: build_step then ends everything
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=plan.work,
            env=environment,
            start_new_session=True,
        )
        try:
            for line in process.stdout or ():
                log.write(line)
                if found := DONE.match(line):
                    on_event(Event("progress", "engine", what, int(found[1]), int(found[2] or 100)))
            code = process.wait()
        finally:
            _end(process)
    if code:
        raise EngineError(
            f"Building the engine failed while {what} (exit code {code}): {_reason(plan.work / LOG)}",
            f"All of its output is in {plan.work / LOG}. The wheel stays in use; the same command tries again.",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have a step end its processes, and wait for that. Nothing is left to do for one that ended."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reason(log: Path) -> str:
    """What a log says went wrong: the first lines of the first error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-400:] if line.strip()]
    for place, line in enumerate(lines):
        if re.search(r"\berror\b|Error\b|No space left", line):
            return " ".join(lines[place : place + 3])[:400]
    return (lines or ["it said nothing."])[-1][:400]


def _publish(store: Store, plan: _Plan, root: Path, seconds: float) -> NativeEngine:
    """Collect programs, libraries and licences, write the record last, and give the folder its name."""
    from linnet.engines.native.native_selftest import probe

    made = plan.work / "engine"
    with os_errors(made, "Writing"):
        shutil.rmtree(made, ignore_errors=True)
        make_folder(made / "bin")
        built = plan.work / "build" / "bin"
        libraries = [path for pattern in ("lib*.so*", "lib*.dylib") for path in built.glob(pattern)]
        for path in (*(built / name for name in TARGETS), *libraries):
            if not path.is_file():
                raise EngineError(f"The build made no {path.name}.", f"See {plan.work / LOG}.")
            # Libraries have several names: one file, and links beside it.
            shutil.copy2(path, made / "bin" / path.name, follow_symlinks=False)
        for path in (root / "LICENSE", *sorted(root.glob("licenses/*"))):
            if path.is_file():
                make_folder(made / "licences")
                shutil.copyfile(path, made / "licences" / path.name)
        library = next((path for path in sorted(made.glob("bin/libllama.*")) if path.suffix in (".so", ".dylib")), None)
        said = probe(library) if library else {}
        record = NativeEngine(
            id=plan.id,
            key=plan.key,
            source=plan.source.name,
            source_version=plan.source.version,
            source_sha256=plan.source.sha256,
            llama_version=said.get("version", ""),
            flags=list(plan.flags),
            compiler=plan.tools.compiler,
            cmake=plan.tools.cmake_version,
            system_info=said.get("system_info", ""),
            files=scan_files(made),
            seconds=round(seconds, 1),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
    write_json(made / RECORD, record.to_json())
    publish_folder(made, store.path(ENGINES, plan.id))
    return record
