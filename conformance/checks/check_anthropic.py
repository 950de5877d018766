"""anthropic: messages, streams, tools, counting, errors."""

from __future__ import annotations

import os

import anthropic
import pytest

CLIENT = anthropic.Anthropic(base_url=os.environ["BASE_URL"], api_key="none", max_retries=0)
GREEDY = {"extra_body": {"temperature": 0}}  # newer clients have no parameter for it
LIMIT = {"model": "nano", "max_tokens": 12, "messages": [{"role": "user", "content": "Say hello."}], **GREEDY}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "The weather.", "input_schema": SCHEMA}


def test_message():
    answer = CLIENT.messages.create(**LIMIT, system="Be brief.")
    assert answer.content[0].type == "text"
    assert answer.stop_reason in ("end_turn", "max_tokens")


def test_stream_says_the_same():
    whole = CLIENT.messages.create(**LIMIT)
    with CLIENT.messages.stream(**LIMIT) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text
    assert (final.usage.input_tokens, final.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_forced_tool(choice):
    answer = CLIENT.messages.create(**{**LIMIT, "max_tokens": 100}, tools=[TOOL], tool_choice=choice)
    assert answer.stop_reason == "tool_use"
    call = next(block for block in answer.content if block.type == "tool_use")
    assert "city" in call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    turns = [
        *LIMIT["messages"],
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    assert CLIENT.messages.create(**{**LIMIT, "messages": turns}, tools=[TOOL]).content


def test_count():
    counted = CLIENT.messages.count_tokens(model="nano", messages=LIMIT["messages"])
    assert counted.input_tokens == CLIENT.messages.create(**LIMIT).usage.input_tokens


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(anthropic.NotFoundError, {"model": "nothing"}), (anthropic.BadRequestError, {"extra_body": {"temperature": 2}})],
)
def test_errors_are_the_client_s_own(kind, fields):
    with pytest.raises(kind):
        CLIENT.messages.create(**{**LIMIT, **fields})
