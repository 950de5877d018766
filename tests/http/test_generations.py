"""The generation loop under bad weather: full queues, clients that leave, readers that stall, engines that die."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from linnet.core.store import Store
from linnet.http import server
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.http.generations import GenerationLimits, Generations
from linnet.stages.serve import Specialists
from tests.engines.made_llama import needs_stories
from tests.http.conftest import Client, assert_error
from tests.http.decoders import STORY, faulty
from tests.http.listening import listening

pytestmark = needs_stories
SECRET = "the text that must not be repeated"


class Place:
    """A server of one faulty model, and what to look at inside it."""

    def __init__(self, store: Store, runner: asyncio.Runner, mode: str, limits: GenerationLimits | None) -> None:
        self.decoders = faulty(store, mode)
        self.generations = Generations(self.decoders.pool, limits)
        self.app = create_app(Specialists(store), decoders=self.decoders, generations=self.generations)
        self.client = Client(self.app, runner)
        self.runner = runner

    def ask(self, **fields: Any) -> httpx.Response:
        return self.client.post("/v1/completions", json=question(**fields))

    def close(self) -> None:
        self.decoders.close()
        self.generations.close()

    async def is_empty(self) -> None:
        async with asyncio.timeout(10):
            while self.generations.inside or any(row.requests for row in self.decoders.pool.ps()):
                await asyncio.sleep(0.01)


def question(**fields: Any) -> dict[str, Any]:
    return {"model": "stories", "prompt": SECRET, "max_tokens": 400, **fields}


@pytest.fixture
def place(store: Store, runner: asyncio.Runner) -> Iterator[Any]:
    made: list[Place] = []

    def make(mode: str, limits: GenerationLimits | None = None) -> Place:
        made.append(Place(store, runner, mode, limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def opened(port: int, **fields: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps(question(**fields)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("mode", ["error-500", "not-json", "bad-tokens", "cut-off", "die-in-answer", "crash-in-load"])
def test_an_engine_that_fails_is_502(place: Any, caplog: pytest.LogCaptureFixture, mode: str) -> None:
    there = place(mode)
    message = assert_error(there.ask(), 502, type="server_error", code="engine_crashed")
    assert "server's log" in message
    assert "POST /v1/completions" in caplog.text
    assert SECRET not in caplog.text
    there.runner.run(there.is_empty())


@pytest.mark.parametrize("mode", ["cut-off", "die-in-answer"])
def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error(place: Any, mode: str) -> None:
    there = place(mode)
    response = there.ask(stream=True)
    assert response.status_code == 200
    *events, rest = response.text.split("\n\n")
    assert rest == ""
    assert json.loads(events[0].removeprefix("data: "))["choices"][0]["text"] == "a"
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "engine_crashed"
    assert "[DONE]" not in response.text
    there.runner.run(there.is_empty())


def test_usage_is_counted_here(place: Any) -> None:
    there = place("lies")
    usage = there.ask().json()["usage"]
    assert usage["prompt_tokens"] == len(SECRET) + 1
    assert usage["completion_tokens"] < 10
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


def test_no_memory_is_503_with_a_reason(place: Any) -> None:
    message = assert_error(place("no-memory").ask(), 503, code="resource_missing")
    assert "memory" in message


def test_a_request_that_takes_too_long(place: Any) -> None:
    there = place("endless", GenerationLimits(request_seconds=1.5))
    assert_error(there.ask(), 503, code="request_timeout")
    response = there.ask(stream=True)
    assert json.loads(response.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "request_timeout"
    there.runner.run(there.is_empty())


def test_full_queue_is_said_at_once(place: Any) -> None:
    there = place("endless", GenerationLimits(waiting=3))
    body = question(max_tokens=40)

    async def crowd() -> tuple[list[httpx.Response], list[tuple[httpx.Response, float]]]:
        ask = lambda: there.client.arequest("POST", "/v1/completions", json=body)  # noqa: E731
        inside = [asyncio.create_task(ask()) for _ in range(5)]  # two slots and three that wait
        while there.generations.inside < 5:
            await asyncio.sleep(0)
        outside = []
        for _ in range(5):
            started = time.monotonic()
            outside.append((await ask(), time.monotonic() - started))
        return list(await asyncio.gather(*inside)), outside

    inside, outside = there.runner.run(crowd())
    assert [response.status_code for response in inside] == [200] * 5
    for response, _ in outside:
        assert_error(response, 503, type="server_error", code="server_overloaded")
        assert int(response.headers["retry-after"]) >= 1
    print("refused after, ms:", [round(1000 * seconds, 1) for _, seconds in outside])
    assert there.generations.inside == 0


def test_retry_after_grows_with_what_an_answer_takes(place: Any) -> None:
    there = place("endless", GenerationLimits(waiting=64))
    there.generations.inside = 10_000
    told = []
    for seconds in (0.0, 8.0, 8.0, 8.0, 600.0):
        there.generations.note_slot(seconds)
        told.append(int(there.ask().headers["retry-after"]))
    there.generations.inside = 0
    assert told == sorted(told)
    assert (told[0], told[-1]) == (1, 30)
    assert 1 < told[1] < told[3] < 30


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["endless", "stall"])
def test_a_client_that_leaves_frees_its_slot(place: Any, mode: str, stream: bool) -> None:
    there = place(mode)

    async def check() -> float:
        async with listening(there.app) as port:
            links = [await opened(port, stream=stream) for _ in range(4)]  # two run, two wait
            while [(row.state, row.requests) for row in there.decoders.pool.ps()] != [("busy", 4)]:
                await asyncio.sleep(0.01)
            if stream and mode == "endless":
                await links[0][0].readuntil(b'"text": "a"')
            started = time.monotonic()
            for _, writer in links:
                writer.close()
            await there.is_empty()
            return time.monotonic() - started

    print(f"free after {1000 * there.runner.run(check()):.0f} ms")


class Impatient(server.Protocol):
    write_seconds = 0.3


@pytest.mark.parametrize("protocol", [Impatient, server.Protocol])
def test_a_reader_that_stalls_is_closed(place: Any, protocol: type[server.Protocol]) -> None:
    # Either the connection gives up, or the bounded queue does.
    limits = GenerationLimits(events=16, stalled_seconds=0.3) if protocol is server.Protocol else None
    there = place("flood", limits)

    async def check() -> None:
        async with listening(there.app, protocol) as port:
            reader, writer = await opened(port, stream=True, max_tokens=400)
            await reader.readuntil(b'"text": "a"')
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await there.is_empty()
            writer.close()

    there.runner.run(check())


def test_a_server_that_stops_says_so(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DRAIN_S", 0.2)
    there = place("endless")

    async def check() -> bytes:
        async with listening(there.app) as port:
            reader, _ = await opened(port, stream=True)
            await reader.readuntil(b'"text": "a"')
        return await reader.read()

    rest = there.runner.run(check())
    assert b"server_overloaded" in rest
    assert b"[DONE]" not in rest
    there.runner.run(there.is_empty())


def test_no_prompt_in_the_log(place: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        there = place("die-in-answer")
        there.ask()
        there.ask(stream=True)
    assert SECRET not in caplog.text


def test_the_real_engine_is_free_again(writer: Client, decoders: Decoders, generations: Generations) -> None:
    async def check() -> float:
        body = {"model": "stories", "prompt": STORY, "max_tokens": 400}
        tasks = [asyncio.create_task(writer.arequest("POST", "/v1/completions", json=body)) for _ in range(6)]
        while generations.inside < 6:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        started = time.monotonic()
        await asyncio.wait(tasks)
        while generations.inside:
            await asyncio.sleep(0.01)
        return time.monotonic() - started

    print(f"free after {1000 * writer.runner.run(check()):.0f} ms")
    assert not any(row.requests for row in decoders.pool.ps())


def slow_to_release(there: Place) -> None:
    """Its pool takes long to take an engine back: whoever hears of the end before that sees it."""
    release = there.decoders.pool._release

    def slowly(entry: Any) -> None:
        time.sleep(0.2)
        release(entry)

    there.decoders.pool._release = slowly  # type: ignore[method-assign]


def told(there: Place, path: str, body: dict[str, Any]) -> list[tuple[str, int]]:
    """Every part of an answer, with the leases that were held when it was handed over."""
    found: list[tuple[str, int]] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            if not bodies:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if text := message.get("body", b"").decode():
                found.append((text, sum(row.requests for row in there.decoders.pool.ps())))

        bodies = [json.dumps(body).encode()]
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        headers.append((b"content-length", str(len(bodies[0])).encode()))
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        await there.app(scope, receive, send)

    there.runner.run(ask())
    return found


BODY = {"model": "stories", "prompt": SECRET}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("mode", "path", "fields", "last"),
    [
        ("lies", "/v1/completions", {}, '"finish_reason": "stop"'),
        ("lies", "/v1/completions", {"n": 2}, '"finish_reason": "stop"'),
        ("lies", "/api/generate", {}, '"done_reason": "stop"'),
        ("lies", "/v1/completions", {"prompt": "x" * 600}, "context_length_exceeded"),
        ("die-in-answer", "/v1/completions", {}, "engine_crashed"),
        ("error-500", "/v1/completions", {}, "engine_crashed"),
        ("crash-in-load", "/v1/completions", {}, "engine_crashed"),
        ("lies", "/v1/embeddings", {"prompt": None, "input": "x"}, "engine_crashed"),
        ("endless", "/v1/completions", {"max_tokens": 400}, "request_timeout"),
    ],
)
def test_the_engine_is_given_back_before_the_end_is_told(
    place: Any, mode: str, path: str, fields: dict[str, Any], last: str, stream: bool
) -> None:
    there = place(mode, GenerationLimits(request_seconds=1.0 if mode == "endless" else 60))
    slow_to_release(there)
    body = {name: value for name, value in {**BODY, **fields}.items() if value is not None}
    parts = told(there, path, body if "input" in body else {**body, "stream": stream})
    held = [leases for text, leases in parts if last in text]
    assert held[-1] == 0
    assert parts[-1][1] == 0
    if len(parts) > 2:
        assert parts[0][1] == 1  # while it is written, it is in use


def test_an_engine_is_given_back_when_its_threads_end(place: Any) -> None:
    there = place("endless")

    async def check() -> None:
        task = asyncio.create_task(there.client.arequest("POST", "/v1/completions", json=question()))
        while [row.state for row in there.decoders.pool.ps()] != ["busy"]:
            await asyncio.sleep(0.01)
        there.generations.close()
        task.cancel()
        await asyncio.wait([task])
        await there.is_empty()

    there.runner.run(check())
