"""Starting a worker's process, now or early: before anybody knows which model it will hold.

An early child imports the engine while its parent still reads the command line; the next worker takes it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from linnet.engines.worker import worker_folder
from linnet.engines.worker.worker_protocol import WARM

# Nothing else of our environment reaches a worker. HOME is its own empty folder.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
OF_ITS_OWN = {
    "MALLOC_ARENA_MAX": "2",  # each arena reserves 64 MiB of address space
    # Threads that wait for each other by spinning starve themselves on a busy machine: with two threads on two busy
    # cores libgomp's default wrote 1 to 4 tokens a second, this 20, 1,000 spins 30. Alone on the machine 1,000 spins
    # are 3 to 9 % slower than this (docs/log.md).
    "GOMP_SPINCOUNT": "10000",
    "GGML_NO_BACKTRACE": "1",  # else a failed assertion starts a debugger on the process
}
Life = Callable[["Early"], None]


def child_environment(folder: Path) -> dict[str, str]:
    """The allow-listed variables, a home that is empty, and OF_ITS_OWN."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return {**kept, **OF_ITS_OWN, "HOME": str(folder / "empty")}


def spawn(folder: Path, command: tuple[str, ...] = (), *, warm: bool = False) -> subprocess.Popen[bytes]:
    """Make the folder and start the child, or `command` in its place. Raises OSError.

    The kernel kills the child when the thread that called this ends.
    """
    worker_folder.sweep()
    worker_folder.make(folder)
    program = list(command) or [sys.executable, "-I", str(Path(__file__).with_name("worker_main.py"))]
    return subprocess.Popen(
        [*program, str(os.getpid()), *([WARM] if warm else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(folder),
        cwd=folder / "empty",
        start_new_session=True,
    )


@dataclass(slots=True, eq=False)
class Early:
    """A child that waits for its worker. `process` is there once its thread has started it;
    None: it could not."""

    folder: Path
    warm: bool
    process: subprocess.Popen[bytes] | None = None
    owner: int = field(default_factory=os.getpid)
    _life: queue.SimpleQueue[Life] = field(default_factory=queue.SimpleQueue)

    def live(self) -> None:
        """The thread of the child: starts it, and gives itself to the worker that takes it."""
        try:
            self.process = spawn(self.folder, warm=self.warm)
        except OSError:  # the worker tries again, and tells
            shutil.rmtree(self.folder, ignore_errors=True)
        self._life.get()(self)

    def take(self, life: Life) -> None:
        """Run `life` on the child's thread, in which it may end the child."""
        self._life.put(life)

    def end(self) -> None:
        """Kill the child nobody took, and remove its folder."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with self.process:  # closes the pipes
                pass
        shutil.rmtree(self.folder, ignore_errors=True)


_waiting: list[Early] = []  # appended and popped by single operations, which need no lock


def start_early(*, warm: bool) -> None:
    """Start a child for the next worker of this process. `warm`: it will be the wheel's. Waits for nothing."""
    early = Early(worker_folder.new_folder(), warm)
    with contextlib.suppress(RuntimeError):  # no thread is left: then it starts later
        threading.Thread(target=early.live, name="linnet-worker", daemon=True).start()
        _waiting.append(early)


def take_early() -> Early | None:
    """The child that was started early, if there is one that nobody took."""
    with contextlib.suppress(IndexError):
        found = _waiting.pop()
        return found if found.owner == os.getpid() else None  # a fork has the list, and not the thread
    return None


def end_early() -> None:
    """End the child that nobody took, and return when it has ended."""
    while (early := take_early()) is not None:
        ended = threading.Event()

        def life(found: Early, ended: threading.Event = ended) -> None:
            found.end()
            ended.set()

        early.take(life)
        ended.wait(5)
