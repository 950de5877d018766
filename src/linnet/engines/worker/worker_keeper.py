"""Keeps one worker running: starts it when first needed, starts it again after a crash, gives up after three.

Back-off 1, 2, 4 s; three crashes within 60 s and the model has failed until somebody acts (`reset`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from linnet.core.errors import EngineError, LinnetError
from linnet.engines.worker.process import Worker, WorkerSpec

BACK_OFF_S = (1.0, 2.0, 4.0)
MAX_CRASHES, CRASH_WINDOW_S = 3, 60.0


class Breaker:
    """Counts crashes. Once open it stays so until `reset`: time alone repairs no model."""

    def __init__(self) -> None:
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES)
        self.last_error: LinnetError | None = None
        self.is_open = False

    def _recent(self) -> list[float]:
        return [at for at in self._crashes if time.monotonic() - at < CRASH_WINDOW_S]

    def note(self, error: LinnetError, at: float) -> None:
        self.last_error = error
        self._crashes.append(at)
        self.is_open = self.is_open or len(self._recent()) >= MAX_CRASHES

    def rest_s(self) -> float:
        """How long to wait before the next try."""
        recent = self._recent()
        if not recent:
            return 0.0
        return max(0.0, recent[-1] + BACK_OFF_S[min(len(recent), len(BACK_OFF_S)) - 1] - time.monotonic())

    def refuse_if_open(self, label: str) -> None:
        """Raise EngineError, with what went wrong last, when there were too many crashes."""
        if self.is_open:
            why = f" Last: {self.last_error.message}" if self.last_error else ""
            raise EngineError(
                f"{label} has failed: {MAX_CRASHES} crashes within {CRASH_WINDOW_S:.0f} s.{why}",
                "Stop it and load it again, with a smaller context or another file.",
            )

    def reset(self) -> None:
        self._crashes.clear()
        self.is_open = False


class WorkerKeeper:
    """The current worker for one spec. Every method may be called from any thread."""

    def __init__(self, spec: WorkerSpec, make: Callable[[WorkerSpec], Worker] = Worker) -> None:
        self.spec = spec
        self.breaker = Breaker()
        self.starts = 0
        self._make = make
        self._lock = threading.Lock()
        self._current: Worker | None = None
        self._closed = threading.Event()

    @property
    def running(self) -> Worker | None:
        current = self._current
        return current if current is not None and current.alive else None

    def worker(self) -> Worker:
        """The running worker; starts one and waits for its load where there is none.

        Raises EngineError when the model has failed or was closed, and what Worker.load raises.
        """
        if (found := self.running) is not None:
            return found
        with self._lock:
            if (found := self.running) is not None:
                return found
            self._refuse_if_closed()
            if (crashed := self._current) is not None:
                crashed.ended.wait(10)  # it may be dying; the next one would take its memory a second time
                self._current = None
                self.breaker.note(crashed.error("stopped"), crashed.ended_at)
            self.breaker.refuse_if_open(self.spec.label)
            self._closed.wait(self.breaker.rest_s())
            self._refuse_if_closed()
            return self._start()

    def _start(self) -> Worker:
        self.starts += 1
        worker = self._make(self.spec)
        self._current = worker  # so that close() ends it also while it loads
        try:
            worker.load()
        except LinnetError as error:
            self._current = None
            self._refuse_if_closed()
            self.breaker.note(error, worker.ended_at)
            raise
        except BaseException:  # Ctrl-C: not the model's fault
            worker.kill("was interrupted")
            self._current = None
            raise
        if self._closed.is_set():
            worker.close()
            self._refuse_if_closed()
        return worker

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise EngineError(f"{self.spec.label} was stopped.", "Load it again.")

    def reset(self) -> None:
        """Forget the crashes: the user acted."""
        with self._lock:
            self.breaker.reset()

    def close(self) -> None:
        """End the worker, also one that is loading, and start none again."""
        self._closed.set()
        if (current := self._current) is not None:
            current.close()
