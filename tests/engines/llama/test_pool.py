"""The pool: one load for many, leases, keep-alive, eviction, hot swap. With engines that only count."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from linnet.core.errors import EngineError, InputError, ModelBusy, NotFound, ResourceMissing
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.pool import MAX_KEEP_ALIVE_S, EnginePool, keep_alive
from linnet.engines.llama.pool_entries import Source
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation
from tests.engines.made_llama import needs_stories
from tests.engines.workers import stories_plan


class Counted:
    """An engine that takes `size` bytes of plan and says when it is used after its end."""

    has_template, context, slots, build, failed = False, 512, 2, "counted", False

    def __init__(self, name: str, size: int, log: list[str], load_s: float = 0.0) -> None:
        self.name, self.planned_bytes, self.measured_bytes = name, size, size
        self._log, self._load_s, self.open = log, load_s, False
        self.error: Exception | None = None

    def start(self) -> None:
        time.sleep(self._load_s)
        if self.error:
            raise self.error
        self.open = True
        self._log.append(f"load {self.name}")

    def close(self) -> None:
        self.open = False
        self._log.append(f"close {self.name}")

    def use(self) -> str:
        assert self.open, f"{self.name} was used after its end"
        return self.name


class Shop:
    """Names that resolve to engines which only count; `version` and `error` change what a name gives next."""

    def __init__(self, size: int = 10, load_s: float = 0.0) -> None:
        self.log: list[str] = []
        self.version: dict[str, int] = {}
        self.errors: dict[str, Exception] = {}
        self.size, self.load_s = size, load_s

    def resolve(self, name: str) -> Source:
        if name.startswith("no"):
            raise NotFound(f"{name} is not in the store.")
        base, _, adapter = name.partition("+")
        key = f"{base}:{self.version.get(base, 1)}"

        def make(free: int) -> Any:
            if self.size > free:
                raise ResourceMissing("too large")
            engine = Counted(key, self.size, self.log, self.load_s)
            engine.error = self.errors.get(base)
            return engine

        return Source(key, make, adapter)


@pytest.fixture
def make_pool() -> Iterator[Callable[..., EnginePool]]:
    made: list[EnginePool] = []

    def make(shop: Shop, budget: int = 100, **more: float) -> EnginePool:
        made.append(EnginePool(budget, shop.resolve, **more))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


MakePool = Callable[..., EnginePool]


def test_fifty_first_requests_make_one_load(make_pool: MakePool) -> None:
    shop = Shop(load_s=0.1)
    pool = make_pool(shop)

    def ask(_: int) -> str:
        with pool.lease("a") as lease:
            return lease.engine.use()  # type: ignore[attr-defined, no-any-return]

    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(ask, range(50))) == {"a:1"}
    assert shop.log == ["load a:1"]
    assert pool.loads == 1


def test_a_load_that_fails_fails_for_all_who_wait_and_is_tried_again(make_pool: MakePool) -> None:
    shop = Shop(load_s=1.0)  # long enough for ten threads to come together on a busy machine
    shop.errors["a"] = EngineError("it broke")
    pool = make_pool(shop)

    def ask(_: int) -> str:
        try:
            pool.lease("a").close()
        except EngineError as error:
            return error.message
        return "fine"

    with ThreadPoolExecutor(10) as threads:
        assert set(threads.map(ask, range(10))) == {"it broke"}
    assert pool.loads == 1
    assert pool.ps() == []
    shop.errors.clear()
    assert ask(0) == "fine"


def test_after_three_failed_loads_the_model_has_failed_until_it_is_stopped(make_pool: MakePool) -> None:
    shop = Shop()
    shop.errors["a"] = EngineError("it broke")
    pool = make_pool(shop)
    for _ in range(3):
        with pytest.raises(EngineError, match="it broke"):
            pool.lease("a")
    shop.errors.clear()
    with pytest.raises(EngineError, match=r"has failed: 3 crashes.*it broke"):
        pool.lease("a")
    assert pool.loads == 3
    pool.stop("a")
    pool.lease("a").close()


def test_what_was_not_used_for_longest_makes_room(make_pool: MakePool) -> None:
    shop = Shop(size=40)
    pool = make_pool(shop, budget=100)
    for name in ("a", "b", "a", "c"):
        pool.lease(name).close()
    assert shop.log == ["load a:1", "load b:1", "close b:1", "load c:1"]
    assert {row.names for row in pool.ps()} == {("a",), ("c",)}


def test_a_model_in_use_is_never_evicted(make_pool: MakePool) -> None:
    shop = Shop(size=60)
    pool = make_pool(shop, budget=100, room_wait_s=0.2)
    with pool.lease("a") as lease:
        with pytest.raises(ResourceMissing, match="in use: a"):
            pool.lease("b")
        assert lease.engine.use() == "a:1"  # type: ignore[attr-defined]
    pool.lease("b").close()
    assert shop.log == ["load a:1", "close a:1", "load b:1"]


def test_a_model_that_never_fits_is_refused_at_once(make_pool: MakePool) -> None:
    pool = make_pool(Shop(size=200), budget=100)
    with pytest.raises(ResourceMissing, match="too large"):
        pool.lease("a")


def test_swapping_a_thousand_times_stays_within_the_budget(make_pool: MakePool) -> None:
    shop = Shop(size=60)
    pool = make_pool(shop, budget=100)
    over = []

    def ask(number: int) -> None:
        with pool.lease("ab"[number % 2]) as lease:
            lease.engine.use()  # type: ignore[attr-defined]
            over.append(sum(row.planned_bytes for row in pool.ps()) > 100)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(1000)))
    assert not any(over)
    assert len(over) == 1000


def test_keep_alive_zero_unloads_at_once(make_pool: MakePool) -> None:
    shop = Shop()
    pool = make_pool(shop)
    pool.lease("a", 0).close()
    assert shop.log == ["load a:1", "close a:1"]
    assert pool.ps() == []


def test_keep_alive_runs_out(make_pool: MakePool) -> None:
    shop = Shop()
    pool = make_pool(shop)
    pool.lease("a", 0.1).close()
    pool.lease("b", -1).close()
    deadline = time.monotonic() + 5
    while "close a:1" not in shop.log and time.monotonic() < deadline:
        time.sleep(0.02)
    assert shop.log == ["load a:1", "load b:1", "close a:1"]
    assert pool.ps()[0].expires_s is None


def test_27_keep_alive_is_checked_and_clamped() -> None:
    assert keep_alive(-1) == math.inf
    assert keep_alive(999_999 * 3600) == MAX_KEEP_ALIVE_S
    for wrong in (float("nan"), "abc", True, None):
        with pytest.raises(InputError, match="keep_alive"):
            keep_alive(wrong)  # type: ignore[arg-type]


def test_a_new_version_takes_over_while_the_old_one_finishes(make_pool: MakePool) -> None:
    shop = Shop()
    pool = make_pool(shop)
    old = pool.lease("a")
    shop.version["a"] = 2
    with pool.lease("a") as new:
        assert (old.engine.use(), new.engine.use()) == ("a:1", "a:2")  # type: ignore[attr-defined]
        old.close()
    deadline = time.monotonic() + 5
    while "close a:1" not in shop.log and time.monotonic() < deadline:
        time.sleep(0.02)
    assert shop.log == ["load a:1", "load a:2", "close a:1"]


def test_hot_swap_under_load_fails_no_request(make_pool: MakePool) -> None:
    shop = Shop(size=10, load_s=0.005)
    pool = make_pool(shop, budget=25)
    stop = threading.Event()
    done: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            with pool.lease("a") as lease:
                done.append(lease.engine.use())  # type: ignore[attr-defined]

    def swap() -> None:
        for version in range(2, 30):
            shop.version["a"] = version
            time.sleep(0.02)
        deadline = time.monotonic() + 20
        while done[-1:] != ["a:29"] and time.monotonic() < deadline:
            time.sleep(0.02)
        stop.set()

    with ThreadPoolExecutor(9) as threads:
        running = [threads.submit(ask) for _ in range(8)] + [threads.submit(swap)]
        for one in running:
            one.result()
    assert "a:29" in done
    assert [key for key in shop.log if key == "load a:29"] == ["load a:29"]


def test_stop_refuses_a_busy_model_unless_forced(make_pool: MakePool) -> None:
    shop = Shop()
    pool = make_pool(shop)
    lease = pool.lease("a")
    with pytest.raises(ModelBusy, match="1 requests running"):
        pool.stop("a")
    pool.stop("a", force=True)
    assert pool.ps() == []
    lease.close()
    with pytest.raises(NotFound):
        pool.stop("a")
    pool.lease("a").close()
    pool.stop("a")
    assert shop.log == ["load a:1", "close a:1"] * 2


def test_an_adapter_is_a_name_on_its_bases_engine(make_pool: MakePool) -> None:
    shop = Shop()
    pool = make_pool(shop)
    with pool.lease("a") as base, pool.lease("a+polite") as adapted:
        assert base.engine is adapted.engine
        plain = GenerateRequest(prompt="x")
        assert base.adapted(plain) is plain
        assert adapted.adapted(plain).adapters == (("polite", 1.0),)
    assert pool.loads == 1
    assert pool.ps()[0].names == ("a", "a+polite")


def test_ps_tells_states(make_pool: MakePool) -> None:
    shop = Shop(load_s=0.3)
    pool = make_pool(shop)
    thread = threading.Thread(target=lambda: pool.lease("a").close())
    thread.start()
    time.sleep(0.1)
    assert [row.state for row in pool.ps()] == ["loading"]
    thread.join()
    (row,) = pool.ps()
    assert (row.state, row.planned_bytes, row.measured_bytes, row.slots, row.engine) == ("ready", 10, 10, 2, "counted")
    with pool.lease("a"):
        assert [(row.state, row.requests) for row in pool.ps()] == [("busy", 1)]


def test_an_unknown_name_is_not_found(make_pool: MakePool) -> None:
    with pytest.raises(NotFound):
        make_pool(Shop()).lease("nothing")


@pytest.mark.parametrize("end", ["stop", "close"])
def test_what_is_being_planned_ends_with_stop_and_close(make_pool: MakePool, end: str) -> None:
    """Between the name and the engine there is a moment without an engine to close."""
    shop, planning, go_on = Shop(), threading.Event(), threading.Event()

    def resolve(name: str) -> Source:
        source = shop.resolve(name)

        def slow(free: int) -> Any:
            planning.set()
            go_on.wait(10)
            return source.open(free)

        return Source(source.key, slow)

    pool = EnginePool(100, resolve)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(pool.lease, "a")
        planning.wait(10)
        pool.stop("a", force=True) if end == "stop" else pool.close()
        go_on.set()
        with pytest.raises(EngineError, match=r"was stopped|shut down"):
            asked.result(10)
    assert shop.log == []
    assert pool.ps() == []
    pool.close()


def test_an_interrupted_load_closes_its_engine(make_pool: MakePool) -> None:
    shop = Shop()
    shop.errors["a"] = KeyboardInterrupt()  # type: ignore[assignment]
    pool = make_pool(shop)
    with pytest.raises(KeyboardInterrupt):
        pool.lease("a")
    assert shop.log == ["close a:1"]
    assert pool.ps() == []


def test_a_closed_pool_refuses(make_pool: MakePool) -> None:
    shop = Shop()
    pool = make_pool(shop)
    pool.lease("a").close()
    pool.close()
    assert shop.log[-1] == "close a:1"
    with pytest.raises(EngineError, match="shut down"):
        pool.lease("a")


@needs_stories
def test_a_real_engine_in_the_pool() -> None:
    plan = stories_plan(slots=2)
    pool = EnginePool(1 << 30, lambda name: Source("stories", lambda free: LlamaEngine(plan)))

    def ask(_: int) -> str:
        with pool.lease("stories") as lease:
            request = GenerateRequest(prompt="Once", sampling=GREEDY, max_tokens=8)
            last = list(lease.engine.generate(request))[-1]
            assert isinstance(last, Generation)
            return last.text

    with ThreadPoolExecutor(20) as threads:
        assert len(set(threads.map(ask, range(20)))) == 1
    (row,) = pool.ps()
    assert pool.loads == 1
    assert row.engine.startswith("xllamacpp")
    assert 0.5 * row.planned_bytes < row.measured_bytes < 1.2 * row.planned_bytes
    pool.close()
