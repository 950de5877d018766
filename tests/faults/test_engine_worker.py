"""Faults of an engine worker as a caller meets them: crash, stall, lies, broken answers. With a fake worker."""

from __future__ import annotations

import time

import pytest

from linnet.core.errors import EngineError, ResourceMissing
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.requests.generation import GenerateRequest, Generation
from linnet.engines.worker import worker_keeper
from tests.engines.made_llama import needs_stories
from tests.engines.workers import fake_engine

pytestmark = needs_stories
REQUEST = GenerateRequest(prompt="hello", max_tokens=1000)


def answer(engine: LlamaEngine) -> Generation:
    last = list(engine.generate(REQUEST))[-1]
    assert isinstance(last, Generation)
    return last


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_keeper, "BACK_OFF_S", (0.05, 0.1, 0.2))


def test_a_crash_in_an_answer_is_an_error_that_names_the_signal() -> None:
    engine = fake_engine("die-in-answer")
    pieces = engine.generate(REQUEST)
    next(pieces)
    started = time.monotonic()
    with pytest.raises(EngineError, match="SIGSEGV"):
        list(pieces)
    assert time.monotonic() - started < 5
    assert engine.busy_slots == 0
    engine.close()


def test_three_crashes_open_the_breaker_until_somebody_acts() -> None:
    engine = fake_engine("die-in-answer")
    for _ in range(3):
        with pytest.raises(EngineError, match="SIGSEGV"):
            answer(engine)
    assert engine.keeper.starts == 3
    for _ in range(2):
        with pytest.raises(EngineError, match=r"has failed: 3 crashes within 60 s.*SIGSEGV"):
            answer(engine)
    assert engine.keeper.starts == 3
    assert engine.failed
    engine.keeper.reset()
    assert not engine.failed
    with pytest.raises(EngineError, match="SIGSEGV"):
        answer(engine)
    engine.close()


def test_crashes_in_load_back_off_and_open_the_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_keeper, "BACK_OFF_S", (0.3, 0.6, 1.2))
    engine = fake_engine("crash-in-load")
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(EngineError, match="could not load"):
            engine.start()
    assert time.monotonic() - started >= 0.9
    with pytest.raises(EngineError, match="has failed"):
        engine.start()
    engine.close()


def test_a_stalled_engine_is_killed_and_started_again() -> None:
    engine = fake_engine("stall", stall_s=0.5)
    with pytest.raises(EngineError, match="it hung"):
        answer(engine)
    assert engine.keeper.running is None
    engine.start()
    assert engine.keeper.starts == 2
    engine.close()


def test_usage_is_counted_here_and_never_believed() -> None:
    engine = fake_engine("lies")
    last = answer(engine)
    # Three ids were seen; at most three more could hide in one character that was cut.
    assert 3 <= last.completion_tokens <= 6
    assert last.cached_tokens <= last.prompt_tokens == 6
    engine.close()


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("not-json", "not JSON"),
        ("error-500", "answered 500"),
        ("bad-tokens", "token ids"),
        ("cut-off", "broke off"),
        ("nested", "not JSON"),
    ],
)
def test_a_broken_answer_is_an_error_and_never_a_normal_end(mode: str, what: str) -> None:
    engine = fake_engine(mode)
    with pytest.raises(EngineError, match=what):
        answer(engine)
    assert engine.busy_slots == 0
    engine.close()


def test_an_engine_that_never_stops_is_stopped() -> None:
    engine = fake_engine("too-much")
    with pytest.raises(EngineError, match="more than the 7 tokens"):
        list(engine.generate(GenerateRequest(prompt="hello", max_tokens=7)))
    assert engine.busy_slots == 0
    engine.close()


def test_timings_that_no_json_can_hold_are_not_believed() -> None:
    engine = fake_engine("infinite")
    timings = answer(engine).timings
    assert timings.prompt_ms == timings.decode_ms == 0
    engine.close()


def test_out_of_memory_at_load_is_a_missing_resource() -> None:
    engine = fake_engine("no-memory")
    with pytest.raises(ResourceMissing, match="ran out of memory"):
        engine.start()
    engine.close()


def test_a_closed_engine_ends_its_requests_and_starts_no_more() -> None:
    engine = fake_engine("endless")
    pieces = engine.generate(REQUEST)
    next(pieces)
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        list(pieces)
    with pytest.raises(EngineError, match="was stopped"):
        engine.start()
