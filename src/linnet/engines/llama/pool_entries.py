"""What the engine pool knows of each of its engines. Knows no lock: the pool's is held by whoever calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from linnet.core.errors import LinnetError
from linnet.core.records import Record
from linnet.engines.base import Decoder


class PoolEngine(Decoder, Protocol):
    """A decoder that the pool can start, and that says what it takes."""

    @property
    def planned_bytes(self) -> int: ...
    @property
    def measured_bytes(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def build(self) -> str:
        """Which engine runs it, in words."""
        ...

    @property
    def failed(self) -> bool:
        """Whether it crashed too often and waits for the user."""
        ...

    def start(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """What a model name means now. Names with the same `key` share one engine; a new version has a new key.

    `open` plans, within the bytes it is given, and returns an engine that is not started. `adapter` is the adapter that
    makes this name more than its base.
    """

    key: str
    open: Callable[[int], PoolEngine]
    adapter: str = ""


class Loaded(Record):
    """One row of `linnet ps`. Bytes planned and measured; `expires_s` is None where only eviction ends it."""

    names: tuple[str, ...]
    state: str  # loading, ready, busy, failed, closing
    engine: str
    planned_bytes: int
    measured_bytes: int
    slots: int
    requests: int
    idle_s: float
    expires_s: float | None


@dataclass(eq=False, slots=True)
class Entry:
    """One engine of a pool from the wish for it to its end."""

    source: Source
    names: set[str]
    state: str = "loading"
    engine: PoolEngine | None = None
    error: LinnetError | None = None
    reserved: int = 0
    leases: int = 0
    keep_alive_s: float = 0.0
    idle_since: float = field(default_factory=time.monotonic)
    retired: bool = False
    stopped: bool = False  # while it was loading

    @property
    def is_idle(self) -> bool:
        return self.state == "ready" and self.leases == 0

    @property
    def expires(self) -> float:
        return self.idle_since + (0.0 if self.retired else self.keep_alive_s)


def mark_ended(entries: list[Entry]) -> tuple[list[Entry], list[PoolEngine]]:
    """The entries to finish, and the engines to close while they load. Call with the lock held."""
    ready, loading = ([e for e in entries if e.state == state] for state in ("ready", "loading"))
    for entry in (*ready, *loading):
        entry.stopped, entry.state = True, "closing" if entry in ready else "loading"
    return ready, [entry.engine for entry in loading if entry.engine is not None]


def row(entry: Entry, now: float) -> Loaded:
    """What `linnet ps` says of it. `now` is of the monotonic clock."""
    engine, state = entry.engine, entry.state
    if engine is not None and state == "ready":
        state = "failed" if engine.failed else "busy" if entry.leases else "ready"
    rest = entry.expires - now
    return Loaded(
        names=tuple(sorted(entry.names)),
        state=state,
        engine=engine.build if engine else "",
        planned_bytes=entry.reserved,
        measured_bytes=engine.measured_bytes if engine else 0,
        slots=engine.slots if engine else 0,
        requests=entry.leases,
        idle_s=0.0 if entry.leases else round(now - entry.idle_since, 3),
        expires_s=None if entry.leases or math.isinf(rest) else max(0.0, round(rest, 3)),
    )
