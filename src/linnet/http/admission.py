"""Who may enter: a few requests run, some wait, the rest are told at once to come back. Knows not what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from linnet.http.errors import ServerBusy

Result = TypeVar("Result")


class Admission:
    """Runs work in threads: at most `running` pieces at a time, with at most `waiting` more in the queue."""

    def __init__(self, running: int = 2, waiting: int = 64) -> None:
        self.running = running
        self.waiting = waiting
        self.inside = 0  # running and waiting together
        self._at_work: set[object] = set()
        self._limiter: CapacityLimiter | None = None

    @property
    def busy(self) -> bool:
        """Whether a thread is at work, be it on something that nobody waits for any more."""
        return bool(self._at_work)

    @property
    def at_work(self) -> int:
        """How many threads are at work."""
        return len(self._at_work)

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work()`. Raises ServerBusy when the queue is full, and whatever `work` raises."""
        if self.inside >= self.running + self.waiting:
            raise ServerBusy("The server is busy, please try again.")
        if self._limiter is None:
            self._limiter = CapacityLimiter(self.running)
        self.inside += 1
        try:
            # Given up only when the server's drain is over: a thread cannot be stopped.
            return await to_thread.run_sync(self._noted, work, limiter=self._limiter, abandon_on_cancel=True)
        finally:
            self.inside -= 1

    def _noted(self, work: Callable[[], Result]) -> Result:
        token = object()
        self._at_work.add(token)
        try:
            return work()
        finally:
            self._at_work.discard(token)
