"""One worker process as its parent sees it: started, loaded, watched, and ended with everything it left.

Knows the control messages and no HTTP. Restarting is worker_keeper's. See worker_main for the child.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from linnet.core.errors import EngineError, LinnetError, ResourceMissing
from linnet.engines.worker import worker_folder
from linnet.engines.worker.spawn import Early, end_early, spawn, take_early
from linnet.engines.worker.worker_protocol import PROTOCOL, ProtocolError, read_message, write_message

HELLO_S = 10.0
LOAD_S, LOAD_S_PER_GB = 60.0, 10.0
SILENCE_S = 15.0  # seven heartbeats: a machine that swaps is slow, not dead
LOG_LINES, LOG_CHARACTERS = 60, 400
SOCKET_NAME = "engine.sock"  # llama.cpp takes a host for a path when it ends in .sock
_OUT_OF_MEMORY = (
    "bad_alloc",
    "insufficient memory",
    "failed to allocate",
    "unable to allocate",
    "Resource temporarily unavailable",
)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What to run. `options` are worker_protocol.OPTIONS; sizes are in bytes; `label` names the model in errors.

    `engine` is "xllamacpp" or the path of a `llama-server` binary. `command` replaces the child, for tests.
    """

    label: str
    model: Path
    options: Mapping[str, Any]
    engine: str = "xllamacpp"
    weights_bytes: int = 0
    address_space_bytes: int = 0
    command: tuple[str, ...] = ()
    load_s: float = 0.0
    hello_s: float = HELLO_S
    silence_s: float = SILENCE_S

    @property
    def load_deadline_s(self) -> float:
        return self.load_s or LOAD_S + LOAD_S_PER_GB * self.weights_bytes / 1e9


@dataclass(slots=True)
class _Facts:
    """What the child said of itself."""

    network: str = ""
    build: str = ""
    rss_bytes: int = 0
    heard: float = field(default_factory=time.monotonic)


# Workers whose thread runs. Added and removed by single operations on a set, which need no lock.
_running: set[Worker] = set()


