"""openai: chat, tools, schemas, log-probabilities, completions, embeddings, models, responses."""

from __future__ import annotations

import json
import os

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

CLIENT = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none", max_retries=0)
MESSAGES = [{"role": "user", "content": "Say hello."}]
LIMIT = {"model": "nano", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


def test_chat():
    answer = CLIENT.chat.completions.create(**LIMIT)
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_stream_says_the_same():
    whole = CLIENT.chat.completions.create(**LIMIT)
    chunks = list(CLIENT.chat.completions.create(**LIMIT, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_chat_stream_helper():
    with CLIENT.chat.completions.stream(**LIMIT) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].finish_reason in ("stop", "length")


def test_logprobs_and_choices():
    answer = CLIENT.chat.completions.create(
        **{**LIMIT, "temperature": 1}, logprobs=True, top_logprobs=2, n=2, seed=1, stop=["\n"], logit_bias={"1": -1}
    )
    assert len(answer.choices) == 2
    assert all(token.logprob <= 0 for token in answer.choices[0].logprobs.content)


def test_forced_tool():
    answer = CLIENT.chat.completions.create(**{**LIMIT, "max_tokens": 100}, tools=[TOOL], tool_choice="required")
    (call, *_) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)
    turn = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    turns = [*MESSAGES, answer.choices[0].message.model_dump(exclude_none=True), turn]
    assert CLIENT.chat.completions.create(**{**LIMIT, "messages": turns}, tools=[TOOL]).choices


def test_schema_parsed_into_a_model():
    class Answer(BaseModel):
        ok: bool

    answer = CLIENT.chat.completions.parse(**{**LIMIT, "max_tokens": 40}, response_format=Answer)
    assert isinstance(answer.choices[0].message.parsed, Answer)


def test_completions():
    answer = CLIENT.completions.create(model="nano", prompt=["a", "b"], max_tokens=4, logprobs=1, echo=False)
    assert len(answer.choices) == 2
    assert len(list(CLIENT.completions.create(model="nano", prompt="a", max_tokens=4, stream=True))) > 1


def test_fill_in_the_middle():
    assert CLIENT.completions.create(model="nano", prompt="def f(", suffix="return x", max_tokens=8).choices


def test_embeddings():
    answer = CLIENT.embeddings.create(model="nano", input=["a", "b"])
    assert [one.index for one in answer.data] == [0, 1]
    floats = CLIENT.embeddings.create(model="nano", input="a", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(answer.data[0].embedding, abs=1e-6)


def test_models():
    assert "nano:latest" in [model.id for model in CLIENT.models.list()]
    assert CLIENT.models.retrieve("nano").object == "model"


def test_responses():
    answer = CLIENT.responses.create(model="nano", input="Say hello.", max_output_tokens=16, temperature=0)
    assert answer.output_text == answer.output[0].content[0].text
    with CLIENT.responses.stream(model="nano", input="Say hello.", max_output_tokens=16, temperature=0) as stream:
        events = [event.type for event in stream]
    assert events[0] == "response.created"
    assert events[-1] in ("response.completed", "response.incomplete")


def test_classify_as_a_chat():
    answer = CLIENT.chat.completions.create(model="support", messages=[{"role": "user", "content": "my money back"}])
    assert answer.choices[0].message.content in ("refund", "delivery", "other")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (openai.NotFoundError, {"model": "nothing"}),
        (openai.BadRequestError, {"temperature": 5}),
        (openai.BadRequestError, {"messages": [{"role": "user", "content": "x " * 5000}]}),
    ],
)
def test_errors_are_the_client_s_own(kind, fields):
    with pytest.raises(kind) as caught:
        CLIENT.chat.completions.create(**{**LIMIT, **fields})
    assert caught.value.type == "invalid_request_error"
