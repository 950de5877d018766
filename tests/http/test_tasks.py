"""POST /v1/extract and /v1/generate: a row in, a record out, under the specialist's own instruction and schema."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Asked, Decision, Footprint, Specialist
from linnet.core.store import Store
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.formats.builtin import our_model
from linnet.http.app import create_app
from linnet.stages.pack import pack
from linnet.stages.serve import Specialists
from tests.http.conftest import Client, assert_error

SCHEMA = {"type": "object", "properties": {"room": {"enum": ["hall", "attic"]}}, "required": ["room"],
          "additionalProperties": False}  # fmt: skip
FOOT = Footprint(size_bytes=1, latency_ms_p50=1, latency_ms_p95=1, documents_per_second=1, peak_memory_bytes=1,
                 energy_joules_per_1000=None, energy_note="")  # fmt: skip


def packed(store: Store, folder: Path, name: str, kind: Any, asked: Asked) -> Specialist:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(our_model("builtin:nano:Q8_0").path, folder / "model.gguf")
    draft = Specialist(
        name=name, version=0, kind=kind, candidate="nano", decision=Decision(labels=[]), metric={}, baseline={},
        footprint=FOOT, licence="Apache-2.0", files={}, lineage={"base": {"sha256": "", "licence": ""}}, created="",
        asked=asked,
    )  # fmt: skip
    return pack(store, draft, folder, lambda _: {})[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    place = tmp_path_factory.mktemp("tasks")
    store = Store(place / "store")
    lamp = Asked(input="said", instruction="Which room?", answer_schema=json.dumps(SCHEMA), max_tokens=40)
    packed(store, place / "m", "lamp", "extract", lamp)
    packed(store, place / "m", "sum", "generate", Asked(input="{title}: {body}", max_tokens=6))
    return store


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("LINNET_THREADS", "1")
        patch.setenv("LINNET_CONTEXT", "512")
        app = create_app(Specialists(store))
        yield Client(app, runner)
        app.state.serving.decoders.close()
        app.state.serving.generations.close()


def extract(client: Client, **fields: Any) -> Any:
    return client.post("/v1/extract", json={"model": "lamp", "input": "Light in the hall", **fields})


def test_records_obey_the_schema(client: Client) -> None:
    answer = extract(client, input=["Light in the hall", {"said": "Dark in the attic"}]).json()
    assert answer["model"] == "lamp:1"
    assert answer["object"] == "extraction"
    assert [row["index"] for row in answer["data"]] == [0, 1]
    assert all(row["record"]["room"] in ("hall", "attic") for row in answer["data"])
    assert answer["usage"]["total_tokens"] > answer["usage"]["completion_tokens"] > 0


def test_a_record_has_its_fields_in_the_schemas_order(store: Store, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"z": {"enum": ["1"]}, "a": {"enum": ["2"]}}, "required": ["z", "a"]}
    packed(store, tmp_path / "m", "order", "extract", Asked(input="said", answer_schema=json.dumps(schema)))
    asked = store.find("order")[0].asked
    assert asked is not None
    assert list((asked.schema_object() or {})["properties"]) == ["z", "a"]


def test_a_record_that_was_cut_is_no_record(client: Client) -> None:
    row = extract(client, max_tokens=2).json()["data"][0]
    assert (row["finish_reason"], row["record"]) == ("length", None)


def test_texts_are_written_from_the_template(client: Client) -> None:
    given = {"model": "sum", "input": {"title": "A", "body": "B"}}
    answer = client.post("/v1/generate", json=given).json()
    assert answer["object"] == "generation"
    assert isinstance(answer["data"][0]["text"], str)
    assert "record" not in answer["data"][0]


def test_examples_of_a_specialist_are_read_before_the_question(client: Client, store: Store, tmp_path: Path) -> None:
    plain = Asked(input="said", max_tokens=2)
    shown = plain.model_copy(update={"shots": (("user", "one two three"), ("assistant", "four five six"))})
    read = []
    for name, asked in (("plain", plain), ("shown", shown)):
        packed(store, tmp_path / "m", name, "generate", asked)
        answer = client.post("/v1/generate", json={"model": name, "input": "seven"}).json()
        read.append(answer["usage"]["prompt_tokens"])
    assert read[1] > read[0] + 6


@pytest.mark.parametrize(
    ("path", "fields", "param", "words"),
    [
        ("extract", {"input": ""}, "input", "empty"),
        ("extract", {"input": []}, "input", "at least 1"),
        ("extract", {"input": {"sayd": "x"}}, "input", "said"),
        ("extract", {"input": 3}, None, ""),
        ("extract", {"input": "word " * 4000}, "input", "tokens"),
        ("extract", {"schema": {}}, "schema", "Unknown field"),
        ("extract", {"model": "sum"}, "model", "Use /v1/generate"),
        ("generate", {"model": "lamp"}, "model", "Use /v1/extract"),
        ("generate", {"model": "sum", "input": "one text"}, "input", "title, body"),
        ("generate", {"model": "sum", "input": {"title": "x"}}, "input", "is missing"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    client: Client, path: str, fields: dict[str, Any], param: str | None, words: str
) -> None:
    answer = client.post(f"/v1/{path}", json={"model": "lamp", "input": "x", **fields})
    given = {"param": param} if param else {}
    assert words in assert_error(answer, 400, **given)


def test_no_such_specialist(client: Client) -> None:
    assert_error(extract(client, model="lampe"), 404)
    assert_error(extract(client, model="lamp:9"), 404)


def test_a_specialist_that_writes_is_a_model_to_the_other_dialects(client: Client) -> None:
    chat = {"model": "lamp", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    answer = client.post("/v1/chat/completions", json=chat).json()
    assert answer["model"] == "lamp:1"
    assert "lamp:1" in [row["id"] for row in client.get("/v1/models").json()["data"]]
    assert client.get("/v1/models/lamp").json()["id"] == "lamp:1"
    assert_error(client.post("/v1/classify", json={"model": "lamp", "input": "x"}), 400)


def test_a_changed_bundle_is_not_opened(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "s")
    packed(other, tmp_path / "m", "lamp", "extract", Asked(input="said"))
    path = other.path("specialists", "lamp", "1") / ENGINE_FOLDER / "model.gguf"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with asyncio.Runner() as runner:
        app = create_app(Specialists(other))
        answer = Client(app, runner).post("/v1/extract", json={"model": "lamp", "input": "x"})
        assert "could not be used" in assert_error(answer, 500)
        app.state.serving.decoders.close()
        app.state.serving.generations.close()


def test_labels_are_asked_elsewhere(store: Store) -> None:
    with pytest.raises(InputError, match="writes texts"):
        Specialists(store).classify("lamp", ["x"])
