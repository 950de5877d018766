"""POST /v1/tag: spans of texts, redaction, and other kinds of specialists told where to go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linnet.core.store import Store
from linnet.http.app import create_app
from linnet.pipeline.build import build
from linnet.stages.serve import Specialists
from tests.http.conftest import Client, assert_error
from tests.tiny_encoder import tiny_encoder
from tests.tiny_tags import tag_rows, tag_task


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    place = tmp_path_factory.mktemp("tag")
    store = Store(place / "store")
    build(tag_task(place / "task", tiny_encoder(place / "encoder")), store)
    return store


def post(store: Store, path: str, body: dict[str, Any]) -> Any:
    with asyncio.Runner() as runner:
        return Client(create_app(Specialists(store)), runner).post(path, json=body)


def test_spans_are_those_of_the_specialist_and_can_be_left_out(store: Store) -> None:
    texts = [row["text"] for row in tag_rows(12, 7)]
    said = post(store, "/v1/tag", {"model": "things", "input": texts, "redact": True})
    assert said.status_code == 200, said.text
    body = said.json()
    assert (body["object"], body["model"]) == ("tagging", "things:1")
    found = Specialists(store).tag("things", texts)
    assert [one["spans"] for one in body["data"]] == [[s._asdict() for s in spans] for spans in found.spans]
    assert any(one["spans"] for one in body["data"])
    for text, one in zip(texts, body["data"], strict=True):
        for span in reversed(one["spans"]):
            text = f"{text[: span['start']]}[{span['label']}]{text[span['end'] :]}"
        assert one["redacted"] == text
    assert body["usage"]["prompt_tokens"] == sum(found.tokens)


def test_one_text_needs_no_list_and_offsets_count_characters(store: Store) -> None:
    text = "\N{GRINNING FACE} " + next(row["text"] for row in tag_rows(30, 8) if row["spans"])
    (one,) = post(store, "/v1/tag", {"model": "things", "input": text}).json()["data"]
    assert one["redacted"] is None
    assert all(text[span["start"] : span["end"]] == span["text"] for span in one["spans"])


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/classify", {"input": "robin"}, "tags spans"),
        ("/v1/extract", {"input": "robin"}, "tags spans. Use /v1/tag"),
        ("/v1/completions", {"prompt": "robin"}, "/v1/tag"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "robin"}]}, "tags spans"),
        ("/v1/tag", {"input": "robin", "top": 1}, "top"),
        ("/v1/tag", {"input": " "}, "empty"),
    ],
)
def test_what_it_cannot_do_is_said(store: Store, path: str, body: dict[str, Any], said: str) -> None:
    found = post(store, path, {"model": "things", **body})
    assert_error(found, 400)
    assert said in found.text


def test_an_unknown_name_is_not_found(store: Store) -> None:
    assert_error(post(store, "/v1/tag", {"model": "nothing", "input": "robin"}), 404)
