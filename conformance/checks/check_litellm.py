"""litellm: one server under the names of three providers."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a list of prices when it is imported

import litellm
import pytest

URL = os.environ["BASE_URL"]
MESSAGES = [{"role": "user", "content": "Say hello."}]
ROUTES = [
    {"model": "openai/nano", "api_base": URL + "/v1", "api_key": "none"},
    {"model": "ollama_chat/nano", "api_base": URL},
    {"model": "anthropic/nano", "api_base": URL, "api_key": "none"},
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route["model"])
def test_completion_and_stream_say_the_same(route):
    fields = {**route, "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    answer = litellm.completion(**fields)
    text = answer.choices[0].message.content
    parts = litellm.completion(**fields, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == text
    assert answer.usage.completion_tokens > 0


def test_embedding():
    assert len(litellm.embedding(**ROUTES[0], input=["a", "b"]).data) == 2
