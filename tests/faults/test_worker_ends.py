"""However a program that runs a worker ends, no process and no folder stays: Ctrl-C at every line, and signals."""

from __future__ import annotations

import linecache
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

from linnet.engines.worker.worker_keeper import WorkerKeeper
from tests.engines.made_llama import needs_stories
from tests.engines.workers import fake_spec

pytestmark = needs_stories
NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"
ROOT = Path(__file__).parents[2]


class Interrupt:
    """Raises KeyboardInterrupt at the `at`-th line that the main thread runs in `files`."""

    def __init__(self, at: int) -> None:
        self.at, self.lines, self.where = at, 0, ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if "/linnet/engines/" not in name and not (name.endswith("threading.py") and frame.f_code.co_name == "start"):
            return None
        # Python delivers no signal between a block and its __exit__; a trace function could.
        if event == "line" and not linecache.getline(name, frame.f_lineno).lstrip().startswith("with "):
            self.lines += 1
            if self.lines == self.at:
                self.where = f"{Path(name).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self


def ours() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def folders(pid: int) -> list[Path]:
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
    return [path for root in {base, Path("/tmp")} for path in root.glob(f"linnet-worker-{pid:x}-*")]


def soon(check: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return False


def living() -> set[threading.Thread]:
    # One without a number never ran: Ctrl-C came before the system was asked for it.
    return {thread for thread in threading.enumerate() if thread.ident is not None}


def start_interrupted(at: int) -> Interrupt:
    """Load with Ctrl-C at a line."""
    keeper = WorkerKeeper(fake_spec("ok"))
    interrupt = Interrupt(at)
    sys.settrace(interrupt)
    try:
        keeper.worker()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
        keeper.close()
    return interrupt


def test_ctrl_c_at_any_line_of_a_start_leaves_nothing() -> None:
    before, kept, threads = ours(), set(folders(os.getpid())), living()
    at, step = 1, 1 if NIGHTLY else 9
    while (interrupt := start_interrupted(at)).where:
        assert soon(lambda: living() <= threads), f"{interrupt.where}: {living()}"
        assert ours() <= before, interrupt.where
        assert set(folders(os.getpid())) <= kept, interrupt.where
        at += step
    assert at > 20, at


PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from linnet.engines.worker.worker_keeper import WorkerKeeper
from tests.engines.workers import fake_spec
print("ready", flush=True)
keeper = WorkerKeeper(fake_spec("ok"))
worker = keeper.worker()
print(worker.pid, flush=True)
time.sleep(60)
"""


def program() -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(root=str(ROOT))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_program_interrupted_while_it_starts_a_worker_ends_and_leaves_nothing() -> None:
    draw = random.Random(int(os.environ.get("LINNET_SEED", "5")))
    for _ in range(100 if NIGHTLY else 2):
        parent = program()
        time.sleep(draw.uniform(0, 0.06))
        tree = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGINT)
        try:
            parent.wait(20)
        finally:
            parent.kill()
            parent.wait()
        assert soon(lambda found=tree: not any(one.is_running() for one in found))
        assert folders(parent.pid) == []
        assert parent.stdout is not None
        parent.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_folder_of_a_program_that_was_killed_is_removed_at_the_next_start(number: int) -> None:
    parent = program()
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert len(folders(parent.pid)) == 1
    parent.send_signal(number)
    parent.wait(20)
    parent.stdout.close()
    assert soon(lambda: not child.is_running())
    keeper = WorkerKeeper(fake_spec("ok"))
    keeper.worker()
    assert folders(parent.pid) == []
    keeper.close()
    assert folders(os.getpid()) == []
