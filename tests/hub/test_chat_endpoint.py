"""An endpoint that is slow, busy, broken or not allowed: every wait ends, every failure is named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from linnet.core.errors import HubError, InputError
from linnet.hub.chat_endpoint import ANSWER_BYTES, ChatEndpoint, EndpointFailed, Patience
from tests.endpoints import listening, reply
from tests.endpoints import said as said_with

Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any], int], None]
QUICK = Patience(request_s=0.5, tries=3, pause_s=0.01)


def said(text: str) -> bytes:
    return said_with(text, usage={"prompt_tokens": 3, "completion_tokens": 1})


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    with ExitStack() as servers:

        def start(answer: Answer) -> str:
            asked: list[dict[str, Any]] = []

            def answered(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
                asked.append(body)
                answer(handler, body, len(asked))

            return f"{servers.enter_context(listening(answered))}/v1"

        yield start


def ask(url: str, patience: Patience = QUICK, **options: Any) -> str:
    client = ChatEndpoint(url, "m", patience)
    try:
        return client.chat([{"role": "user", "content": "hi"}], options).text
    finally:
        client.close()


def test_an_answer(serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any], _: int) -> None:
        seen.append((handler.path, handler.headers["authorization"], body))
        reply(handler, 200, said("yes"))

    monkeypatch.setenv("LINNET_ENDPOINT_KEY", "secret")
    assert ask(serve(answer), Patience(), max_tokens=5) == "yes"
    told = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    assert seen == [("/v1/chat/completions", "Bearer secret", told)]


def test_a_busy_endpoint_is_asked_again_and_waited_for(serve: Callable[[Answer], str]) -> None:
    waited: list[float] = []

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, Any], number: int) -> None:
        if number < 3:
            reply(handler, 429, b'{"error": {"message": "slow down"}}', retry_after="7")
        else:
            reply(handler, 200, said("at last"))

    client = ChatEndpoint(serve(answer), "m", Patience(longest_pause_s=5), sleep=waited.append)
    assert client.chat([], {}).text == "at last"
    assert waited == [5, 5]  # what it asks for, within our limit


@pytest.mark.parametrize(
    ("status", "body", "words", "tries"),
    [
        (400, b'{"error": {"message": "no such field"}}', "400: no such field", 1),
        (404, b"<html>", "404: <html>", 1),
        (503, b'{"error": "full"}', r"503: full \(3 tries\)", 3),
        (302, b"", "302", 1),
        (200, b"not json", "not JSON", 1),
        (200, b'{"choices": []}', "no choices", 1),
        (200, b'{"choices": [{"message": {"content": null}}]}', "no text", 1),
        (200, b"x" * (ANSWER_BYTES + 1), "larger than 8 MiB", 1),
    ],
)
def test_what_is_no_answer_is_named(
    serve: Callable[[Answer], str], status: int, body: bytes, words: str, tries: int
) -> None:
    asked: list[int] = []

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, Any], number: int) -> None:
        asked.append(number)
        reply(handler, status, body, location="http://127.0.0.1:9/")

    with pytest.raises(EndpointFailed, match=words):
        ask(serve(answer), Patience(request_s=30, tries=3, pause_s=0.01))
    assert len(asked) == tries


def test_one_that_hangs_is_given_up(serve: Callable[[Answer], str]) -> None:
    over = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, Any], number: int) -> None:
        over.wait(60)

    with pytest.raises(EndpointFailed, match=r"did not answer within 0.5 s \(3 tries\)"):
        ask(serve(answer))
    over.set()


def test_one_that_drips_is_given_up(serve: Callable[[Answer], str]) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: dict[str, Any], number: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(300):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass

    with pytest.raises(EndpointFailed, match=r"longer than 0\.5 s"):
        ask(serve(answer))


def test_nobody_there() -> None:
    with pytest.raises(EndpointFailed, match="no connection") as found:
        ask("http://127.0.0.1:9/v1")
    assert found.value.is_down


@pytest.mark.parametrize("url", ["http://192.0.2.1/v1", "https://example.org/v1", "http://127.0.0.1.nip.io/v1"])
def test_another_machine_is_asked_only_when_it_is_named(url: str) -> None:
    with pytest.raises(InputError, match="is not this machine"):
        ChatEndpoint(url, "m")


def test_offline_means_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_ENDPOINT_HOSTS", "example.org")
    for name in ("LINNET_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    ChatEndpoint("https://example.org/v1", "m").close()
    monkeypatch.setenv("LINNET_OFFLINE", "1")
    with pytest.raises(HubError, match="Offline"):
        ChatEndpoint("https://example.org/v1", "m")
    ChatEndpoint("http://127.0.0.1:9", "m").close()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/v1", "http://127.0.0.1/?a=1"]
)
def test_no_address(url: str) -> None:
    with pytest.raises(InputError, match=r"no address|query"):
        ChatEndpoint(url, "m")
