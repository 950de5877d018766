"""POST /v1/responses, with the real engine."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from linnet.engines.requests.generation import Message
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from tests.http.conftest import Client, assert_error
from tests.http.decoders import faulty
from tests.http.test_anthropic import events
from tests.http.test_openai_generate import SCHEMA, greedy

ORDER = ["created", "in_progress", "output_item.added", "content_part.added"]
ENDING = ["output_text.done", "content_part.done", "output_item.done", "incomplete"]


def ask(client: Client, **fields: Any) -> httpx.Response:
    body = {"model": "chatty", "input": "Tell me a story", "max_output_tokens": 12, "temperature": 0, **fields}
    return client.post("/v1/responses", json=body)


def test_an_answer(writer: Client, decoders: Decoders) -> None:
    end = greedy(decoders, "chatty", messages=(Message("system", "Hi"), Message("user", "Tell me a story")))
    answer = ask(writer, instructions="Hi").json()
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "incomplete", "chatty:latest")
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    (item,) = answer["output"]
    assert item["content"] == [{"type": "output_text", "text": end.text, "annotations": [], "logprobs": []}]
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (end.prompt_tokens, 12)
    parts = [{"type": "input_text", "text": "Tell me a story"}]
    items = [{"role": "developer", "content": "Hi"}, {"type": "message", "role": "user", "content": parts}]
    assert ask(writer, input=items).json()["output"][0]["content"] == item["content"]
    counted = writer.post("/v1/responses/input_tokens", json={"model": "chatty", "input": items}).json()
    assert counted == {"object": "response.input_tokens", "input_tokens": end.prompt_tokens}


def test_a_stream(writer: Client) -> None:
    whole = ask(writer).json()
    found = events(ask(writer, stream=True))
    names = [name.removeprefix("response.") for name, _ in found]
    assert names[:4] == ORDER
    assert names[-4:] == ENDING
    assert set(names[4:-4]) == {"output_text.delta"}
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    text = "".join(data["delta"] for name, data in found if name.endswith("delta"))
    assert (
        text == whole["output"][0]["content"][0]["text"] == found[-1][1]["response"]["output"][0]["content"][0]["text"]
    )
    assert found[-1][1]["response"]["usage"]["output_tokens"] == 12


def test_json(writer: Client) -> None:
    form = {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}
    answer = ask(writer, text={"format": form}, max_output_tokens=80, temperature=1).json()
    assert answer["text"]["format"] == form
    text = answer["output"][0]["content"][0]["text"]
    assert text.replace(" ", "").replace("\n", "").replace("\t", "").startswith('{"ok":')


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "name": "a", "strickt": True}]}, "tools[0].strickt"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"truncation": "auto"}, "truncation"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"not": {}}}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "name": "a b"}}}, "text.format.name"),
        ({"input": []}, "input"),
        ({"input": [{"type": "computer_call", "call_id": "1"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": "dog " * 600}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"model": "support"}, "model"),
        ({"model": "stories"}, "input"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(writer: Client, fields: dict[str, Any], param: str) -> None:
    assert_error(ask(writer, **fields), 400, type="invalid_request_error", param=param)


def test_a_fault_in_a_stream_is_its_last_event(writer: Client, specialists: Any, monkeypatch: Any) -> None:
    broken = faulty(specialists.store, "cut-off")
    client = Client(create_app(specialists, decoders=broken), writer.runner)
    monkeypatch.setattr("linnet.engines.llama.engine.LlamaEngine.prompt_ids", lambda *_: [1, 2, 3])
    try:
        found = events(ask(client, model="stories", stream=True))
        assert found[-1][0] == "error"
        assert found[-1][1]["error"]["code"] == "engine_crashed"
        assert json.dumps("response.completed") not in [name for name, _ in found]
    finally:
        broken.close()
