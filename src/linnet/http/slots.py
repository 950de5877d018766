"""The slots of one engine, given in turn to those who ask: a caller with many requests does not keep out another."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class Slots:
    """`count` slots. Callers take turns; each one's requests keep their order. Lives on one event loop."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.users = 0  # who may still ask or hold one
        self.taken = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def take_free(self) -> bool:
        """Take a slot if one is free, which is never so while somebody waits."""
        if self.taken >= self.count:
            return False
        self.taken += 1
        return True

    async def take(self, caller: str) -> None:
        """Wait for a slot."""
        if self.take_free():
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it was given at the very moment
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give a slot back, or on to the caller whose turn it is."""
        while self._waiting:
            caller, queue = self._waiting.popitem(last=False)
            first = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # behind the others
            if not first.done():
                first.set_result(None)
                return
        self.taken -= 1
