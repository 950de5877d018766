"""A small server without a socket: the real application behind httpx's ASGI transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from linnet.core.store import Store
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.http.generations import Generations
from linnet.stages.serve import Specialists
from tests.engines.made_llama import STORIES, make_gguf
from tests.http.decoders import named, small_engine
from tests.tiny import tiny_specialist

HOST = "127.0.0.1:11500"


class Client:
    """Plain calls into an ASGI application, all on one event loop."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self.app = app
        self.runner = runner

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self.runner.run(self.arequest(method, path, **kwargs))

    async def arequest(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, **kwargs)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("POST", path, **kwargs)

    def post_bytes(self, path: str, body: Any, **headers: str) -> httpx.Response:
        sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.post(path, content=body, headers=sent)

    def classify(self, **fields: Any) -> httpx.Response:
        return self.post("/v1/classify", json={"model": "support", "input": "refund please", **fields})

    def chat(self, **fields: Any) -> httpx.Response:
        messages = [{"role": "user", "content": "where is my delivery"}]
        return self.post("/v1/chat/completions", json={"model": "support", "messages": messages, **fields})

    def raw(self, path: str, raw_path: str, headers: list[tuple[bytes, bytes]], method: str = "GET") -> dict[str, Any]:
        """Status, headers and body for a scope that no well-behaved client would send."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": raw_path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 11500),
            "state": {},
        }
        return self.runner.run(_call(self.app, scope))


async def _call(app: Any, scope: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"body": b""}
    sent = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not sent.is_set():
            sent.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.update(status=message["status"], headers=dict(message["headers"]))
        else:
            answer["body"] += message.get("body", b"")

    await app(scope, receive, send)
    return answer


def assert_error(response: httpx.Response, status: int, **expected: Any) -> str:
    """The answer has our shape of error, with these values; returns its message."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert {key: error[key] for key in expected} == expected
    return str(error["message"])


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(Path(tmp_path_factory.mktemp("http")) / "home")
    tiny_specialist(made, "support", ["refund", "delivery", "other"], out_of_scope="other")
    return made


@pytest.fixture
def specialists(store: Store) -> Specialists:
    return Specialists(store)


@pytest.fixture
def client(specialists: Specialists, runner: asyncio.Runner) -> Client:
    return Client(create_app(specialists), runner)


@pytest.fixture(scope="session")
def decoders(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decoders]:
    """`stories` continues texts; `chatty` has a chat template and random weights."""
    if not STORIES.exists():
        pytest.skip(f"{STORIES} is not there")
    chatty = make_gguf(tmp_path_factory.mktemp("chatty") / "chatty.gguf", chat=True)
    made = Decoders(store, [named("stories", STORIES), named("chatty", chatty)], open_engine=small_engine)
    yield made
    made.close()


@pytest.fixture
def generations(decoders: Decoders) -> Iterator[Generations]:
    made = Generations(decoders.pool)
    yield made
    made.close()


@pytest.fixture
def writer(specialists: Specialists, decoders: Decoders, generations: Generations, runner: asyncio.Runner) -> Client:
    """A client of a server with both decoders and the specialist."""
    return Client(create_app(specialists, decoders=decoders, generations=generations), runner)
