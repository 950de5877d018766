"""The engines that are loaded: one load for many first requests, leases, keep-alive, eviction, hot swap.

Knows no model format: a `resolve` function says what a name means now, and the engine is whatever it opens. Methods
block; a server calls them from threads.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from linnet.core.errors import EngineError, InputError, LinnetError, ModelBusy, NotFound, ResourceMissing
from linnet.core.settings import get_number
from linnet.engines.llama.pool_entries import Entry, Loaded, PoolEngine, Source, mark_ended, row
from linnet.engines.requests.generation import GenerateRequest
from linnet.engines.worker.worker_keeper import Breaker

MAX_KEEP_ALIVE_S = 7 * 86_400.0
ROOM_WAIT_S = 60.0  # for a busy model to become idle, when its memory is needed


class Lease:
    """The right to use an engine until `close`. `engine` stays the same, also when the name gets a new version."""

    def __init__(self, pool: EnginePool, entry: Entry, engine: PoolEngine, adapter: str) -> None:
        self.engine = engine
        self.adapter = adapter
        self._pool, self._entry = pool, entry
        self._open = True

    def adapted(self, request: GenerateRequest) -> GenerateRequest:
        """The request with the leased name's own adapter switched on."""
        if not self.adapter or self.adapter in dict(request.adapters):
            return request
        return replace(request, adapters=(*request.adapters, (self.adapter, 1.0)))

    def close(self) -> None:
        """Give it back; a second time, from whatever thread, changes nothing."""
        with self._pool._changed:
            was_open, self._open = self._open, False
        if was_open:
            self._pool._release(self._entry)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def keep_alive(seconds: float) -> float:
    """A keep-alive within the limits: 0 unloads at once, a negative one lasts until the memory is needed, and more
    than seven days are seven days. Raises InputError for what is no number."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or math.isnan(seconds):
        raise InputError(f"keep_alive is {seconds!r}: it must be a number of seconds.")
    return math.inf if seconds < 0 else min(float(seconds), MAX_KEEP_ALIVE_S)


class EnginePool:
    """Engines within `budget_bytes` of planned memory. `resolve` says what a name means now, or raises NotFound; it is
    called under the pool's lock, so it must be quick and must not call the pool."""

    def __init__(
        self, budget_bytes: int, resolve: Callable[[str], Source], *, room_wait_s: float = ROOM_WAIT_S
    ) -> None:
        self.budget_bytes = budget_bytes
        self._resolve = resolve
        self._room_wait_s = room_wait_s
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._breakers: dict[str, Breaker] = {}
        self._reaper: threading.Thread | None = None
        self._closed = False
        self.loads = 0

    def lease(self, name: str, keep_alive_s: float | None = None) -> Lease:
        """The engine for a name, loaded when it is not, for as long as the lease is held.

        Raises NotFound, ResourceMissing with what would fit, EngineError when it cannot be loaded or has failed.
        """
        seconds = keep_alive(get_number("LINNET_KEEP_ALIVE_S") if keep_alive_s is None else keep_alive_s)
        entry, source, is_mine = self._join(name)
        if is_mine:
            self._load(entry, name)
        with self._changed:
            if entry.error is not None:
                raise entry.error
            self._retire_older(name, entry)
            entry.keep_alive_s = seconds
            if entry.engine is None:
                raise EngineError(f"{name} was stopped while it was loaded.", "Ask again.")
            return Lease(self, entry, entry.engine, source.adapter)

    def lease_ready(self, name: str, keep_alive_s: float | None = None, context: int = 0) -> Lease | None:
        """`lease` where the engine is loaded, with at least this context, and nothing has to be waited for; None
        elsewhere, also for errors."""
        with self._changed, suppress(LinnetError):
            found = None if self._closed else self._find(self._resolve(name).key)
            if found is not None and found.state == "ready" and name in found.names and found.engine is not None:
                # The lock is this thread's already.
                return self.lease(name, keep_alive_s) if context <= found.engine.context else None
        return None

    def _join(self, name: str) -> tuple[Entry, Source, bool]:
        """The entry for a name with one more lease on it, and whether the caller must load it.

        The name is resolved under the lock, so that the order of entries is the order of versions.
        """
        with self._changed:
            self._refuse_if_closed()
            source = self._resolve(name)
            while (found := self._find(source.key)) is None or found.state != "ready":
                if found is None:
                    entry = Entry(source, {name}, leases=1)
                    self._entries.append(entry)
                    return entry, source, True
                found.leases += 1
                self._changed.wait_for(lambda one=found: one.state != "loading")  # type: ignore[misc]
                if found.error is not None or found.state == "ready":
                    found.names.add(name)
                    return found, source, False
                found.leases -= 1
                self._refuse_if_closed()
            found.leases += 1
            found.names.add(name)
            return found, source, False

    def _find(self, key: str) -> Entry | None:
        """The entry that new leases join: not one that is on its way out."""
        return next((e for e in self._entries if e.source.key == key and not e.retired and e.state != "closing"), None)

    def _load(self, entry: Entry, name: str) -> None:
        """Plan, make room, start. What fails is told to everybody who waits, and the entry is gone."""
        breaker = self._breakers.setdefault(entry.source.key, Breaker())
        try:
            breaker.refuse_if_open(name)
            engine = entry.source.open(self.budget_bytes)
            self._make_room(entry, engine, name)
            with self._changed:
                if entry.stopped or self._closed:
                    raise EngineError(f"{name} was stopped while it was loaded.", "Ask again.")
                self.loads += 1
                entry.engine = engine  # so that stop() can end it while it loads
            try:
                engine.start()
            except BaseException as error:
                engine.close()
                if isinstance(error, LinnetError):
                    breaker.note(error, time.monotonic())
                raise
        except LinnetError as error:
            self._settle(entry, None, error)
        except BaseException as error:
            self._settle(entry, None, EngineError(f"{name} could not be loaded: {type(error).__name__}."))
            raise
        else:
            self._settle(entry, engine, None)

    def _settle(self, entry: Entry, engine: PoolEngine | None, error: LinnetError | None) -> None:
        with self._changed:
            entry.error = error
            entry.engine = engine
            if engine is None:
                entry.state = "closing"
                self._entries.remove(entry)
            else:
                entry.state = "ready"
                self._start_reaper()
            self._changed.notify_all()

    def _make_room(self, entry: Entry, engine: PoolEngine, name: str) -> None:
        """Reserve the engine's plan in the budget: close idle engines, the longest idle first, or wait for one."""
        need, deadline = engine.planned_bytes, time.monotonic() + self._room_wait_s
        while True:
            with self._changed:
                self._refuse_if_closed()
                used = sum(one.reserved for one in self._entries)
                if used + need <= self.budget_bytes:
                    entry.reserved = need
                    return
                idle = min((e for e in self._entries if e.is_idle), key=lambda e: e.idle_since, default=None)
                if idle is None:
                    if not self._changed.wait(timeout=max(0.0, deadline - time.monotonic())):
                        raise self._no_room(name, need, used)
                    continue
                idle.state = "closing"
            self._finish(idle)

    def _no_room(self, name: str, need: int, used: int) -> ResourceMissing:
        held = ", ".join(sorted(n for e in self._entries if e.reserved for n in e.names))
        return ResourceMissing(
            f"{name} needs {need / 2**20:.0f} MiB; {used / 2**20:.0f} of {self.budget_bytes / 2**20:.0f} MiB are taken "
            f"by models in use: {held}.",
            "Stop one, wait for it to end, or load with a smaller context.",
        )

    def _retire_older(self, name: str, entry: Entry) -> None:
        """Take the name from engines of older versions. One without a name ends with its last request.

        Older is what stands before: a slow load of an old version must not push out the new one.
        """
        before = self._entries.index(entry) if entry in self._entries else 0
        for other in self._entries[:before]:
            if name in other.names:
                other.names.discard(name)
                other.retired = other.retired or not other.names
        self._changed.notify_all()

    def _release(self, entry: Entry) -> None:
        with self._changed:
            entry.leases -= 1
            entry.idle_since = time.monotonic()
            # Done here and not by the reaper, so that "unload after" has happened when the request is over.
            now = entry.is_idle and entry.expires <= entry.idle_since
            if now:
                entry.state = "closing"
            self._changed.notify_all()
        if now:
            self._finish(entry)

    def _finish(self, entry: Entry) -> None:
        """Close an engine whose entry is already marked as closing, and give its memory back."""
        try:
            if entry.engine is not None:
                entry.engine.close()
        finally:
            with self._changed:
                if entry in self._entries:
                    self._entries.remove(entry)
                self._changed.notify_all()

    def stop(self, name: str, *, force: bool = False) -> None:
        """Unload a name's engine. With `force` running requests end with an EngineError.

        Raises ModelBusy while requests run on it, NotFound when it is not loaded.
        """
        with self._changed:
            found = [e for e in self._entries if name in e.names]
            for entry in found:
                self._breakers.pop(entry.source.key, None)
            if not found:
                self._forget_failures(name)
            busy = sum(e.leases for e in found)
            if busy and not force:
                raise ModelBusy(f"{name} has {busy} requests running.", "Wait for them, or stop it with --force.")
            ready, loading = mark_ended(found)
        self._end(ready, loading)

    def _end(self, ready: list[Entry], loading: list[PoolEngine]) -> None:
        for engine in loading:
            engine.close()
        for entry in ready:
            self._finish(entry)

    def _forget_failures(self, name: str) -> None:
        """A model that failed to load is in no list; stopping it closes its breaker."""
        with suppress(LinnetError):
            if self._breakers.pop(self._resolve(name).key, None) is not None:
                return
        raise NotFound(f"{name} is not loaded.", "See what is with: linnet ps")

    def ps(self) -> list[Loaded]:
        """What is loaded, the most recently used first."""
        now = time.monotonic()
        with self._changed:
            entries = sorted(self._entries, key=lambda e: (-e.leases, -e.idle_since))
            return [row(entry, now) for entry in entries]

    @contextmanager
    def using(self, name: str, keep_alive_s: float | None = None) -> Iterator[PoolEngine]:
        """`with pool.using("name") as engine`: a lease for the length of a block."""
        with self.lease(name, keep_alive_s) as lease:
            yield lease.engine

    def _start_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = threading.Thread(target=self._reap, name="linnet-pool-reaper", daemon=True)
            self._reaper.start()

    def _reap(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                idle = [e for e in self._entries if e.is_idle]
                due = [e for e in idle if e.expires <= now]
                for entry in due:
                    entry.state = "closing"
                if not due:
                    rest = min((e.expires - now for e in idle), default=math.inf)
                    self._changed.wait(None if math.isinf(rest) else rest)
            for entry in due:
                self._finish(entry)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineError("The engines are shut down.", "Start the server again.")

    def close(self) -> None:
        """Unload everything, running requests included."""
        with self._changed:
            self._closed = True
            ready, loading = mark_ended(self._entries)
            self._changed.notify_all()
        self._end(ready, loading)
