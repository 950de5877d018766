"""The one generation loop of the server: admission, slots, threads, cancelling, slow readers, deadlines.

Knows no dialect: requests go in as GenerateRequests, events come out as Pieces and Generations.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, cast

from linnet.core.errors import InputError, LinnetError, ResourceMissing
from linnet.core.records import Preset
from linnet.core.settings import get_number
from linnet.engines.llama.pool import EnginePool, Lease
from linnet.engines.llama.pool_entries import PoolEngine
from linnet.engines.requests.generation import Cancel, FieldError, GenerateRequest, Generation, Piece
from linnet.http.access import CALLER
from linnet.http.errors import ClientGone, Problem, Refused, ServerBusy, describe
from linnet.http.metrics import Metrics
from linnet.http.presets import Adopting, adopt
from linnet.http.slots import Slots
from linnet.http.tracing import CURRENT

RETRY_MOST_S = 30
Result = TypeVar("Result")
Item = tuple[int, Piece | Generation]  # which of the requests, and its next event
Build = Callable[[PoolEngine], Sequence[GenerateRequest]]
# A model's name and a context: inside the block the name means the model with that context, and so it stays.
Widen = Callable[[str, int], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """How many may wait for a slot, how far a reader may fall behind, and how long one request may take."""

    waiting: int = 64
    events: int = 256
    stalled_seconds: float = 30.0
    request_seconds: float = 600.0
    stop_seconds: float = 2.0  # that a stopped answer may take to give its engine back before its reader hears why


class Generations:
    """Every generation that runs or waits. Lives on one event loop; engines are used from threads."""

    def __init__(self, pool: EnginePool, limits: GenerationLimits | None = None) -> None:
        self.pool = pool
        self.limits = limits or GenerationLimits()
        self.inside = 0  # running and waiting together
        self._threads = ThreadPoolExecutor(2 * self.limits.waiting + 128, "linnet-generate")
        self._slots: dict[int, Slots] = {}
        self._slot_s = 0.0  # how long answers hold a slot, the last ones counting most
        self.metrics = Metrics()
        self.widen: Widen | None = None
        self.preset: Callable[[str], Preset | None] = lambda _: None  # of a model's name

    @property
    def running(self) -> int:
        """How many hold a slot."""
        return sum(slots.taken for slots in self._slots.values())

    def ask(
        self,
        model: str,
        build: Build,
        *,
        keep_alive_s: float | None = None,
        param: str = "messages",
        context: int | None = None,
    ) -> Answering:
        """An answer that is about to begin. `build` makes the requests once the engine is there; they run one after
        another on one slot. `param` is the field that errors of the input are about. With `context` the model is
        loaded with at least that many tokens of context.

        Raises ServerBusy when the queue is full.
        """
        self.refuse_if_full()
        return Answering(self, model, build, keep_alive_s, param, context=context)

    def refuse_if_full(self) -> None:
        """Raise ServerBusy when no further request may wait."""
        capacity = self._capacity()
        if self.inside >= self.limits.waiting + capacity:
            # By then about a quarter of the queue has moved on. Who comes back each second costs more than an answer.
            quarter = math.ceil(self.limits.waiting / 4 * self._slot_s / capacity)
            raise ServerBusy("The server is busy, please try again.", min(max(1, quarter), RETRY_MOST_S))

    def note_slot(self, seconds: float) -> None:
        """An answer held its slot for so long."""
        self._slot_s += (seconds - self._slot_s) / 8

    def _capacity(self) -> int:
        return max(sum(slots.count for slots in self._slots.values()), int(get_number("LINNET_SLOTS")), 1)

    def slots(self, engine: PoolEngine) -> Slots:
        return self._slots.setdefault(id(engine), Slots(engine.slots))

    def forget(self, engine: PoolEngine) -> None:
        """Drop the slots that nobody uses: another engine may get the same id."""
        if (slots := self._slots.get(id(engine))) is not None and not slots.users:
            del self._slots[id(engine)]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Answering:
    """One request from its admission to its end. Iterate `batches`; `stop` may be called at any time.

    `loaded_ms` and `prompt_tokens` (one number a request that has begun) are there with the first batch. The engine is
    given back before the last event, or the error, is handed over: whoever has a whole answer finds its model free.
    """

    def __init__(
        self,
        host: Generations,
        model: str,
        build: Build,
        keep_alive_s: float | None,
        param: str,
        *,
        context: int | None = None,
    ) -> None:
        self.loaded_ms = 0.0
        self._caller, self._context, self._draft = CALLER.get(), context, CURRENT.get()
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
        self._stopped_by: Exception | None = None
        self._waited_ms = 0.0
        self._lease: Lease | None = None
        self._done = self._told = self._leased = self._over = False
        self._waiting_for_slot: asyncio.Task[None] | None = None
        self._late: asyncio.TimerHandle | None = None
        if self._draft is not None:
            self._draft.model = model
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
        if self._done or self._stopped_by is not None:
            return
        self._stopped_by = error
        self._late = self._loop.call_later(self._host.limits.stop_seconds, self._finish, error)
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
        last: Item | None = None
        error: Exception | None = None
        try:
            lease = self._get_ready_lease()
            if lease is None:
                lease = await self._in_thread(self._get_lease)
            if not self._cancel.cancelled:
                last = await self._in_slot(lease)
        except asyncio.CancelledError:  # by `stop`, which has said why, or with the loop
            self._cancel.cancel()
        except Exception as failure:  # whoever waits must hear of it, whatever it is
            error = self._explained(failure)
        finally:
            await self._give_back()
            self._host.inside -= 1
            self._deadline.cancel()
            if self._late is not None:
                self._late.cancel()
            self._finish(self._stopped_by or error, last)

    def _get_ready_lease(self) -> Lease | None:
        """The lease of a loaded engine, which needs no thread: two changes of threads less before the first token."""
        lease = self._host.pool.lease_ready(self._model, self._keep_alive_s, self._context or 0)
        return None if lease is None else self._hold(lease, 0.0)

    def _get_lease(self) -> Lease:
        started = time.monotonic()
        lease = self._wide_enough(self._host.pool.lease(self._model, self._keep_alive_s))
        return self._hold(lease, 1000 * (time.monotonic() - started))

    def _hold(self, lease: Lease, loaded_ms: float) -> Lease:
        with self._changed:
            if not self._over:
                self._lease, self._leased, self.loaded_ms = lease, True, loaded_ms
                return lease
        lease.close()
        raise ClientGone

    def _wide_enough(self, lease: Lease) -> Lease:
        """The lease, or one of the model loaded again with the context that is wanted. Raises FieldError."""
        wished, loaded = self._context or 0, lease.engine.context
        if wished <= loaded:
            return lease
        lease.close()
        try:
            if self._host.widen is not None:
                with self._host.widen(self._model, wished):
                    return self._host.pool.lease(self._model, self._keep_alive_s)
        except (InputError, ResourceMissing) as error:
            why = f" It cannot be loaded with more: {error.message}"
        else:
            why = ""
        said = f"num_ctx is {wished}; the model is loaded with a context of {loaded}.{why}"
        raise FieldError("options.num_ctx", said, "Ask for at most that.")

    async def _give_back(self) -> None:
        """End the lease, also when the threads or the loop are shut down meanwhile."""
        with self._changed:
            lease, self._lease, self._over = self._lease, None, True
        if lease is not None:
            try:
                await asyncio.shield(self._in_thread(lease.close))
            except (RuntimeError, asyncio.CancelledError):  # no thread is left to do it
                lease.close()

    async def _in_slot(self, lease: Lease) -> Item | None:
        slots = self._host.slots(lease.engine)
        slots.users += 1
        try:
            if not slots.take_free():
                waiting = self._waiting_for_slot = self._loop.create_task(slots.take(self._caller))
                await waiting
                self._waiting_for_slot = None
            started = time.monotonic()
            try:
                return await self._in_thread(partial(self._generate, lease))
            finally:
                slots.give_back()
                self._host.note_slot(time.monotonic() - started)
        finally:
            slots.users -= 1
            self._host.forget(lease.engine)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await self._loop.run_in_executor(self._host._threads, work)

    def _generate(self, lease: Lease) -> Item | None:
        """Hand over every event but the last, which is returned: the engine is to be free before it is told."""
        engine, held = lease.engine, None
        preset = self._host.preset(self._model)
        self._waited_ms = self.elapsed_ns / 1e6
        asked = self._build(engine if preset is None else cast(PoolEngine, Adopting(engine, preset)))
        for index, request in enumerate(adopt(one, preset, number) for number, one in enumerate(asked)):
            if self._cancel.cancelled:
                return None
            if held is not None:
                self._put(held)
            ids = tuple(engine.prompt_ids(request))
            self.prompt_tokens.append(len(ids))
            counted = replace(request, messages=None, prompt=None, suffix=None, token_ids=ids)
            with closing(engine.generate(lease.adapted(counted), self._cancel)) as events:  # type: ignore[type-var]
                for event in events:
                    if isinstance(event, Generation):
                        held = (index, event)
                        self._note(request, event, self._waited_ms if index == 0 else 0.0)
                    else:
                        self._put((index, event))
        return held

    def _note(self, request: GenerateRequest, end: Generation, waited_ms: float) -> None:
        self._host.metrics.generated(self._model, end, waited_ms)
        if self._draft is not None:
            self._draft.generated(request, end, waited_ms)

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

    def _finish(self, error: Exception | None, last: Item | None = None) -> None:
        with self._changed:
            if not self._done:
                if last is not None and error is None:
                    self._items.append(last)
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
            field = error.field if isinstance(error, FieldError) else self._param
            return Refused(describe(error, field if self._leased else "model"))
        return error
