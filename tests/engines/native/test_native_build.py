"""Building a native engine, with a tiny CMake project in place of llama.cpp: complete or absent, and not repeated."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from linnet.core.errors import DiskFull, EngineError, InputError, ResourceMissing
from linnet.core.events import Event
from linnet.core.store import RECORD, Store
from linnet.engines.native import native_build as module
from linnet.engines.native.build_sources import PINNED, Source, identify
from linnet.engines.native.choice import native_engines
from linnet.engines.native.native_build import BuildOptions, build_engine
from tests.engines.native_project import SLOW, made_archive, no_fetch, pack, project

pytestmark = pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("c++")), reason="cmake or a C++ compiler is not here"
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    return Store()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return made_archive(tmp_path)


def names(store: Store) -> list[str]:
    room = store.path("engines")
    return sorted(path.name for path in room.iterdir()) if room.is_dir() else []


def test_a_build_is_complete_recorded_and_not_repeated(store: Store, archive: Path) -> None:
    events: list[Event] = []
    record, folder, reused = build_engine(store, BuildOptions(source=archive, jobs=2), no_fetch, events.append)
    assert not reused
    assert folder == store.path("engines", record.id)
    assert names(store) == [record.id]
    binaries = {path.name for path in (folder / "bin").iterdir()}
    assert binaries == {*module.TARGETS, "libllama.so", "libllama.so.1", "libllama.so.1.2"}
    assert (folder / "bin" / "libllama.so").readlink() == Path("libllama.so.1")
    assert (folder / "licences" / "LICENSE").read_text() == "made for a test\n"
    assert "GGML_NATIVE=ON" in record.flags
    assert (record.source, record.source_sha256) == ("unknown", identify(archive).sha256)
    assert (record.llama_version, record.system_info) == ("made", "CPU : AVX2 = 1 | AVX512 = 0 | ")
    assert record.compiler
    assert not record.is_pinned
    # Where it was compiled is gone: it runs from where it lies now.
    assert subprocess.run([folder / "bin" / "llama-bench"], check=False).returncode == 0
    assert [(e.done, e.total) for e in events if e.kind == "progress" and e.done][-1:] != []
    assert any(e.kind == "warning" and "no known archive" in e.message for e in events)

    events.clear()
    again, _, reused = build_engine(store, BuildOptions(source=archive), no_fetch, events.append)
    assert (again, reused) == (record, True)
    assert "reused" in [e.kind for e in events]
    assert "progress" not in [e.kind for e in events]

    (folder / "bin" / "llama-bench").write_bytes(b"changed")
    repaired, _, reused = build_engine(store, BuildOptions(source=archive), no_fetch, events.append)
    assert not reused
    assert repaired.files == record.files
    assert native_engines(store) == [(repaired, folder)]


def start(home: Path, archive: Path, **more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "linnet", "engine", "build", "--source", str(archive), "--jobs", "2"]
    environment = {**os.environ, "LINNET_HOME": str(home), **more}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.parametrize("place", ["files.rename", "files.dirsync:2"])
def test_killed_at_the_record_it_leaves_nothing_and_goes_on(store: Store, archive: Path, place: str) -> None:
    process = start(store.root, archive, LINNET_FAILPOINTS=f"{place}=kill")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    (left,) = names(store)
    assert left.endswith(".partial")
    assert native_engines(store) == []
    (compiled,) = store.path("engines").glob("*/build/bin/llama-bench")
    before = compiled.stat().st_mtime_ns
    log = compiled.parents[2] / module.LOG
    log.unlink()
    kept: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "progress":
            kept.append(log.read_text() if log.exists() else "")

    record, _, _ = build_engine(store, BuildOptions(source=archive), no_fetch, listen)
    assert names(store) == [record.id]
    assert before <= (store.path("engines", record.id) / "bin" / "llama-bench").stat().st_mtime_ns
    assert not any("server.c.o" in text for text in kept), "it was compiled again"


def sleepers(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if mark in (process.info["cmdline"] or []) and "sleep" in (process.info["cmdline"] or []):
            found.append(process)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_it_compiles_nothing_runs_on(tmp_path: Path, store: Store, how: signal.Signals) -> None:
    mark = str(1000 + os.getpid() % 100_000)
    archive = made_archive(tmp_path / "slow", more=SLOW.replace("120", mark))
    process = start(store.root, archive)
    deadline = time.monotonic() + 120
    while not sleepers(mark):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    process.communicate(timeout=120)
    assert process.returncode == (-how if how == signal.SIGKILL else 130)
    _, alive = psutil.wait_procs(sleepers(mark), timeout=120)
    assert alive == []
    assert native_engines(store) == []
    assert all(name.endswith(".partial") for name in names(store))


def test_what_a_step_leaves_running_is_ended(tmp_path: Path) -> None:
    mark = str(200_000 + os.getpid())
    step = Path(module.__file__).with_name("build_step.py")
    command = [sys.executable, "-I", str(step), "sh", "-c", f"sleep {mark} & exit 3"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.wait(120) == 3
    process.communicate()
    assert sleepers(mark) == []


def test_a_compiler_error_is_shown(tmp_path: Path, store: Store) -> None:
    archive = made_archive(tmp_path, more="add_executable(x tool.c)\nadd_dependencies(llama-bench nothing)\n")
    with pytest.raises(EngineError, match=r"failed while configuring .*nothing"):
        build_engine(store, BuildOptions(source=archive), no_fetch)
    files = project() | {"made-1.0/vendor/llama.cpp/tool.c": "#error broken on purpose\n"}
    with pytest.raises(EngineError, match=r"failed while compiling.*broken on purpose") as caught:
        build_engine(store, BuildOptions(source=pack(tmp_path / "b.tar.gz", files)), no_fetch)
    assert "The wheel stays in use" in caught.value.hint
    log = Path(caught.value.hint.partition(" is in ")[2].partition(". The wheel")[0])
    assert "broken on purpose" in log.read_text()
    assert native_engines(store) == []
    # The leftovers of the one before were removed.
    assert len(names(store)) == 1


def test_a_project_that_makes_less_than_it_should(tmp_path: Path, store: Store) -> None:
    more = "set_target_properties(llama-quantize PROPERTIES OUTPUT_NAME other)\n"
    with pytest.raises(EngineError, match="made no llama-quantize"):
        build_engine(store, BuildOptions(source=made_archive(tmp_path, more=more)), no_fetch)
    assert native_engines(store) == []


def test_too_little_disk_is_said_before_anything_is_written(
    store: Store, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEED_BYTES", 1 << 60)
    with pytest.raises(DiskFull, match="Building the engine needs"):
        build_engine(store, BuildOptions(source=archive), no_fetch)
    assert names(store) == []


def test_missing_tools_are_named_with_exit_code_4(tmp_path: Path, archive: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import sysconfig, sys; sysconfig.get_path = lambda name: sys.argv[1]; sys.modules['ziglang'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'ziglang' else real(name, *more)\n"
        "archive = sys.argv[2]; sys.argv[1:] = ['engine', 'build', '--source', archive]\n"
        "from linnet.cli import main; main()"
    )
    environment = {**os.environ, "PATH": str(empty), "LINNET_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(empty), str(archive)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "needs cmake, ninja or make, a C and C++ compiler: not found here" in done.stderr
    assert "pip install cmake ninja ziglang" in done.stderr


def test_a_fetched_archive_must_be_the_known_one(store: Store, archive: Path) -> None:
    asked: list[Source] = []

    def fetch(source: Source, folder: Path) -> Path:
        asked.append(source)
        return Path(shutil.copy(archive, folder / "other.tar.gz"))

    with pytest.raises(EngineError, match=r"other\.tar\.gz is not xllamacpp"):
        build_engine(store, BuildOptions(), fetch)
    assert asked == [PINNED]


@pytest.mark.parametrize("jobs", [-1, 513])
def test_jobs_out_of_range(jobs: int) -> None:
    with pytest.raises(InputError, match="jobs is"):
        BuildOptions(jobs=jobs)


@pytest.fixture
def listening() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port on loopback, and whether somebody came."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)

        def came() -> bool:
            try:
                server.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield server.getsockname()[1], came


def test_the_configure_step_has_no_network(
    tmp_path: Path, store: Store, listening: tuple[int, Callable[[], bool]]
) -> None:
    port, came = listening
    more = f"file(DOWNLOAD http://127.0.0.1:{port}/x ${{CMAKE_BINARY_DIR}}/x STATUS got TIMEOUT 5)\n"
    seen: list[str] = []
    build_engine(
        store, BuildOptions(source=made_archive(tmp_path, more=more)), no_fetch, lambda e: seen.append(e.message)
    )
    isolated = subprocess.run(
        [sys.executable, "-I", module.__file__.replace("native_build", "build_step"), "true"],
        stdin=subprocess.PIPE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "shared" in isolated.stdout:
        pytest.skip("this system allows no network namespace")
    assert not came()


def test_the_command(tmp_path: Path, store: Store, archive: Path) -> None:
    def linnet(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "linnet", "engine", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)

    done = linnet("build", "--source", str(archive), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["reused"], found["used"]) == (False, True), found["why"]
    assert (Path(found["folder"]) / RECORD).is_file()
    shown = linnet("build", "--source", str(archive))
    assert shown.stdout.startswith("was built")
    status = json.loads(linnet("status", "--json").stdout)
    assert (status["engine"], status["built_for"]) == ("native", ["AVX2"])
    assert status["version"].startswith("llama.cpp made (unknown")
    assert "avx2" not in status["unused"]
    assert status["scoring_works"]
    assert status["scoring_engine"] == "wheel"
    words = linnet("status").stdout
    assert "passed its self-test" in words
    missing = linnet("build", "--source", str(tmp_path / "none.tar.gz"))
    assert (missing.returncode, "no such file" in missing.stderr) == (2, True)


def test_no_tools_is_the_error_of_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.engines.native import build_tools

    monkeypatch.setattr(build_tools, "_cmake", lambda: None)
    with pytest.raises(ResourceMissing, match="needs cmake: not found"):
        build_tools.find_tools()
