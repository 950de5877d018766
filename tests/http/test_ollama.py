"""The Ollama dialect, with the real engine."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from linnet.core.errors import ResourceMissing
from linnet.core.records import Model
from linnet.core.store import Store
from linnet.engines.llama.engine import LlamaEngine
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from tests.http.conftest import Client
from tests.http.decoders import STORY, faulty, small_engine
from tests.http.test_openai_generate import MESSAGES, SCHEMA, greedy

OPTIONS = {"temperature": 0, "num_predict": 12}


def generate(client: Client, **fields: Any) -> httpx.Response:
    body = {"model": "stories", "prompt": STORY, "options": OPTIONS, **fields}
    return client.post("/api/generate", json=body)


def chat(client: Client, **fields: Any) -> httpx.Response:
    return client.post("/api/chat", json={"model": "chatty", "messages": MESSAGES, "options": OPTIONS, **fields})


def lines(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def refused(response: httpx.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    return str(response.json()["error"])


def test_generate_streams_unless_told_otherwise(writer: Client, decoders: Decoders) -> None:
    end = greedy(decoders)
    *parts, last = lines(generate(writer))
    assert "".join(part["response"] for part in parts) == end.text
    assert {part["done"] for part in parts} == {False}
    assert last["done"] is True
    assert last["done_reason"] == "length"
    assert (last["prompt_eval_count"], last["eval_count"]) == (end.prompt_tokens, 12)
    for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
        assert type(last[name]) is int
    assert datetime.fromisoformat(last["created_at"]).tzinfo
    whole = generate(writer, stream=False).json()
    assert whole["response"] == end.text
    assert whole["model"] == "stories:latest"
    assert generate(writer, raw=True, stream=False).json()["response"] == end.text


def test_chat(writer: Client, decoders: Decoders) -> None:
    from linnet.engines.requests.generation import Message

    end = greedy(decoders, "chatty", messages=(Message("user", "Tell me a story"),))
    parts = lines(chat(writer))
    assert "".join(part["message"]["content"] for part in parts) == end.text
    assert chat(writer, stream=False).json()["message"] == {"role": "assistant", "content": end.text}
    told = generate(writer, model="chatty:latest", prompt="Tell me a story", stream=False).json()
    assert told["response"] == end.text
    assert told["prompt_eval_count"] == end.prompt_tokens


def test_format(writer: Client) -> None:
    options = {"num_predict": 60, "seed": 3}
    answer = chat(writer, format=SCHEMA, options=options, stream=False).json()["message"]["content"]
    assert answer.replace(" ", "").replace("\n", "").replace("\t", "").startswith('{"ok":')
    assert chat(writer, format="json", options=options, stream=False).json()["message"]["content"].startswith("{")
    assert "json" in refused(chat(writer, format="xml"))
    assert "not" in refused(chat(writer, format={"not": {}}))


def test_logprobs_and_stop(writer: Client) -> None:
    answer = generate(writer, logprobs=True, top_logprobs=2, stream=False).json()
    assert [len(one["top_logprobs"]) for one in answer["logprobs"]] == [2] * len(answer["logprobs"])
    stop = answer["response"][10:13]
    cut = generate(writer, options={**OPTIONS, "stop": [stop]}, stream=False).json()
    assert cut["response"] == answer["response"][: answer["response"].index(stop)]
    assert cut["done_reason"] == "stop"


def test_load_and_unload(writer: Client, decoders: Decoders) -> None:
    body = {"model": "stories"}
    assert writer.post("/api/generate", json=body).json()["done_reason"] == "load"
    assert "stories:latest" in [model["name"] for model in writer.get("/api/ps").json()["models"]]
    assert writer.post("/api/generate", json={**body, "keep_alive": 0}).json()["done_reason"] == "unload"
    assert "stories:latest" not in [model["name"] for model in writer.get("/api/ps").json()["models"]]
    assert writer.post("/api/chat", json={**body, "messages": [], "keep_alive": "0s"}).status_code == 200
    assert generate(writer, keep_alive="5m").status_code == 200


@pytest.mark.parametrize("value", [-1, "-1", "999999h", "1h30m", 10**12, 0.5])
def test_abuse_27_keep_alive_is_clamped(writer: Client, decoders: Decoders, value: Any) -> None:
    assert generate(writer, keep_alive=value, stream=False).status_code == 200
    (row,) = [row for row in decoders.pool.ps() if "stories:latest" in row.names]
    assert row.expires_s is None or row.expires_s <= 7 * 86400
    (model,) = [model for model in writer.get("/api/ps").json()["models"] if model["name"] == "stories:latest"]
    assert datetime.fromisoformat(model["expires_at"])
    assert generate(writer, stream=False).status_code == 200


@pytest.mark.parametrize("value", ["abc", "", "5 minutes", True, None, [], "1e9h"])
def test_abuse_27_keep_alive_is_refused(writer: Client, value: Any) -> None:
    response = generate(writer, keep_alive=value, stream=False)
    if value is None:
        assert response.status_code == 200
    else:
        assert "keep_alive" in refused(response)


@pytest.mark.parametrize(
    "options", [{"num_ctx": 2**31}, {"num_ctx": 1 << 24}, {"num_predict": 0}, {"mirostat": 1}, {"temprature": 1}]
)
def test_options_are_an_allow_list(writer: Client, options: dict[str, Any]) -> None:
    assert next(iter(options)) in refused(generate(writer, options=options))


def test_options_that_change_nothing(writer: Client) -> None:
    options = {**OPTIONS, "num_ctx": 512, "num_thread": 4, "num_gpu": 0, "mirostat": 0, "use_mmap": True}
    assert generate(writer, options=options, stream=False).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context", [1, 2]),
        ("suffix", "x"),
        ("images", ["aGk="]),
        ("template", "x"),
        ("think", True),
        ("truncate", True),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(writer: Client, name: str, value: Any) -> None:
    assert name in refused(generate(writer, **{name: value}))


def test_errors(writer: Client) -> None:
    assert refused(generate(writer, model="nobody"), 404) == "model 'nobody' not found"
    assert "512" in refused(generate(writer, prompt="dog " * 600))
    assert "chat template" in refused(chat(writer, model="stories"))
    assert "specialist" in refused(chat(writer, model="support"))
    assert "tools" in refused(chat(writer, tools=[{"type": "function"}]))
    refused(writer.post_bytes("/api/chat", b"{bad"))
    refused(writer.post("/api/chat", content=b"{}", headers={"content-type": "text/plain"}), 415)
    refused(writer.get("/api/chat"), 405)
    refused(writer.get("/api/nothing"), 404)
    refused(generate(writer, top_logprobs=2))


def test_what_there_is(writer: Client) -> None:
    assert writer.get("/").text == "Ollama is running"
    assert writer.request("HEAD", "/").status_code == 200
    assert set(writer.get("/api/version").json()) == {"version"}
    assert writer.request("HEAD", "/api/version").status_code == 200
    stories, chatty = writer.get("/api/tags").json()["models"]
    assert (stories["name"], chatty["name"]) == ("stories:latest", "chatty:latest")
    assert stories["details"]["family"] == "llama"
    shown = writer.post("/api/show", json={"model": "chatty"}).json()
    assert "<|im_start|>" in shown["template"]
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["capabilities"] == ["completion"]
    assert "not found" in refused(writer.post("/api/show", json={"name": "nobody"}), 404)


def test_a_fault_in_a_stream_is_its_last_line(writer: Client, specialists: Any) -> None:
    from linnet.http.app import create_app

    broken = faulty(specialists.store, "cut-off")
    client = Client(create_app(specialists, decoders=broken), writer.runner)
    try:
        *parts, last = lines(generate(client))
        assert set(last) == {"error"}
        assert not any(part["done"] for part in parts)
    finally:
        broken.close()


def test_a_larger_context_is_loaded_where_it_can_be(writer: Client, decoders: Decoders) -> None:
    long = [{"role": "user", "content": "dog " * 600}]
    assert "512" in refused(chat(writer, messages=long))
    answer = chat(writer, messages=long, options={**OPTIONS, "num_ctx": 2048}, stream=False)
    assert answer.status_code == 200
    assert answer.json()["prompt_eval_count"] > 512
    with decoders.pool.lease("chatty:latest") as lease:
        assert lease.engine.context == 2048
    assert chat(writer, messages=long, stream=False).status_code == 200  # it stays so, for everybody
    assert chat(writer, options={**OPTIONS, "num_ctx": 512}, stream=False).status_code == 200
    message = refused(chat(writer, options={**OPTIONS, "num_ctx": 4096}))
    assert "4096" in message
    assert "2048" in message
    decoders._contexts.clear()
    decoders.stop("chatty:latest", force=True)


def test_a_larger_context_that_does_not_fit_changes_nothing(store: Store, specialists: Any, writer: Client) -> None:
    chatty = writer.app.state.serving.decoders._named["chatty:latest"]

    def tight(model: Model, free_bytes: int, embedding: bool, context: int = 512) -> LlamaEngine:
        if context > 512:
            raise ResourceMissing("It needs 9 MiB; 8 MiB are free.")
        return small_engine(model, free_bytes, embedding)

    made = Decoders(store, [("chatty:latest", chatty)], open_engine=tight)
    client = Client(create_app(specialists, decoders=made), writer.runner)
    try:
        message = refused(chat(client, options={**OPTIONS, "num_ctx": 1024}))
        assert "num_ctx is 1024; the model is loaded with a context of 512." in message
        assert "9 MiB" in message
        assert chat(client, stream=False).status_code == 200
        with made.pool.lease("chatty:latest") as lease:
            assert lease.engine.context == 512
    finally:
        made.close()
