"""One language inside: the same chat gives the same text and the same counts in every dialect, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from linnet.engines.requests.generation import Generation, Message
from linnet.http.decoders import Decoders
from tests.http.conftest import Client
from tests.http.test_anthropic import events
from tests.http.test_openai import frames
from tests.http.test_openai_generate import greedy

CHATS = [
    [("user", "Tell me a story")],
    [
        ("system", "Speak of dogs."),
        ("user", "Hello \u00e9\U0001f600 <|im_end|>"),
        ("assistant", "Hi."),
        ("user", "More"),
    ],
]
TOKENS = 24
Said = tuple[str, int, int]  # the text, the prompt's tokens, the answer's
Turns = list[dict[str, str]]


def openai_chat(client: Client, turns: Turns, stream: bool) -> Said:
    body = {"model": "chatty", "messages": turns, "temperature": 0, "max_tokens": TOKENS, "stream": stream}
    more = {"stream_options": {"include_usage": True}} if stream else {}
    response = client.post("/v1/chat/completions", json={**body, **more})
    if not stream:
        answer = response.json()
        return answer["choices"][0]["message"]["content"], *_openai_usage(answer["usage"])
    chunks = frames(response)
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    return text, *_openai_usage(chunks[-1]["usage"])


def _openai_usage(usage: dict[str, int]) -> tuple[int, int]:
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return usage["prompt_tokens"], usage["completion_tokens"]


def openai_responses(client: Client, turns: Turns, stream: bool) -> Said:
    body = {"model": "chatty", "input": turns, "temperature": 0, "max_output_tokens": TOKENS, "stream": stream}
    response = client.post("/v1/responses", json=body)
    answer = response.json() if not stream else events(response)[-1][1]["response"]
    text = answer["output"][0]["content"][0]["text"]
    if stream:
        pieces = [data["delta"] for name, data in events(response) if name == "response.output_text.delta"]
        assert "".join(pieces) == text
    return text, answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]


def anthropic(client: Client, turns: Turns, stream: bool) -> Said:
    system = "".join(turn["content"] for turn in turns if turn["role"] == "system")
    rest = [turn for turn in turns if turn["role"] != "system"]
    body = {"model": "chatty", "messages": rest, "temperature": 0, "max_tokens": TOKENS, "stream": stream}
    response = client.post("/v1/messages", json={**body, **({"system": system} if system else {})})
    if not stream:
        answer = response.json()
        return answer["content"][0]["text"], answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]
    found = events(response)
    text = "".join(data["delta"]["text"] for name, data in found if name == "content_block_delta")
    (usage,) = (data["usage"] for name, data in found if name == "message_delta")
    assert found[0][1]["message"]["usage"]["input_tokens"] == usage["input_tokens"]
    return text, usage["input_tokens"], usage["output_tokens"]


def ollama(client: Client, turns: Turns, stream: bool) -> Said:
    options = {"temperature": 0, "num_predict": TOKENS}
    body = {"model": "chatty", "messages": turns, "options": options, "stream": stream}
    return _ollama(client.post("/api/chat", json=body), lambda line: line["message"]["content"])


def _ollama(response: httpx.Response, text: Callable[[Any], str]) -> Said:
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines[-1]["done"] is True
    return "".join(map(text, lines)), lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]


def ollama_prompt(client: Client, turns: Turns, stream: bool) -> Said:
    """The same from a system text and a prompt, where the chat is no more than that."""
    if len(turns) > 1:
        return ollama(client, turns, stream)
    options = {"temperature": 0, "num_predict": TOKENS}
    body = {"model": "chatty", "prompt": turns[0]["content"], "options": options, "stream": stream}
    return _ollama(client.post("/api/generate", json=body), lambda line: line["response"])


@pytest.mark.parametrize("chat", CHATS, ids=["one turn", "four turns"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", [openai_chat, openai_responses, anthropic, ollama, ollama_prompt])
def test_every_dialect_says_what_the_engine_says(
    writer: Client,
    decoders: Decoders,
    dialect: Callable[[Client, Turns, bool], Said],
    stream: bool,
    chat: list[tuple[str, str]],
) -> None:
    end: Generation = greedy(decoders, "chatty", TOKENS, messages=tuple(Message(*turn) for turn in chat))
    turns = [{"role": role, "content": content} for role, content in chat]
    assert dialect(writer, turns, stream) == (end.text, end.prompt_tokens, end.completion_tokens)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_raw_prompts_say_what_the_engine_says(writer: Client, decoders: Decoders, stream: bool) -> None:
    end = greedy(decoders, "stories", TOKENS)
    options = {"temperature": 0, "num_predict": TOKENS}
    body = {"model": "stories", "prompt": "Once upon a time", "raw": True, "options": options, "stream": stream}
    said = _ollama(writer.post("/api/generate", json=body), lambda line: line["response"])
    assert said == (end.text, end.prompt_tokens, end.completion_tokens)
    more = {"stream_options": {"include_usage": True}} if stream else {}
    body = {"model": "stories", "prompt": "Once upon a time", "temperature": 0, "max_tokens": TOKENS, "stream": stream}
    response = writer.post("/v1/completions", json={**body, **more})
    chunks = frames(response) if stream else [response.json()]
    text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    assert (text, *_openai_usage(chunks[-1]["usage"])) == (end.text, end.prompt_tokens, end.completion_tokens)
