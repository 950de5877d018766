"""The one generation loop of the server: admission, slots, threads, cancelling, slow readers, deadlines.

Knows no dialect: requests go in as GenerateRequests, events come out as Pieces and Generations.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

from linnet.core.errors import InputError, LinnetError, ResourceMissing
from linnet.core.settings import get_number
from linnet.engines.generation import Cancel, GenerateRequest, Generation, Piece
from linnet.engines.pool import EnginePool, Lease, PoolEngine
from linnet.http.errors import ClientGone, Problem, Refused, ServerBusy, describe

Result = TypeVar("Result")
Item = tuple[int, Piece | Generation]  # which of the requests, and its next event
Build = Callable[[PoolEngine], Sequence[GenerateRequest]]


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """How many may wait for a slot, how far a reader may fall behind, and how long one request may take."""

    waiting: int = 64
    events: int = 256
    stalled_seconds: float = 30.0
    request_seconds: float = 600.0


class Generations:
    """Every generation that runs or waits. Lives on one event loop; engines are used from threads."""

    def __init__(self, pool: EnginePool, limits: GenerationLimits | None = None) -> None:
        self.pool = pool
        self.limits = limits or GenerationLimits()
        self.inside = 0  # running and waiting together
        self._threads = ThreadPoolExecutor(2 * self.limits.waiting + 128, "linnet-generate")
        self._slots: dict[int, _Slots] = {}

    def ask(self, model: str, build: Build, *, keep_alive_s: float | None = None, param: str = "messages") -> Answering:
        """An answer that is about to begin. `build` makes the requests once the engine is there; they run one after
        another on one slot. `param` is the field that errors of the input are about.

        Raises ServerBusy when the queue is full.
        """
        if self.inside >= self.limits.waiting + self._capacity():
            raise ServerBusy("The server is busy, please try again.")
        return Answering(self, model, build, keep_alive_s, param)

    def _capacity(self) -> int:
        return max(sum(slots.count for slots in self._slots.values()), int(get_number("LINNET_SLOTS")), 1)

    def slots(self, engine: PoolEngine) -> _Slots:
        return self._slots.setdefault(id(engine), _Slots(engine.slots))

    def forget(self, engine: PoolEngine) -> None:
        """Drop the slots that nobody uses: another engine may get the same id."""
        if (slots := self._slots.get(id(engine))) is not None and not slots.users:
            del self._slots[id(engine)]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Slots:
    """The slots of one engine, given in the order of asking."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.users = 0
        self.free = asyncio.Semaphore(count)


class Answering:
    """One request from its admission to its end. Iterate `batches`; `stop` may be called at any time.

    `loaded_ms` and `prompt_tokens` (one number a request that has begun) are there with the first batch.
    """

    def __init__(self, host: Generations, model: str, build: Build, keep_alive_s: float | None, param: str) -> None:
        self.loaded_ms = 0.0
        self._started_ns = time.monotonic_ns()
        self.prompt_tokens: list[int] = []
        self._host, self._model, self._build, self._param = host, model, build, param
        self._keep_alive_s = keep_alive_s
        self._cancel = Cancel()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._error: Exception | None = None
        self._done = self._told = self._leased = False
        self._waiting_for_slot: asyncio.Task[Literal[True]] | None = None
        host.inside += 1
        seconds = host.limits.request_seconds
        late = Problem(503, f"The request took longer than {seconds:g} seconds.", "request_timeout")
        self._deadline = self._loop.call_later(seconds, self.stop, Refused(late))
        self._task = self._loop.create_task(self._work())

    async def batches(self) -> AsyncIterator[list[Item]]:
        """Events as they come, several at once where they came so. Raises what ended the answer before its end."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            with self._changed:
                items, self._told = list(self._items), False
                self._items.clear()
                error, done = self._error, self._done
                self._changed.notify_all()
            if items:
                yield items
            if error is not None:
                raise error
            if done:
                return

    def stop(self, error: LinnetError) -> None:
        """End it with this error, from the event loop. Does nothing when it is over."""
        self._finish(error)
        self._cancel.cancel()
        if self._waiting_for_slot is not None:
            self._waiting_for_slot.cancel()

    @property
    def is_stopped(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancel.cancelled

    @property
    def elapsed_ns(self) -> int:
        return time.monotonic_ns() - self._started_ns

    async def _work(self) -> None:
        lease: Lease | None = None
        try:
            lease = await self._in_thread(self._get_lease)
            if not self._cancel.cancelled:
                await self._in_slot(lease)
        except asyncio.CancelledError:
            pass  # by `stop`, which has said why
        except Exception as error:  # whoever waits must hear of it, whatever it is
            self._finish(self._explained(error))
        finally:
            if lease is not None:
                await self._in_thread(lease.close)
            self._host.inside -= 1
            self._deadline.cancel()
            self._finish(None)

    def _get_lease(self) -> Lease:
        started = time.monotonic()
        lease = self._host.pool.lease(self._model, self._keep_alive_s)
        self._leased = True
        self.loaded_ms = 1000 * (time.monotonic() - started)
        return lease

    async def _in_slot(self, lease: Lease) -> None:
        slots = self._host.slots(lease.engine)
        slots.users += 1
        try:
            waiting = self._waiting_for_slot = self._loop.create_task(slots.free.acquire())
            await waiting
            self._waiting_for_slot = None
            try:
                await self._in_thread(partial(self._generate, lease))
            finally:
                slots.free.release()
        finally:
            slots.users -= 1
            self._host.forget(lease.engine)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await self._loop.run_in_executor(self._host._threads, work)

    def _generate(self, lease: Lease) -> None:
        engine = lease.engine
        for index, request in enumerate(self._build(engine)):
            if self._cancel.cancelled:
                return
            ids = tuple(engine.prompt_ids(request))
            self.prompt_tokens.append(len(ids))
            counted = replace(request, messages=None, prompt=None, token_ids=ids)
            with closing(engine.generate(lease.adapted(counted), self._cancel)) as events:  # type: ignore[type-var]
                for event in events:
                    self._put((index, event))

    def _put(self, item: Item) -> None:
        """Hand over an event. Waits while the reader is too far behind, and gives up on one that stays there."""
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: len(self._items) < self._host.limits.events or self._cancel.cancelled,
                self._host.limits.stalled_seconds,
            )
            if has_room:
                self._items.append(item)
                self._tell()
                return
        self._cancel.cancel()
        raise ClientGone("The client reads too slowly.")

    def _finish(self, error: Exception | None) -> None:
        with self._changed:
            if not self._done:
                self._error, self._done = error, True
                self._tell()
            self._changed.notify_all()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._ready.set)

    def _explained(self, error: Exception) -> Exception:
        """What a client may be told of the machine's own limits, and which field an error of the input is about."""
        if isinstance(error, ResourceMissing):
            message = str(error).replace("\n", " ")
            return Refused(Problem(503, message, "resource_missing", headers={"retry-after": "5"}))
        if isinstance(error, InputError):
            return Refused(describe(error, self._param if self._leased else "model"))
        return error
