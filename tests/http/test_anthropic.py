"""The Anthropic dialect, with the real engine."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from linnet.engines.requests.generation import Message
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.stages.serve import Specialists
from tests.http.conftest import Client
from tests.http.decoders import faulty
from tests.http.test_openai_generate import MESSAGES, greedy


def ask(client: Client, **fields: Any) -> httpx.Response:
    body = {"model": "chatty", "max_tokens": 12, "messages": MESSAGES, "temperature": 0, **fields}
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    return client.post("/v1/messages", json=body, headers=headers)


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *parts, rest = response.text.split("\n\n")
    assert rest == ""
    found = []
    for part in parts:
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        assert found[-1][0] == found[-1][1]["type"]
    return found


def refused(response: httpx.Response, status: int, kind: str) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    return str(body["error"]["message"])


def test_a_message(writer: Client, decoders: Decoders) -> None:
    end = greedy(decoders, "chatty", messages=(Message("system", "Hi"), Message("user", "Tell me a story")))
    blocks = [{"type": "text", "text": "Tell me a story", "cache_control": {"type": "ephemeral"}}]
    answer = ask(writer, system="Hi", messages=[{"role": "user", "content": blocks}]).json()
    assert answer["id"].startswith("msg_")
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", "chatty:latest")
    assert answer["content"] == [{"type": "text", "text": end.text}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("max_tokens", None)
    assert answer["usage"] == {"input_tokens": end.prompt_tokens, "output_tokens": 12}
    count = {"model": "chatty", "messages": MESSAGES, "system": [{"type": "text", "text": "Hi"}]}
    assert writer.post("/v1/messages/count_tokens", json=count).json() == {"input_tokens": end.prompt_tokens}


def test_a_stream(writer: Client) -> None:
    whole = ask(writer).json()
    found = events(ask(writer, stream=True))
    names = [name for name, _ in found]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[2:-3]) == {"content_block_delta"}
    assert found[0][1]["message"]["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
    text = "".join(data["delta"]["text"] for name, data in found if name == "content_block_delta")
    assert text == whole["content"][0]["text"]
    assert found[-2][1]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert found[-2][1]["usage"]["output_tokens"] == 12


def test_stop_sequence(writer: Client) -> None:
    text = ask(writer).json()["content"][0]["text"]
    stop = text[8:11]
    answer = ask(writer, stop_sequences=["never this", stop]).json()
    assert answer["content"][0]["text"] == text[: text.index(stop)]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", stop)
    assert ask(writer, max_tokens=100_000, temperature=1).json()["stop_reason"] != "max_tokens"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"max_tokens": None},
        {"messages": []},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [*MESSAGES, {"role": "assistant", "content": "Once"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        {"temperature": 1.5},
        {"tools": [{"name": "x", "input_schema": {}}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"nonsense": 1},
        {"stop_sequences": [""]},
        {"model": "support"},
        {"model": "stories"},
    ],
)
def test_bad_requests(writer: Client, fields: dict[str, Any]) -> None:
    refused(ask(writer, **fields), 400, "invalid_request_error")


def test_errors(writer: Client) -> None:
    refused(ask(writer, model="nobody"), 404, "not_found_error")
    refused(writer.post_bytes("/v1/messages", b"{bad"), 400, "invalid_request_error")
    refused(writer.get("/v1/messages"), 405, "invalid_request_error")
    refused(writer.post("/v1/messages", json={}, headers={"host": "evil.example"}), 403, "permission_error")
    long = [{"role": "user", "content": "dog " * 600}]
    assert "512" in refused(ask(writer, messages=long), 400, "invalid_request_error")


def test_faults(specialists: Specialists, writer: Client) -> None:
    for mode, status, kind in (("cut-off", 502, "api_error"), ("no-memory", 529, "overloaded_error")):
        broken = faulty(specialists.store, mode)
        client = Client(create_app(specialists, decoders=broken), writer.runner)
        try:
            body = {"model": "stories", "max_tokens": 9, "messages": MESSAGES}
            found = client.post("/v1/messages", json=body)
            if mode == "no-memory":
                refused(found, status, kind)
            else:
                assert found.status_code == 400  # the stand-in has no template
        finally:
            broken.close()


def test_an_answer_under_a_schema(writer: Client) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    more = {"max_tokens": 200, "temperature": 1, "cache_control": {"type": "ephemeral"}}
    text = ask(writer, output_config=config, **more).json()["content"][0]["text"]
    assert text.replace(" ", "").replace("\n", "").replace("\t", "").startswith('{"ok":')
    wrong = {"format": {"type": "json_schema", "schema": {"not": {}}}}
    assert "'not'" in refused(ask(writer, output_config=wrong), 400, "invalid_request_error")
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    assert "tools" in refused(ask(writer, output_config=config, tools=tools), 400, "invalid_request_error")
    assert "effort" in refused(ask(writer, output_config={"effort": "high"}), 400, "invalid_request_error")
