"""The abuse cases of requests in every dialect: refused in the dialect's own shape, and nothing else happens."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from linnet.http import server
from linnet.http.app import create_app
from linnet.http.guard import Limits
from linnet.stages.serve import Specialists
from tests.http.conftest import Client
from tests.http.listening import listening

MESSAGES = [{"role": "user", "content": "hello"}]
# What each route takes at least, and where its limit of tokens is.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "chatty", "messages": MESSAGES, "max_tokens": 2},
    "/v1/completions": {"model": "stories", "prompt": "Once", "max_tokens": 2},
    "/v1/responses": {"model": "chatty", "input": MESSAGES, "max_output_tokens": 2},
    "/v1/messages": {"model": "chatty", "messages": MESSAGES, "max_tokens": 2},
    "/api/chat": {"model": "chatty", "messages": MESSAGES, "options": {"num_predict": 2}},
    "/api/generate": {"model": "stories", "prompt": "Once", "options": {"num_predict": 2}},
}
ROUTES = list(BODIES)
CHATS = [path for path in ROUTES if path not in ("/v1/completions", "/api/generate")]
TOKENS = {path: next((key for key in body if key.startswith("max_")), "num_predict") for path, body in BODIES.items()}


def ask(client: Client, path: str, **fields: Any) -> httpx.Response:
    body = {**BODIES[path], **fields}
    return client.post(path, json=body)


def ask_sampling(client: Client, path: str, **fields: Any) -> httpx.Response:
    """The same, with fields that Ollama keeps among its options."""
    if not path.startswith("/api/"):
        return ask(client, path, **fields)
    options = {"num_predict": 2, **{{"max_tokens": "num_predict"}.get(key, key): fields[key] for key in fields}}
    return ask(client, path, options=options)


def refusal(response: httpx.Response, status: int = 400) -> str:
    """The message of a refusal, whose shape is the dialect's."""
    assert response.status_code == status, response.text
    body, path = response.json(), response.request.url.path
    if path.startswith("/api/"):
        assert set(body) == {"error"}
        return str(body["error"])
    if path.startswith("/v1/messages"):
        assert (body["type"], set(body["error"])) == ("error", {"type", "message"})
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] in ("invalid_request_error", "request_too_large")
    return str(body["error"]["message"])


NO_JSON = (b"{bad", b"\xff", b'{"model": "\\ud800"}', b"[" * 200_000, b'{"a":1,"a":2}', b"[]")


@pytest.mark.parametrize("path", ROUTES)
def test_abuse_16_no_json_in_any_dialect(writer: Client, path: str) -> None:
    for body in NO_JSON:
        assert refusal(writer.post_bytes(path, body))
    assert ask(writer, path).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("value", [0, 10**9 + 1, "2", 1.5, True, -7])
def test_abuse_17_the_limit_of_tokens_in_any_dialect(writer: Client, path: str, value: Any) -> None:
    name = TOKENS[path]
    fields = {"options": {name: value}} if name == "num_predict" else {name: value}
    assert name in refusal(ask(writer, path, **fields))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 1e308), ("temperature", -1), ("top_p", 2), ("top_p", "1"), ("top_k", -1)]
)
def test_abuse_18_ranges_in_any_dialect(writer: Client, path: str, name: str, value: Any) -> None:
    assert name in refusal(ask_sampling(writer, path, **{name: value}))


@pytest.mark.parametrize("path", [path for path in ROUTES if path != "/v1/responses"])
@pytest.mark.parametrize("stop", [[""], [1], ["a"] * 17])
def test_abuse_18_stops_in_any_dialect(writer: Client, path: str, stop: Any) -> None:
    if path == "/v1/messages":
        assert "stop_sequences" in refusal(ask(writer, path, stop_sequences=stop))
    else:
        assert "stop" in refusal(ask_sampling(writer, path, stop=stop))


SCHEMAS: list[dict[str, Any]] = [
    {"enum": [str(n) for n in range(10_000)]},
    {"type": "string", "pattern": "^(a+)+$"},
    {"$ref": "http://example.org/x"},
    {"$ref": "#"},
    {"type": "string", "minLength": 10**9},
    {"description": "x" * 300_000},
    {"not": {}},
    {"type": [{}]},
    {"format": {}},
    {"properties": [], "required": ["a"]},
    {"properties": 1, "required": ["a"]},
]


