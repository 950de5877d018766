"""Embeddings in two dialects, with the real engine."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from linnet.engines.llama.engine import LlamaEngine
from tests.engines.workers import stories_plan
from tests.http.conftest import Client, assert_error

TEXTS = ["Once upon a time", "The dog ran home"]


def embed(client: Client, **fields: Any) -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": "stories", "input": TEXTS, **fields})


def test_unit_vectors_in_order(writer: Client) -> None:
    answer = embed(writer).json()
    assert [one["index"] for one in answer["data"]] == [0, 1]
    vectors = np.array([one["embedding"] for one in answer["data"]])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 8
    coded = embed(writer, encoding_format="base64", input=TEXTS[1]).json()["data"][0]["embedding"]
    assert np.allclose(np.frombuffer(base64.b64decode(coded), "<f4"), vectors[1], atol=1e-6)
    told = writer.post("/api/embed", json={"model": "stories", "input": TEXTS}).json()
    assert np.allclose(told["embeddings"], vectors, atol=1e-6)
    assert told["prompt_eval_count"] == answer["usage"]["prompt_tokens"]
    old = writer.post("/api/embeddings", json={"model": "stories", "prompt": TEXTS[0]}).json()
    assert np.allclose(old["embedding"], vectors[0], atol=1e-6)
    assert "stories:latest (embedding)" in [row["names"][0] for row in writer.get("/v1/ps").json()["data"]]
    assert writer.post("/v1/stop", json={"model": "stories"}).status_code == 200


def test_token_ids_are_the_text_they_stand_for(writer: Client) -> None:
    engine = LlamaEngine(stories_plan())
    ids = [engine.tokenize(text, add_special=True) for text in TEXTS]
    engine.close()
    for given, texts in ((ids, TEXTS), (ids[0], TEXTS[0]), ([ids[0], TEXTS[1]], TEXTS)):
        found, expected = embed(writer, input=given).json(), embed(writer, input=texts).json()
        assert found["usage"] == expected["usage"]
        for one, other in zip(found["data"], expected["data"], strict=True):
            assert np.allclose(one["embedding"], other["embedding"], atol=1e-6)


def test_fewer_dimensions_are_the_first_ones(writer: Client) -> None:
    (whole,) = (np.array(one["embedding"]) for one in embed(writer, input=TEXTS[0]).json()["data"])
    for path in ("/v1/embeddings", "/api/embed"):
        answer = writer.post(path, json={"model": "stories", "input": TEXTS[0], "dimensions": 8}).json()
        found = np.array(answer["data"][0]["embedding"] if path == "/v1/embeddings" else answer["embeddings"][0])
        assert np.allclose(found, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [""]}, "input[0]"),
        ({"input": [1, -2]}, "input[0]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": {"a": 1}}, "input"),
        ({"input": [1, 512]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 65}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"model": "nobody"}, "model"),
        ({"model": "support"}, "model"),
    ],
)
def test_refusals(writer: Client, fields: dict[str, Any], param: str) -> None:
    assert_error(embed(writer, **fields), 404 if fields.get("model") == "nobody" else 400, param=param)


def test_a_text_beyond_the_context(writer: Client) -> None:
    message = assert_error(embed(writer, input=["dog " * 600]), 400, code="context_length_exceeded", param="input")
    assert "512" in message
    assert writer.post("/api/embed", json={"model": "stories", "input": "x", "truncate": True}).status_code == 400
