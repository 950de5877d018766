"""Tools in three dialects: demanded calls of a real engine, free ones of a scripted worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from linnet.core.records import Model
from linnet.core.store import Store
from linnet.engines.llama.engine import LlamaEngine
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.stages.serve import Specialists
from tests.engines.made_llama import STORIES, make_gguf, needs_stories
from tests.engines.tool_templates import HERMES
from tests.engines.workers import fake_command, stories_plan
from tests.http.conftest import Client, assert_error
from tests.http.decoders import named, small_engine
from tests.http.test_anthropic import events
from tests.http.test_anthropic import refused as anthropic_refused
from tests.http.test_ollama import lines
from tests.http.test_ollama import refused as ollama_refused
from tests.http.test_openai import frames

pytestmark = needs_stories
WARM = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"]}
FUNCTION = {"name": "weather", "description": "Weather of a place", "parameters": WARM}
TOOLS = [{"type": "function", "function": FUNCTION}]
ANTHROPIC_TOOLS = [{"name": "weather", "description": "Weather of a place", "input_schema": WARM}]
ASK = [{"role": "user", "content": "Is it warm?"}]
NAMED = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture(scope="module")
def tooled(store: Store, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """`tooled` knows tools and has random weights; `chatty` knows none."""
    folder = tmp_path_factory.mktemp("tooled")
    models = [
        named("tooled", make_gguf(folder / "tooled.gguf", chat=HERMES)),
        named("chatty", make_gguf(folder / "chatty.gguf", chat=True)),
    ]
    decoders = Decoders(store, models, open_engine=small_engine)
    yield Client(create_app(Specialists(store), decoders=decoders), runner)
    decoders.close()


@pytest.fixture(scope="module")
def scripted(store: Store, runner: asyncio.Runner) -> Iterator[Client]:
    """A worker that says something, calls `weather` twice, and ends with what looks like a call and is none."""

    def open_scripted(model: Model, free_bytes: int, embedding: bool) -> LlamaEngine:
        return LlamaEngine(stories_plan(slots=2, template=HERMES), command=fake_command("calls"))

    decoders = Decoders(store, [named("tooled", STORIES)], open_engine=open_scripted)
    yield Client(create_app(Specialists(store), decoders=decoders), runner)
    decoders.close()


def openai(client: Client, **fields: Any) -> httpx.Response:
    body = {"model": "tooled", "messages": ASK, "tools": TOOLS, "max_tokens": 200, "seed": 1, **fields}
    return client.post("/v1/chat/completions", json=body)


def anthropic(client: Client, **fields: Any) -> httpx.Response:
    body = {"model": "tooled", "messages": ASK, "tools": ANTHROPIC_TOOLS, "max_tokens": 200, **fields}
    return client.post("/v1/messages", json=body)


def ollama(client: Client, **fields: Any) -> httpx.Response:
    body = {"model": "tooled", "messages": ASK, "tools": TOOLS, "options": {"num_predict": 200}, **fields}
    return client.post("/api/chat", json=body)


def joined(chunks: list[Any]) -> tuple[str, list[dict[str, str]], str]:
    """Content, calls and finish_reason that a client puts together from the chunks of one choice."""
    text, calls = "", []
    for chunk in chunks:
        (choice,) = chunk["choices"]
        text += choice["delta"].get("content") or ""
        for part in choice["delta"].get("tool_calls", []):
            if part["index"] == len(calls):
                assert part["type"] == "function"
                calls.append({"id": part["id"], "name": part["function"]["name"], "arguments": ""})
            calls[part["index"]]["arguments"] += part["function"]["arguments"]
    return text, calls, choice["finish_reason"]


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_openai_a_demanded_call(tooled: Client, choice: Any) -> None:
    more = {"tool_choice": choice, "parallel_tool_calls": False}
    answer = openai(tooled, **more).json()["choices"][0]
    assert answer["finish_reason"] == "tool_calls"
    assert answer["message"]["content"] is None
    (call,) = answer["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert call["id"].startswith("call_")
    assert isinstance(json.loads(call["function"]["arguments"])["warm"], bool)
    text, calls, finish = joined(frames(openai(tooled, stream=True, **more)))
    assert (text, finish) == ("", "tool_calls")
    assert [(one["name"], one["arguments"]) for one in calls] == [("weather", call["function"]["arguments"])]


def test_anthropic_a_demanded_call(tooled: Client) -> None:
    choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    answer = anthropic(tooled, tool_choice=choice).json()
    (block,) = answer["content"]
    assert answer["stop_reason"] == "tool_use"
    assert (block["type"], block["name"]) == ("tool_use", "weather")
    assert block["id"].startswith("toolu_")
    assert isinstance(block["input"]["warm"], bool)
    assert anthropic(tooled, tool_choice={"type": "any"}, max_tokens=4).json()["stop_reason"] == "max_tokens"


def test_openai_free_calls(scripted: Client) -> None:
    answer = openai(scripted).json()["choices"][0]
    whole = [(one["function"]["name"], one["function"]["arguments"]) for one in answer["message"]["tool_calls"]]
    assert whole == [("weather", '{"city": "Paris"}'), ("weather", '{"city": "Rome"}')]
    said = 'Let me look. <tool_call>{"name": "nobody"}</tool_call>'
    assert answer["message"]["content"] == said
    assert answer["finish_reason"] == "tool_calls"
    chunks = frames(openai(scripted, stream=True))
    text, calls, finish = joined(chunks)
    assert (text, [(one["name"], one["arguments"]) for one in calls], finish) == (said, whole, "tool_calls")
    assert len({one["id"] for one in calls}) == 2
    untouched = openai(scripted, tool_choice="none").json()["choices"][0]
    assert untouched["message"]["content"].count("<tool_call>") == 3
    assert untouched["finish_reason"] == "stop"


def test_openai_one_call_where_one_is_wanted(scripted: Client) -> None:
    answer = openai(scripted, parallel_tool_calls=False).json()["choices"][0]
    assert [one["function"]["arguments"] for one in answer["message"]["tool_calls"]] == ['{"city": "Paris"}']
    assert answer["finish_reason"] == "tool_calls"


def test_anthropic_free_calls(scripted: Client) -> None:
    answer = anthropic(scripted).json()
    assert [block["type"] for block in answer["content"]] == ["text", "tool_use", "tool_use"]
    found = events(anthropic(scripted, stream=True))
    starts = [data["content_block"] for name, data in found if name == "content_block_start"]
    assert [block["type"] for block in starts] == ["text", "tool_use", "tool_use", "text"]
    assert all(block["input"] == {} for block in starts if block["type"] == "tool_use")
    stops = [data["index"] for name, data in found if name == "content_block_stop"]
    assert stops == [0, 1, 2, 3]
    written = [data["delta"].get("partial_json") for name, data in found if name == "content_block_delta"]
    assert [json.loads(text) for text in written if text] == [{"city": "Paris"}, {"city": "Rome"}]
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"


def test_ollama_free_calls(scripted: Client) -> None:
    message = ollama(scripted, stream=False).json()["message"]
    assert [one["function"]["arguments"] for one in message["tool_calls"]] == [{"city": "Paris"}, {"city": "Rome"}]
    *parts, last = lines(ollama(scripted))
    assert last["done_reason"] == "stop"
    streamed = [one["function"] for part in parts for one in part["message"].get("tool_calls", [])]
    assert [one["arguments"] for one in streamed] == [{"city": "Paris"}, {"city": "Rome"}]
    assert "".join(part["message"]["content"] for part in parts) == message["content"]


def test_a_history_with_calls_is_in_the_prompt_of_every_dialect(tooled: Client) -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"warm": true}'}}
    chat = [*ASK, {"role": "assistant", "content": "", "tool_calls": [called]}]
    chat.append({"role": "tool", "content": "yes", "tool_call_id": "c1"})
    usage = openai(tooled, messages=chat, max_tokens=1).json()["usage"]["prompt_tokens"]
    assert usage > openai(tooled, max_tokens=1).json()["usage"]["prompt_tokens"] + 20
    use = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"warm": True}}
    blocks = [
        *ASK,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "yes"}]},
    ]
    assert anthropic(tooled, messages=blocks, max_tokens=1).json()["usage"]["input_tokens"] == usage
    counted = {"model": "tooled", "messages": blocks, "tools": ANTHROPIC_TOOLS}
    assert tooled.post("/v1/messages/count_tokens", json=counted).json() == {"input_tokens": usage}
    turns = [
        *ASK,
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"warm": True}}}]},
        {"role": "tool", "content": "yes", "tool_name": "weather"},
    ]
    assert ollama(tooled, messages=turns, stream=False).json()["prompt_eval_count"] == usage


def test_a_model_without_tools_says_so(tooled: Client) -> None:
    for response in (openai(tooled, model="chatty"), openai(tooled, model="chatty", stream=True)):
        assert "no place" in assert_error(response, 400, type="invalid_request_error", param="tools")
    assert "no place" in anthropic_refused(anthropic(tooled, model="chatty"), 400, "invalid_request_error")
    assert "no place" in ollama_refused(ollama(tooled, model="chatty"))
    history = [*ASK, {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}, *ASK]
    assert_error(openai(tooled, model="chatty", messages=history, tools=None), 400, param="tools")
    assert openai(tooled, model="chatty", tool_choice="none", max_tokens=1).status_code == 200
    shown = {name: tooled.post("/api/show", json={"model": name}).json() for name in ("tooled", "chatty")}
    assert [shown[name]["capabilities"] for name in shown] == [["completion", "tools"], ["completion"]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "../../x"}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "bogus"}}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": TOOLS * 65}, "tools"),
        ({"tools": TOOLS * 2}, "messages"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
        ({"tool_choice": "required", "tools": None}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [{"function": {"name": "f"}}]}]}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]}, None),
    ],
)
def test_abuse_25_openai(tooled: Client, fields: dict[str, Any], param: str | None) -> None:
    response = openai(tooled, **fields)
    assert_error(response, 400, type="invalid_request_error")
    if param:
        assert response.json()["error"]["param"].startswith(param)
    else:
        assert response.json()["error"]["param"] == "messages[0].tool_calls[0]"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"name": "../../x", "input_schema": {}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "bogus"}}]},
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {"tool_choice": {"type": "tool"}},
        {"tool_choice": {"type": "tool", "name": "nobody"}},
        {"tool_choice": {"type": "any"}, "tools": []},
        {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
    ],
)
def test_abuse_25_anthropic(tooled: Client, fields: dict[str, Any]) -> None:
    anthropic_refused(anthropic(tooled, **fields), 400, "invalid_request_error")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "../../x"}}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "bogus"}}}]},
        {"tools": [{"type": "function"}]},
        {"format": "json"},
    ],
)
def test_abuse_25_ollama(tooled: Client, fields: dict[str, Any]) -> None:
    ollama_refused(ollama(tooled, **fields))


def test_the_built_in_decoder_calls_a_tool_when_it_must(store: Store, runner: asyncio.Runner) -> None:
    from linnet.http.decoders import named_files

    decoders = Decoders(store, named_files(["builtin:nano"]), open_engine=small_engine)
    client = Client(create_app(Specialists(store), decoders=decoders), runner)
    try:
        answer = openai(client, model="builtin:nano", tool_choice="required").json()["choices"][0]
        (call,) = answer["message"]["tool_calls"]
        assert call["function"]["name"] == "weather"
        assert isinstance(json.loads(call["function"]["arguments"])["warm"], bool)
    finally:
        decoders.close()


RESPONSES_TOOLS = [{"type": "function", **FUNCTION}]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
def test_responses_demand_a_call(tooled: Client, choice: Any) -> None:
    body = {"model": "tooled", "input": "Is it warm?", "tools": RESPONSES_TOOLS, "tool_choice": choice}
    answer = tooled.post("/v1/responses", json={**body, "max_output_tokens": 200, "parallel_tool_calls": False}).json()
    (call,) = answer["output"]
    assert (call["type"], call["name"], call["status"]) == ("function_call", "weather", "completed")
    assert set(json.loads(call["arguments"])) == {"warm"}
    assert (answer["status"], answer["tool_choice"]) == ("completed", choice)
    assert answer["tools"][0]["parameters"] == WARM
    history = [{"role": "user", "content": "Is it warm?"}, call]
    history.append({"type": "function_call_output", "call_id": call["call_id"], "output": "yes"})
    next_body = {"model": "tooled", "input": history, "tools": RESPONSES_TOOLS, "max_output_tokens": 4}
    after = tooled.post("/v1/responses", json=next_body).json()
    chat = [{**ASK[0]}, {"role": "assistant", "tool_calls": [{"id": call["call_id"], "function": _called(call)}]}]
    chat.append({"role": "tool", "tool_call_id": call["call_id"], "content": "yes"})
    same = {"model": "tooled", "messages": chat, "tools": TOOLS, "max_tokens": 4}
    counted = tooled.post("/v1/chat/completions", json=same).json()["usage"]["prompt_tokens"]
    assert after["usage"]["input_tokens"] == counted
    count = tooled.post("/v1/responses/input_tokens", json={**next_body, "max_output_tokens": None}).json()
    assert "max_output_tokens" in count["error"]["message"]
    del next_body["max_output_tokens"]
    assert tooled.post("/v1/responses/input_tokens", json=next_body).json()["input_tokens"] == counted


def _called(call: dict[str, Any]) -> dict[str, Any]:
    return {"name": call["name"], "arguments": call["arguments"]}


def test_responses_stream_calls(scripted: Client) -> None:
    body = {"model": "tooled", "input": "Is it warm?", "tools": RESPONSES_TOOLS}
    whole = scripted.post("/v1/responses", json=body).json()
    found = events(scripted.post("/v1/responses", json={**body, "stream": True}))
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    done = [data["item"] for name, data in found if name == "response.output_item.done"]
    assert found[-1][1]["response"]["output"] == done
    calls = [one for one in done if one["type"] == "function_call"]
    assert len(calls) == 2
    assert [_called(one) for one in calls] == [
        _called(one) for one in whole["output"] if one["type"] == "function_call"
    ]
    parts: dict[int, str] = {}
    for name, data in found:
        if name == "response.function_call_arguments.delta":
            parts[data["output_index"]] = parts.get(data["output_index"], "") + data["delta"]
        elif name == "response.function_call_arguments.done":
            assert parts[data["output_index"]] == data["arguments"]
    texts = [part["text"] for one in done if one["type"] == "message" for part in one["content"]]
    assert "".join(texts) == "".join(
        part["text"] for one in whole["output"] if one["type"] == "message" for part in one["content"]
    )


@pytest.mark.parametrize("parallel", [True, False])
def test_a_free_call_is_held_to_its_schema_once_it_has_begun(tooled: Client, parallel: bool) -> None:
    """The bias makes the model of random weights begin a call; what follows is no chance."""
    begin = {"511": 100}
    body = {"model": "tooled", "messages": ASK, "tools": TOOLS, "max_tokens": 120, "temperature": 0}
    answer = tooled.post("/v1/chat/completions", json={**body, "logit_bias": begin, "parallel_tool_calls": parallel})
    choice = answer.json()["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert call["function"]["name"] == "weather"
    assert set(json.loads(call["function"]["arguments"])) == {"warm"}
    assert parallel or choice["finish_reason"] == "tool_calls"
    free = tooled.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]
    assert free["content"]
    assert "tool_calls" not in free