def _nested(levels: int) -> dict[str, Any]:
    return {"type": "array", "items": _nested(levels - 1)} if levels else {}


def _shaped(client: Client, path: str, schema: Any) -> httpx.Response:
    """A request whose answer is to have this schema."""
    if path.startswith("/api/"):
        return ask(client, path, format=schema)
    if path == "/v1/responses":
        return ask(client, path, text={"format": {"type": "json_schema", "name": "n", "schema": schema}})
    if path == "/v1/messages":
        properties = {"type": "object", "properties": {"a": schema}}
        tool = {"name": "f", "input_schema": properties, "strict": True}
        return ask(client, path, tools=[tool], tool_choice={"type": "any"})
    return ask(client, path, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})


@pytest.mark.parametrize("path", [path for path in ROUTES if path != "/v1/completions"])
def test_abuse_19_schemas_in_any_dialect(writer: Client, path: str) -> None:
    """None of them reaches the engine, which some of them would hold up for seconds."""
    for schema in (*SCHEMAS, _nested(50)):
        assert refusal(_shaped(writer, path, schema)), schema
    assert ask(writer, path).status_code == 200


FOREIGN = (
    "chat_template",
    "n_discard",
    "id_slot",
    "lora",
    "chat_template_kwargs",
    "grammar",
    "json_schema",
    "cache_prompt",
)


@pytest.mark.parametrize("path", ROUTES)
def test_abuse_21_fields_of_the_engine_in_any_dialect(writer: Client, path: str) -> None:
    for field in FOREIGN:
        assert field in refusal(ask(writer, path, **{field: {"messages": []}}))
        if path.startswith("/api/"):
            assert field in refusal(ask(writer, path, options={field: 1}))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("stream", [False, True])
def test_abuse_22_a_prompt_beyond_the_context_in_any_dialect(writer: Client, path: str, stream: bool) -> None:
    text = "dog " * 600
    key = "prompt" if "prompt" in BODIES[path] else "messages" if "messages" in BODIES[path] else "input"
    long = text if key == "prompt" else [{"role": "user", "content": text}]
    message = refusal(ask(writer, path, stream=stream, **{key: long}))
    assert "512" in message  # the context; and how long the prompt is
    assert any(int(word) > 512 for word in message.replace(",", " ").replace(".", " ").split() if word.isdigit())


class Watch:
    """What this process opens, and whether anybody comes to a port of this machine."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.on = False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in ("open", "socket.connect"):
            self.opened.append(str(arguments[0 if event == "open" else 1]))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/x.png"

    @property
    def had_a_visit(self) -> bool:
        with suppress(BlockingIOError):
            self.socket.accept()[0].close()
            return True
        return False


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.on = False
    made.socket.close()


GIF = base64.b64encode(b"GIF89a\xff\x7f\xff\x7f\x80\x00\x00" + b"\0" * 600).decode()  # says it has 1e9 pixels


def _pictured(path: str, address: str) -> dict[str, Any]:
    """The fields of a request that shows a picture."""
    text = {"type": "text", "text": "what is it?"}
    if path == "/api/generate":
        return {"images": [address]}
    if path == "/api/chat":
        return {"messages": [{**MESSAGES[0], "images": [address]}]}
    if path == "/v1/messages":
        part: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": address}}
    elif path == "/v1/responses":
        return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": address}]}]}
    else:
        part = {"type": "image_url", "image_url": {"url": address}}
    return {"messages": [{"role": "user", "content": [text, part]}]}


@pytest.mark.parametrize("path", [*CHATS, "/api/generate"])
@pytest.mark.parametrize("kind", ["file", "loopback", "data", "gif"])
def test_abuse_24_pictures_are_refused_unseen(writer: Client, watch: Watch, path: str, kind: str) -> None:
    ask(writer, path)  # whatever is opened once is open now
    addresses = {"file": "file:///etc/passwd", "loopback": watch.address, "gif": f"data:image/gif;base64,{GIF}"}
    address = addresses.get(kind, "data:image/png;base64," + "A" * 500_000)
    watch.opened.clear()
    watch.on = True
    response = ask(writer, path, **_pictured(path, address))
    watch.on = False
    assert "image" in refusal(response)
    assert address[:100] not in response.text
    assert [one for one in watch.opened if "passwd" in one or "x.png" in one] == []
    assert not watch.had_a_visit


def test_abuse_24_a_picture_of_300_mb_is_not_read(writer: Client) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"model": "chatty", "messages": [{"role": "user", "content": "data:image/png;base64,'
        for _ in range(300):
            yield b"A" * (1 << 20)

    assert refusal(writer.post_bytes("/v1/chat/completions", parts()), 413)


class Hasty(server.Protocol):
    header_seconds = 0.5


HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n"


async def _trickle(port: int, start: bytes, seconds: float) -> bytes:
    """Send a byte now and then until the server has enough, and return what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)
    said = asyncio.ensure_future(reader.read())
    try:
        while not said.done():
            with suppress(ConnectionError):
                writer.write(b"X")
                await writer.drain()
            await asyncio.wait([said], timeout=seconds)
        return said.result()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def _normal(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def _besieged(specialists: Specialists, protocol: type[server.Protocol], limits: Limits, count: int) -> None:
    seconds = 10 * limits.body_seconds / 30
    async with listening(create_app(specialists, limits=limits), protocol) as port, asyncio.timeout(300):
        starts = (b"GET /hea", HEAD, HEAD + b"\r\n{")
        slow = [asyncio.ensure_future(_trickle(port, starts[n % len(starts)], seconds)) for n in range(count)]
        await asyncio.sleep(0)
        for _ in range(3):
            assert (await _normal(port)).startswith(b"HTTP/1.1 200")
        answers = await asyncio.gather(*slow)
    # A body that never ends is told so; headers that never end have nobody to tell.
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers[2::3])
    assert set(answers[::3] + answers[1::3]) == {b""}


