"""Slots are given in turn to callers, and never lost."""

from __future__ import annotations

import asyncio

from linnet.http.slots import Slots


def test_callers_take_turns() -> None:
    async def check() -> list[str]:
        slots, order = Slots(1), []

        async def work(caller: str) -> None:
            await slots.take(caller)
            order.append(caller)
            await asyncio.sleep(0)
            slots.give_back()

        await slots.take("first")
        tasks = [asyncio.create_task(work(caller)) for caller in "aaaab"]
        tasks.append(asyncio.create_task(work("c")))
        await asyncio.sleep(0)
        slots.give_back()
        await asyncio.gather(*tasks)
        assert slots.taken == 0
        return order

    assert asyncio.run(check()) == ["a", "b", "c", "a", "a", "a"]


def test_a_caller_that_gives_up_loses_nothing() -> None:
    async def check() -> None:
        slots = Slots(1)
        await slots.take("a")
        waiting = [asyncio.create_task(slots.take(name)) for name in ("b", "b", "c")]
        await asyncio.sleep(0)
        waiting[0].cancel()
        slots.give_back()
        # The slot is on its way to the second of "b" when that one gives up too.
        waiting[1].cancel()
        await asyncio.wait(waiting)
        assert waiting[2].exception() is None
        assert slots.taken == 1
        slots.give_back()
        assert slots.taken == 0

    asyncio.run(check())
