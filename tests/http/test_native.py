"""POST /v1/classify and GET /healthz."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import NotFound
from linnet.core.store import Store
from linnet.http.decoders import Decoders, named_files
from linnet.stages.serve import MAX_TEXTS, Specialists
from linnet.version import __version__
from tests.http.conftest import Client, assert_error
from tests.tiny import MAX_TOKENS


def test_health(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "version": __version__}


def test_one_text_and_many_give_the_same_answers(client: Client) -> None:
    texts = ["I want my refund", "where is my delivery please", "nothing you know"]
    many = client.classify(input=texts).json()
    assert many["object"] == "classification"
    assert many["id"].startswith("cls-")
    assert many["model"] == "support:1"
    assert [item["index"] for item in many["data"]] == [0, 1, 2]
    assert [item["label"] for item in many["data"]] == ["refund", "delivery", "other"]
    assert [item["out_of_scope"] for item in many["data"]] == [False, False, True]
    for text, item in zip(texts, many["data"], strict=True):
        assert client.classify(input=text).json()["data"][0] == {**item, "index": 0}
        assert item["probability"] == item["probabilities"][item["label"]]
        assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert many["usage"] == {"prompt_tokens": 6 + 7 + 5, "total_tokens": 6 + 7 + 5}


def test_top_keeps_the_highest(client: Client) -> None:
    whole = client.classify().json()["data"][0]["probabilities"]
    assert list(whole.values()) == sorted(whole.values(), reverse=True)
    assert client.classify(top=2).json()["data"][0]["probabilities"] == dict(list(whole.items())[:2])
    assert client.classify(top=1000).json()["data"][0]["probabilities"] == whole
    for wrong in (0, 1001, True, "2", 1.5):
        assert_error(client.classify(top=wrong), 400, param="top")


def test_too_long_is_refused_with_both_numbers_or_cut_and_said(client: Client) -> None:
    long = "refund " * 50
    message = assert_error(client.classify(input=["a", long]), 400, code="context_length_exceeded", param="input")
    assert "index 1 has 52 tokens" in message
    assert f"at most {MAX_TOKENS}" in message
    answer = client.classify(input=["refund", long], truncate=True).json()
    assert [item["truncated"] for item in answer["data"]] == [False, True]
    assert answer["usage"]["prompt_tokens"] == 3 + MAX_TOKENS


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_text_is_refused(client: Client, text: str) -> None:
    assert_error(client.classify(input=["refund", text]), 400, type="invalid_request_error", param="input")


def test_batch_limits(client: Client) -> None:
    assert len(client.classify(input=["refund"] * MAX_TEXTS).json()["data"]) == MAX_TEXTS
    assert_error(client.classify(input=["refund"] * (MAX_TEXTS + 1)), 400, param="input")
    assert_error(client.classify(input=[]), 400, param="input")
    assert client.classify(input="a" * 100_000).status_code == 200  # one unknown word
    assert_error(client.classify(input="a" * 100_001), 400, param="input")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"inputs": "x"}, "inputs"),
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"input": None}, "input"),
        ({"input": 1}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [["a"]]}, "input[0]"),
        ({"truncate": "yes"}, "truncate"),
        ({"truncate": 1}, "truncate"),
    ],
)
def test_wrong_fields_are_named(client: Client, fields: dict[str, object], param: str) -> None:
    assert_error(client.classify(**fields), 400, type="invalid_request_error", param=param)


def test_unknown_field_gets_the_nearest(client: Client) -> None:
    assert 'Did you mean "truncate"?' in assert_error(client.classify(trunkate=True), 400, param="trunkate")
    missing = client.post("/v1/classify", json={"model": "support"})
    assert "required" in assert_error(missing, 400, param="input")


def test_unknown_and_impossible_models(client: Client, specialists: Specialists) -> None:
    assert "support" in assert_error(client.classify(model="suport"), 404, code="model_not_found", param="model")
    assert_error(client.classify(model="support:7"), 404, code="model_not_found")
    for name in ("../x", "a/../../b", "CON", "a:b:c", "x" * 300, "a\0", "x\n", "😀", "-rf", ""):
        assert_error(client.classify(model=name), 400, type="invalid_request_error", param="model")
    assert not [path for path in specialists.store.root.rglob("*") if path.name in ("x", "b")]


def test_ps_and_stop(writer: Client) -> None:
    body = {"model": "stories", "prompt": "Once", "max_tokens": 1}
    assert writer.post("/v1/completions", json=body).status_code == 200
    (row,) = [row for row in writer.get("/v1/ps").json()["data"] if row["names"] == ["stories:latest"]]
    assert (row["state"], row["requests"], row["slots"]) == ("ready", 0, 2)
    assert row["measured_bytes"] > 0
    assert writer.post("/v1/stop", json={"model": "stories"}).json() == {"stopped": "stories:latest"}
    assert_error(writer.post("/v1/stop", json={"model": "stories"}), 404, param="model")
    assert_error(writer.post("/v1/stop", json={"model": "nobody", "force": True}), 404, param="model")
    assert writer.post("/v1/completions", json=body).status_code == 200


def test_stop_while_it_is_in_use(writer: Client, decoders: Decoders) -> None:
    with decoders.pool.lease("stories:latest"):
        assert_error(writer.post("/v1/stop", json={"model": "stories"}), 409, code="model_busy")
        assert writer.post("/v1/stop", json={"model": "stories", "force": True}).status_code == 200


def test_the_built_in_decoder_is_served_under_its_own_name(tmp_path: Path) -> None:
    named = named_files(["builtin:nano"])
    decoders = Decoders(Store(tmp_path), named)
    try:
        assert [info.full_name for info in decoders.all()] == ["builtin:nano"]
        assert "im_start" in decoders.template("builtin:nano")
        with pytest.raises(NotFound):
            decoders.find("nano")
    finally:
        decoders.close()