class Worker:
    """A process with one loaded model. `socket` and `key` open its door while `alive`; nothing runs before `load`."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.key = secrets.token_hex(24)
        self._early = None if spec.command else take_early()
        self.folder = self._early.folder if self._early else worker_folder.new_folder()
        self.socket = self.folder / SOCKET_NAME
        self.ended = threading.Event()
        self.exit_reason = ""
        self.facts = _Facts()
        self.load_ms = 0.0
        self.ended_at = 0.0
        self._owner = os.getpid()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._ready = False
        self._begun = False
        self._lock = threading.Lock()
        self._killed_for = ""
        self._not_started: OSError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_thread = threading.Thread(target=self._read_log, name="linnet-worker-log", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it takes requests: not before it is loaded, nor once somebody ended it."""
        return self._ready and not self._killed_for and not self.ended.is_set()

    @property
    def pid(self) -> int:
        """The child's process number; 0 before there was one."""
        return self._process.pid if self._process else 0

    def load(self) -> None:
        """Start the child, have it load the model, return when its socket is open.

        Raises ResourceMissing when it ran out of memory, EngineError otherwise; then the child is gone. Ctrl-C in
        here leaves nothing behind: the process, its folder and its end are the business of a thread of its own.
        """
        try:
            self._begin()
            self._load()
        except LinnetError:
            raise
        except BaseException:
            self.kill("was interrupted")
            raise

    def _begin(self) -> None:
        with self._lock:
            if self._killed_for:
                raise EngineError(f"{self.spec.label} was stopped.", "Load it again.")
            self._begun = True
        if (early := self._early) is not None:
            early.take(lambda found: self._live(found.process))
            return
        try:
            threading.Thread(target=self._live, name="linnet-worker", daemon=True).start()
        except RuntimeError as error:
            self._begun = False
            raise ResourceMissing(f"No thread for the engine: {error}.", "Close other programs.") from error

    def _load(self) -> None:
        started = time.monotonic()
        hello = self._answer("hello", self.spec.hello_s)
        if hello["protocol"] != PROTOCOL:
            raise self._failure(f"speaks protocol {hello['protocol']}, need {PROTOCOL}")
        self.facts.network = hello["network"][:LOG_CHARACTERS]
        message = {
            "type": "load",
            "engine": self.spec.engine,
            "model": str(self.spec.model),
            "socket": str(self.socket),
            "key": self.key,
            "address_space_bytes": self.spec.address_space_bytes,
            "options": dict(self.spec.options),
        }
        self._send(message)
        ready = self._answer("ready", self.spec.load_deadline_s)
        self.facts.build, self.facts.rss_bytes = ready["build"][:LOG_CHARACTERS], ready["rss_bytes"]
        self.facts.heard = time.monotonic()
        self.load_ms = 1000 * (self.facts.heard - started)
        self._ready = True

    def _live(self, early: subprocess.Popen[bytes] | None = None) -> None:
        """The child's life, in the thread that starts it, or started it early, and stays until it has ended.

        Python delivers Ctrl-C to the main thread only, and the kernel kills a child when the *thread* that made it
        ends (PR_SET_PDEATHSIG), while a server's threads come and go.
        """
        _running.add(self)
        try:
            if early is not None or not self._killed_for:
                process = early or spawn(self.folder, self.spec.command)
                with self._lock:
                    self._process = process
                    late = self._killed_for
                if late:
                    self.kill(late)
                self._log_thread.start()
                threading.Thread(target=self._watch, name="linnet-worker-watch", daemon=True).start()
                self._read_control()
        except (OSError, RuntimeError) as error:  # no memory, no process number, no thread left
            self._not_started = error if isinstance(error, OSError) else OSError(str(error))
        finally:
            self._finish()
            _running.discard(self)

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is gone: the reading side says why
            write_message(self._pipe("stdin"), message)

    def _pipe(self, name: str) -> BinaryIO:
        found: BinaryIO | None = getattr(self._process, name, None)
        if found is None:
            raise BrokenPipeError(f"no {name}")
        return found

    def _answer(self, wanted: str, deadline_s: float) -> dict[str, Any]:
        try:
            message = self._answers.get(timeout=deadline_s)
        except queue.Empty:
            raise self._failure(f"gave no {wanted!r} within {deadline_s:.0f} s") from None
        if message["type"] == wanted:
            return message
        if message["type"] == "failed":
            raise self._failure(f"refused to load: {message['message'][:LOG_CHARACTERS]}")
        raise self._failure("" if message["type"] == "ended" else f"said {message['type']!r} instead of {wanted!r}")

    def _failure(self, why: str) -> LinnetError:
        self.kill(why)
        self.ended.wait(10)
        if (error := self._not_started) is not None:
            return ResourceMissing(f"The engine's process could not be started: {error}.", "Close other programs.")
        return self.error("could not load the model")

    def error(self, doing: str) -> LinnetError:
        """What to raise for this ended worker: the reason, and the engine's last lines as the hint."""
        tail = " | ".join(list(self._log)[-4:])
        hint = f"The engine's last lines: {tail}" if tail else ""
        if any(mark in line for line in self._log for mark in _OUT_OF_MEMORY):
            limit = self.spec.address_space_bytes / 2**20
            return ResourceMissing(
                f"{self.spec.label}: the engine {doing}: it ran out of memory (limit {limit:.0f} MiB).",
                f"Use a smaller context, fewer slots or a smaller quantisation. {hint}",
            )
        if "SIGABRT" in self.exit_reason and self.spec.address_space_bytes:
            # Native code often aborts without a word when the limit stops it.
            hint = f"Perhaps its limit of {self.spec.address_space_bytes / 2**20:.0f} MiB was too small. {hint}".strip()
        return EngineError(f"{self.spec.label}: the engine {doing}: it {self.exit_reason or 'is not running'}.", hint)

    def kill(self, why: str) -> None:
        """End the whole process group now. The first reason given is the one reported."""
        with self._lock:
            self._killed_for = self._killed_for or why
            # Not after the exit was collected: the number may be somebody else's by then.
            if self._process is not None and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Tell the child to go, kill what stays, remove its folder. Safe to call again, and before `load`."""
        with self._lock:
            self._killed_for = self._killed_for or "was closed"
            if not self._begun:
                if self._early is not None and not self.ended.is_set():
                    self._early.take(Early.end)
                self.ended.set()
        if not self.ended.is_set():
            self._send({"type": "stop"})
            if not self.ended.wait(1.0):
                self.kill("was closed")
                self.ended.wait(10)

    def _read_control(self) -> None:
        stream = self._pipe("stdout")
        owed = ["hello", "ready"]  # each comes once: a child gone wild must not fill our memory
        try:
            while message := read_message(stream):
                if message["type"] == "heartbeat":
                    self.facts.rss_bytes, self.facts.heard = message["rss_bytes"], time.monotonic()
                    continue
                if not owed or message["type"] not in (owed[0], "failed"):
                    raise ProtocolError(f"{message['type']!r} out of turn")
                owed = owed[1:] if message["type"] == owed[0] else []
                self._answers.put(message)
        except ProtocolError as error:
            self._killed_for = self._killed_for or f"broke the protocol ({error})"
        except (OSError, ValueError):
            pass

    def _finish(self) -> None:
        """The child closed its pipe: make sure that the group is gone, say why, and clean up."""
        code = None
        if (process := self._process) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with self._lock:
                code = process.wait()
        self.exit_reason = self._killed_for or ("could not be started" if code is None else _describe(code))
        for name in ("stdin", "stdout"):
            with contextlib.suppress(OSError):
                self._pipe(name).close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._log_thread.ident is not None:
            self._log_thread.join(1.0)  # its last lines belong to the error
        else:
            with contextlib.suppress(OSError):
                self._pipe("stderr").close()
        self.ended_at = time.monotonic()
        self.ended.set()
        self._answers.put({"type": "ended"})

    def _read_log(self) -> None:
        """Keep the last lines of the child's stderr. The engine runs at a verbosity that prints no prompt."""
        stream = self._pipe("stderr")
        with contextlib.suppress(OSError, ValueError), stream:
            while line := stream.readline(4096):
                if text := line.decode(errors="replace").strip():
                    self._log.append(text[:LOG_CHARACTERS])

    def _watch(self) -> None:
        """A heartbeat is owed only once the model is loaded: loading holds the interpreter's lock in the child."""
        step = min(1.0, self.spec.silence_s / 4)
        while not self.ended.wait(step):
            silent = time.monotonic() - self.facts.heard
            if self._ready and silent > self.spec.silence_s:
                self.kill(f"sent no heartbeat for {silent:.0f} s")


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    more = ": the system may have run out of memory" if -code == signal.SIGKILL else ""
    return f"was ended by signal {-code} ({name}){more}"


@atexit.register
def close_all() -> None:
    """End every worker of this process; not those of the process that forked it."""
    mine = [worker for worker in list(_running) if worker._owner == os.getpid()]
    end_early()
    for worker in mine:
        worker.kill("was closed")
    for worker in mine:
        worker.ended.wait(2)
