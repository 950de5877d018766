"""The OpenAI dialect: models and chat completions."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linnet.http.openai_bodies import ChatBody
from tests.http.conftest import Client, assert_error
from tests.http.test_strict_json import VALUES


def frames(response: httpx.Response) -> list[Any]:
    """The data of every SSE frame; the last one must be [DONE]."""
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    *parts, rest = response.text.split("\n\n")
    assert rest == ""
    assert all(part.startswith("data: ") and "\n" not in part for part in parts)
    assert parts[-1] == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1]]


def test_models(client: Client) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert model["id"] == "support:1"
    assert model["object"] == "model"
    assert model["owned_by"] == "linnet"
    assert model["created"] > 1_700_000_000
    for name in ("support", "support:1", "support%3A1", "support:latest"):
        assert client.get(f"/v1/models/{name}").json() == model
    for name in ("nobody", "support:9", "org/name", "a/b:c", "..%2Fx", "CON"):
        assert_error(client.get(f"/v1/models/{name}"), 404, code="model_not_found", param="model")


def test_completion_is_the_label(client: Client) -> None:
    answer = client.chat().json()
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "support:1"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "delivery", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 1, "total_tokens": 7}
    assert client.chat().json()["system_fingerprint"] == answer["system_fingerprint"]


def test_last_message_of_the_user_is_read(client: Client) -> None:
    messages = [
        {"role": "system", "content": "refund refund refund"},
        {"role": "user", "content": "refund"},
        {"role": "assistant", "content": None, "tool_calls": [], "refusal": None, "annotations": []},
        {"role": "user", "content": [{"type": "text", "text": "where is my"}, {"type": "text", "text": "delivery"}]},
        {"role": "assistant", "content": "refund"},
        {"role": "tool", "content": "refund", "tool_call_id": "1"},
    ]
    assert client.chat(messages=messages).json()["choices"][0]["message"]["content"] == "delivery"


@pytest.mark.parametrize("with_usage", [None, False, True])
def test_stream(client: Client, with_usage: bool | None) -> None:
    options = {} if with_usage is None else {"stream_options": {"include_usage": with_usage}}
    chunks = frames(client.chat(stream=True, **options))
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    if with_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 6, "completion_tokens": 1, "total_tokens": 7}
        assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    else:
        assert not [chunk for chunk in chunks if "usage" in chunk]
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [choice["finish_reason"] for choice in choices] == [*[None] * (len(choices) - 1), "stop"]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    assert text == client.chat().json()["choices"][0]["message"]["content"]


def test_stream_fails_before_the_first_byte(client: Client) -> None:
    assert_error(client.chat(stream=True, model="nobody"), 404, code="model_not_found")
    long = [{"role": "user", "content": "refund " * 50}]
    message = assert_error(
        client.chat(stream=True, messages=long), 400, code="context_length_exceeded", param="messages"
    )
    assert "52" in message
    assert "32" in message
    assert_error(client.chat(stream_options={"include_usage": True}), 400, param="stream_options")


WITHOUT_EFFECT = {
    "n": 1,
    "temperature": 0.7,
    "top_p": 1,
    "presence_penalty": -2,
    "frequency_penalty": 2.0,
    "max_tokens": 1,
    "max_completion_tokens": 1_000_000,
    "stop": ["\n", "###"],
    "seed": -5,
    "user": "u",
    "metadata": {"team": "support"},
    "store": False,
    "logprobs": False,
    "logit_bias": {},
    "response_format": {"type": "text"},
    "tool_choice": "none",
    "modalities": ["text"],
    "parallel_tool_calls": True,
    "service_tier": "auto",
    "stream": False,
    "tools": None,
    "reasoning_effort": None,
}


def test_parameters_that_cannot_matter_change_nothing(client: Client) -> None:
    plain = client.chat().json()
    for fields in (WITHOUT_EFFECT, *({key: value} for key, value in WITHOUT_EFFECT.items())):
        answer = client.chat(**fields)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"] == plain["choices"]
    assert client.chat(stop="one").status_code == 200


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tools", []),
        ("tool_choice", "auto"),
        ("functions", []),
        ("function_call", "auto"),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}),
        ("logprobs", True),
        ("logprobs", 0),
        ("top_logprobs", 1),
        ("logit_bias", {"50256": -100}),
        ("modalities", ["text", "audio"]),
        ("audio", {}),
        ("prediction", {}),
        ("store", True),
        ("reasoning_effort", "low"),
        ("verbosity", "low"),
        ("web_search_options", {}),
    ],
)
def test_parameters_that_would_matter_are_refused_by_name(client: Client, param: str, value: object) -> None:
    message = assert_error(client.chat(**{param: value}), 400, type="invalid_request_error", param=param)
    assert param in message


@pytest.mark.parametrize("value", [100_000, 2, 0, -1, 1.5, True, "1", [1]])
def test_abuse_17_n(client: Client, value: object) -> None:
    assert_error(client.chat(n=value), 400, type="invalid_request_error", param="n")


@pytest.mark.parametrize("param", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -1, 1_000_000_000, 1_000_001, 1.5, True, "2"])
def test_abuse_17_max_tokens(client: Client, param: str, value: object) -> None:
    assert_error(client.chat(**{param: value}), 400, type="invalid_request_error", param=param)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", 1e308),
        ("temperature", -1),
        ("temperature", 2.01),
        ("temperature", "1"),
        ("temperature", True),
        ("top_p", 2),
        ("top_p", -0.1),
        ("top_logprobs", 21),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("stop", []),
        ("presence_penalty", 2.5),
        ("seed", 2**63),
        ("metadata", {str(i): "x" for i in range(17)}),
        ("service_tier", "best"),
    ],
)
def test_abuse_18_ranges(client: Client, param: str, value: object) -> None:
    assert_error(client.chat(**{param: value}), 400, type="invalid_request_error", param=param)


@pytest.mark.parametrize("stop", ["", ["a", ""], [1]])
def test_abuse_18_empty_stop(client: Client, stop: object) -> None:
    assert assert_error(client.chat(stop=stop), 400, type="invalid_request_error").startswith('"stop')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e309"])
def test_abuse_18_numbers_that_are_none(client: Client, number: str) -> None:
    start = '{"model": "support", "messages": [{"role": "user", "content": "x"}], "temperature": '
    body = start + number + "}"
    assert_error(client.post_bytes("/v1/chat/completions", body.encode()), 400, type="invalid_request_error")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ("hello", "messages"),
        ([{"role": "system", "content": "x"}], "messages"),
        ([{"role": "user", "content": ""}], "messages"),
        ([{"role": "user", "content": []}], "messages"),
        ([{"role": "user"}], "messages"),
        ([{"role": "tutor", "content": "x"}], "messages[0].role"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": "x", "contents": "y"}], "messages[0].contents"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": "x"}] * 1001, "messages"),
    ],
)
def test_wrong_messages(client: Client, messages: object, param: str) -> None:
    assert_error(client.chat(messages=messages), 400, type="invalid_request_error", param=param)


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "refusal"])
def test_only_text_parts(client: Client, kind: str) -> None:
    parts = [{"type": "text", "text": "x"}, {"type": kind, kind: {"url": "file:///etc/passwd"}}]
    message = assert_error(
        client.chat(messages=[{"role": "user", "content": parts}]), 400, param="messages[0].content[1].type"
    )
    assert kind in message


@pytest.mark.parametrize("field", ["chat_template", "n_discard", "id_slot", "lora", "temprature"])
def test_unknown_fields_are_refused(client: Client, field: str) -> None:
    assert_error(client.chat(**{field: 1}), 400, type="invalid_request_error", param=field)


FIELDS = st.sampled_from(sorted(ChatBody.model_fields))
BODIES = st.dictionaries(FIELDS, VALUES, max_size=4)


@given(BODIES, st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_makes_the_server_fail(client: Client, fields: dict[str, object], whole: bool) -> None:
    response = client.chat(**fields) if whole else client.post("/v1/chat/completions", json=fields)
    assert response.status_code in (200, 400, 404)
    if response.status_code != 200:
        assert_error(response, response.status_code, type="invalid_request_error")