def _sends_after_the_answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(HEAD + b"\r\n{")
        client.recv(1, socket.MSG_PEEK)
        for _ in range(3):
            client.sendall(b"X")
            time.sleep(0.1)
        return b"".join(iter(lambda: client.recv(65536), b""))


async def _late(specialists: Specialists) -> bytes:
    async with listening(create_app(specialists, limits=Limits(body_seconds=0.2)), Hasty) as port:
        return await asyncio.to_thread(_sends_after_the_answer, port)


def test_abuse_26_a_byte_on_its_way_costs_no_answer(specialists: Specialists, runner: asyncio.Runner) -> None:
    assert runner.run(_late(specialists)).startswith(b"HTTP/1.1 408")


def test_abuse_26_slow_senders_are_closed(specialists: Specialists, runner: asyncio.Runner) -> None:
    runner.run(_besieged(specialists, Hasty, Limits(body_seconds=0.5), 60))


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="takes 40 seconds; nightly")
def test_abuse_26_a_thousand_slow_senders(specialists: Specialists, runner: asyncio.Runner) -> None:
    runner.run(_besieged(specialists, server.Protocol, Limits(), 1000))


NAMES = ["f g", "../../x", "", "f" * 129, "f\n", "f\0", "\U0001f600"]


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize("name", NAMES)
def test_abuse_25_names_of_tools_in_any_dialect(writer: Client, path: str, name: str) -> None:
    function = {"name": name, "parameters": {"type": "object"}}
    tool: dict[str, Any] = {"type": "function", "function": function}
    if path == "/v1/messages":
        tool = {"name": name, "input_schema": {"type": "object"}}
    elif path == "/v1/responses":
        tool = {"type": "function", **function}
    assert "tool" in refusal(ask(writer, path, tools=[tool]))


FROM_A_PAGE = ("origin", "referer", "cookie", "sec-fetch-site", "sec-fetch-mode")


def test_abuse_04_no_type_is_for_ollama_s_programs_only(writer: Client) -> None:
    """litellm names none. What a page sends without one has a header that tells, and stays refused."""
    body = b'{"model": "stories", "prompt": "Once", "stream": false, "options": {"num_predict": 2}}'
    assert writer.post("/api/generate", content=body).json()["eval_count"] == 2
    assert writer.post("/v1/completions", content=body).status_code == 415
    for name in FROM_A_PAGE:
        value = "http://127.0.0.1:11500" if name == "origin" else "x"
        assert refusal(writer.post("/api/generate", content=body, headers={name: value}), 415)
    assert refusal(writer.post("/api/generate", content=body, headers={"content-type": "text/plain"}), 415)
