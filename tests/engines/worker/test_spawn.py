"""A child that was started early: the next worker takes it, and nothing of one that nobody took is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Piece
from linnet.engines.worker import spawn, worker_folder
from linnet.engines.worker.process import Worker
from tests.engines.made_llama import STORIES, needs_stories
from tests.engines.workers import fake_spec, stories_plan

pytestmark = needs_stories


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where workers' folders are, for this test alone; nothing is left in it. A socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="ln-") as folder:
        monkeypatch.setattr(worker_folder, "base_folder", lambda: Path(folder))
        yield Path(folder)
        spawn.end_early()
        assert list(Path(folder).glob("linnet-worker-*")) == []


def started() -> spawn.Early:
    spawn.start_early(warm=True)
    early = spawn._waiting[-1]
    end = time.monotonic() + 20
    while early.process is None and time.monotonic() < end:
        time.sleep(0.01)
    assert early.process is not None
    return early


def answer(engine: LlamaEngine) -> str:
    try:
        made = engine.generate(GenerateRequest(prompt="Once upon a time", sampling=GREEDY, max_tokens=8))
        return "".join(piece.text for piece in made if isinstance(piece, Piece))
    finally:
        engine.close()


def test_the_next_worker_takes_it_and_answers_as_any_other() -> None:
    early = started()
    assert early.process is not None
    engine = LlamaEngine(stories_plan(engine="xllamacpp"))
    engine.start()
    worker = engine.keeper.worker()
    assert (worker.pid, worker.folder) == (early.process.pid, early.folder)
    assert answer(engine) == answer(LlamaEngine(stories_plan(engine="xllamacpp")))
    assert not psutil.pid_exists(early.process.pid)


def test_one_that_died_meanwhile_is_an_error_and_the_next_try_works() -> None:
    early = started()
    assert early.process is not None
    os.kill(early.process.pid, signal.SIGKILL)
    engine = LlamaEngine(stories_plan(engine="xllamacpp"))
    with pytest.raises(Exception, match="SIGKILL"):
        engine.start()
    assert answer(engine)


def test_nobody_took_it() -> None:
    early = started()
    assert early.process is not None
    spawn.end_early()
    assert not psutil.pid_exists(early.process.pid)
    assert not early.folder.exists()
    assert spawn.take_early() is None


def test_a_worker_that_is_closed_before_it_loads_ends_it() -> None:
    early = started()
    assert early.process is not None
    worker = Worker(LlamaEngine(stories_plan(engine="xllamacpp")).keeper.spec)
    worker.close()
    end = time.monotonic() + 20
    while early.folder.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not psutil.pid_exists(early.process.pid)


def test_a_worker_with_a_command_of_its_own_leaves_it() -> None:
    early = started()
    worker = Worker(fake_spec("ok"))
    worker.load()
    assert early.process is not None
    assert worker.pid != early.process.pid
    worker.close()


def test_where_it_cannot_start_the_worker_starts_one_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/does/not/exist")
        spawn.start_early(warm=True)
        end = time.monotonic() + 20
        while spawn._waiting[-1].folder.exists() and time.monotonic() < end:
            time.sleep(0.01)
    assert answer(LlamaEngine(stories_plan(engine="xllamacpp")))


@pytest.mark.parametrize(
    "arguments", [["no-such-model", "hello"], [str(STORIES), "once", "--raw", "--max-tokens", "2"]]
)
def test_linnet_run_leaves_no_process_and_no_folder(arguments: list[str], folders: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys, psutil\n"
        "from linnet.cli import main\n"
        "sys.argv = ['linnet', 'run', *json.loads(sys.argv[1])]\n"
        "try:\n    main()\n"
        "finally:\n    print(len(psutil.Process().children()), file=sys.stderr)\n"
    )
    home = {**os.environ, "LINNET_HOME": str(tmp_path / "home"), "LINNET_ENGINE": "wheel"}
    home["XDG_RUNTIME_DIR"] = str(folders)
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "0", done.stderr
    assert (done.returncode == 0) == (arguments[0] == str(STORIES))
