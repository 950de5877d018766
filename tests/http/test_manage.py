"""Ollama's management routes: what is made through them is served in every dialect, and nothing else gets in."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.responses import StreamingResponse

from linnet.core.events import Event, OnEvent
from linnet.core.keys import Keys
from linnet.core.models import collect_garbage, model_names, read_manifest
from linnet.core.records import Model
from linnet.core.store import Store
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.http.access import Access
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.http.errors import ClientGone
from linnet.http.ollama_manage import _Job
from linnet.pipeline.create import preset_options
from linnet.stages.import_ import import_
from linnet.stages.serve import Specialists
from tests.engines.made_llama import STORIES, make_gguf, make_lora, needs_stories
from tests.http.conftest import Client
from tests.hub_imitation import FakeHub
from tests.stages.hub_fixtures import fake, gguf
from tests.tiny import tiny_specialist

__all__ = ["fake", "gguf"]  # fixtures
pytestmark = needs_stories
SYSTEM = "You tell short stories."
PARAMETERS = {"temperature": 0, "num_predict": 9, "stop": ["<|im_end|>"], "repeat_penalty": 1.1}
MESSAGES = [{"role": "user", "content": "Tell me a story"}]


def small(model: Model, free_bytes: int, embedding: bool, context: int = 512) -> LlamaEngine:
    options = LoadOptions(context=context, threads=1, slots=1, embedding=embedding, **preset_options(model))
    return open_llama(Path(model.path), options, label=model.name, free_bytes=free_bytes)


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("chatty") / "chatty.gguf", chat=True)


@pytest.fixture
def home(tmp_path: Path, chatty: Path) -> Store:
    store = Store(tmp_path / "home")
    import_(store, chatty, "chatty")
    return store


@pytest.fixture
def client(home: Store, runner: asyncio.Runner) -> Iterator[Client]:
    decoders = Decoders(home, open_engine=small)
    yield Client(create_app(Specialists(home), decoders=decoders), runner)
    decoders.close()


def create(client: Client, **fields: Any) -> httpx.Response:
    return client.post("/api/create", json={"model": "mario", "from": "chatty", "stream": False, **fields})


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def send(client: Client, data: bytes, name: str = "") -> httpx.Response:
    return client.post(f"/api/blobs/{name or digest(data)}", content=data)


def refused(response: httpx.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["error"])


def test_what_is_created_is_served_alike_in_every_dialect(client: Client) -> None:
    told = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    assert create(client, system=SYSTEM, parameters=PARAMETERS, messages=told).json() == {"status": "success"}
    chat = [{"role": "system", "content": SYSTEM}, *told, *MESSAGES]
    plain = {"model": "chatty", "messages": chat, "stream": False}
    asked = {"temperature": 0, "num_predict": 9, "repeat_penalty": 1.1, "stop": ["<|im_end|>"]}
    expected = client.post("/api/chat", json={**plain, "options": asked}).json()
    text, count = expected["message"]["content"], expected["prompt_eval_count"]
    body = {"model": "mario", "messages": MESSAGES}
    ollama = client.post("/api/chat", json={**body, "stream": False}).json()
    assert (ollama["message"]["content"], ollama["prompt_eval_count"], ollama["eval_count"]) == (text, count, 9)
    generated = client.post("/api/generate", json={"model": "mario", "prompt": "Tell me a story", "stream": False})
    assert generated.json()["response"] == text
    openai = client.post("/v1/chat/completions", json=body).json()
    assert openai["choices"][0]["message"]["content"] == text
    assert openai["usage"]["prompt_tokens"] == count
    anthropic = client.post("/v1/messages", json={**body, "max_tokens": 9}).json()
    assert anthropic["content"][0]["text"] == text
    assert client.post("/v1/messages/count_tokens", json=body).json() == {"input_tokens": count}
    answered = client.post("/v1/responses", json={"model": "mario", "input": "Tell me a story"}).json()
    assert answered["output"][0]["content"][0]["text"] == text


def test_what_a_request_says_goes_first(client: Client) -> None:
    create(client, system=SYSTEM, parameters={**PARAMETERS, "seed": 5, "temperature": 2})
    own = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    options = {"temperature": 0, "num_predict": 4, "repeat_penalty": 1.0, "stop": ["zebra"]}
    body = {"messages": own, "options": options, "stream": False}
    mine = client.post("/api/chat", json={"model": "mario", **body}).json()
    other = client.post("/api/chat", json={"model": "chatty", **body}).json()
    assert mine["message"] == other["message"]
    assert (mine["prompt_eval_count"], mine["eval_count"]) == (other["prompt_eval_count"], 4)
    drawn = [
        client.post("/v1/chat/completions", json={"model": "mario", "messages": MESSAGES}).json() for _ in range(2)
    ]
    assert drawn[0]["choices"] == drawn[1]["choices"]  # the preset's seed
    # A value that equals an engine's default is a value that was said.
    said = client.post(
        "/v1/chat/completions", json={"model": "mario", "messages": MESSAGES, "temperature": 0.8, "seed": 1}
    )
    base = {**PARAMETERS, "seed": 1, "temperature": 0.8}
    chat = [{"role": "system", "content": SYSTEM}, *MESSAGES]
    same = client.post("/api/chat", json={"model": "chatty", "messages": chat, "options": base, "stream": False})
    assert said.json()["choices"][0]["message"]["content"] == same.json()["message"]["content"]


def test_template_context_and_show(client: Client, home: Store) -> None:
    template = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    parameters = {"num_ctx": 256, "temperature": 0, "stop": ["a", "b"], "num_predict": 3}
    assert create(client, template=template, parameters=parameters, license="MIT", system="S").status_code == 200
    shown = client.post("/api/show", json={"model": "mario"}).json()
    assert (shown["template"], shown["system"], shown["license"]) == (template, "S", "MIT")
    assert shown["details"]["parent_model"] == "chatty"
    lines = [line.split() for line in shown["parameters"].splitlines()]
    assert lines == [["num_ctx", "256"], ["num_predict", "3"], ["stop", '"a"'], ["stop", '"b"'], ["temperature", "0"]]
    assert shown["modelfile"].startswith("FROM chatty\n")
    other = client.post("/api/chat", json={"model": "chatty", "messages": MESSAGES, "stream": False}).json()
    mine = client.post("/api/chat", json={"model": "mario", "messages": MESSAGES, "stream": False}).json()
    assert mine["prompt_eval_count"] != other["prompt_eval_count"]
    long = [{"role": "user", "content": "dog " * 400}]
    assert "256" in refused(client.post("/api/chat", json={"model": "mario", "messages": long}))
    assert create(client, model="luigi", **{"from": "mario"}, system="L").status_code == 200
    heir = read_manifest(home, "luigi").preset
    assert heir is not None
    assert (heir.template, heir.system, heir.parameters["num_ctx"]) == (template, "L", 256)
    again = json.loads(create(client, system="new").text)
    assert again == {"status": "success"}
    assert client.post("/api/show", json={"model": "mario"}).json()["system"] == "new"


def test_a_model_of_a_blob(client: Client, chatty: Path, home: Store, tmp_path: Path) -> None:
    data = STORIES.read_bytes()
    path = f"/api/blobs/{digest(data)}"
    assert client.request("HEAD", path).status_code == 404
    assert send(client, data).status_code == 201
    assert client.request("HEAD", path).status_code == 200
    assert send(client, data).status_code == 200
    files = {"stories.gguf": digest(data)}
    lines = client.post("/api/create", json={"model": "told:v1", "files": files}).text.splitlines()
    assert json.loads(lines[-1]) == {"status": "success"}
    assert "told:v1" in model_names(home)
    body = {"model": "told:v1", "prompt": "Once upon a time", "raw": True, "stream": False}
    answer = client.post("/api/generate", json={**body, "options": {"num_predict": 3}})
    assert answer.json()["eval_count"] == 3
    assert "no chat template" in refused(create(client, model="x", **{"from": "told:v1"}, system="s"))
    assert client.request("DELETE", "/api/delete", json={"model": "told:v1"}).status_code == 200
    assert client.request("HEAD", path).status_code == 404  # the bytes went too


def test_hostile_blobs_are_refused(client: Client, home: Store, chatty: Path) -> None:
    data = bytearray(STORIES.read_bytes())
    data[8:16] = (1 << 62).to_bytes(8, "little")
    assert send(client, bytes(data)).status_code == 201
    assert "tensor_count" in refused(create(client, **{"from": ""}, files={"m.gguf": digest(bytes(data))}))
    assert "sha256" in refused(send(client, b"other", digest(b"one")))
    assert client.request("HEAD", f"/api/blobs/{digest(b'one')}").status_code == 404
    partial = home.path("blobs", "partial")
    assert list(partial.iterdir()) == []  # the broken one is gone
    assert len(list(home.path("blobs", "sha256").iterdir())) == 2
    assert collect_garbage(home) == len(data)  # the hostile one, which nothing names
    for name in ("sha256:../../etc/passwd", "md5:aa", f"sha256:{'A' * 64}", f"sha256:{'a' * 63}"):
        assert send(client, b"x", name).status_code in (400, 404)
    assert "digest" in refused(create(client, **{"from": ""}, files={"m.gguf": "sha256:../x"}))
    assert send(client, b"pickle").status_code == 201
    for name in ("../x.gguf", "m.bin", "x/y/z.gguf"):
        refused(create(client, **{"from": ""}, files={name: digest(b"pickle")}))
    assert "mario:latest" not in model_names(home)


def test_an_adapter_acts(client: Client, home: Store, tmp_path: Path) -> None:
    data = make_lora(tmp_path / "lora.gguf", layers=2).read_bytes()
    send(client, data)
    assert create(client, adapters={"lora.gguf": digest(data)}).status_code == 200
    body = {"messages": MESSAGES, "stream": False, "options": {"temperature": 0, "num_predict": 12}}
    base = client.post("/api/chat", json={"model": "chatty", **body}).json()
    adapted = client.post("/api/chat", json={"model": "mario", **body}).json()
    assert base["message"] != adapted["message"]
    assert base["prompt_eval_count"] == adapted["prompt_eval_count"]
    assert "adapter already" in refused(
        create(client, model="x", **{"from": "mario"}, adapters={"b.gguf": digest(data)})
    )
    wide = make_lora(tmp_path / "wide.gguf", width=128).read_bytes()
    send(client, wide)
    assert "attn_q" in refused(create(client, model="x", adapters={"b.gguf": digest(wide)}))


def test_an_adapter_must_fit(client: Client) -> None:
    data = STORIES.read_bytes()
    send(client, data)
    assert "adapter" in refused(create(client, adapters={"lora.gguf": digest(data)}))
    assert "no blob" in refused(create(client, adapters={"lora.gguf": digest(b"nobody sent this")}), 404)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"from": ""}, "exactly one"),
        ({"from": "nobody"}, "nobody"),
        ({"from": "../chatty"}, "chatty"),
        ({"from": "/etc/passwd"}, "passwd"),
        ({"model": "../x"}, "valid model name"),
        ({"model": ""}, "required"),
        ({"modelfile": "FROM /etc/passwd"}, "modelfile"),
        ({"path": "/etc/passwd"}, "path"),
        ({"parameters": {"temperature": 9}}, "temperature"),
        ({"parameters": {"temprature": 1}}, "temperature"),
        ({"parameters": {"num_ctx": 4096}}, "2048"),
        ({"parameters": {"stop": [""]}}, "stop"),
        ({"template": "{{ .System }}"}, "Jinja"),
        ({"template": "{% for i in range(100000000) %}{% endfor %}"}, "template"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"quantize": "Q9_Z"}, "Q9_Z"),
        ({"system": "x" * (1 << 19)}, "system"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(client: Client, home: Store, fields: dict[str, Any], word: str) -> None:
    response = create(client, **fields)
    assert response.status_code in (400, 404)
    assert word.lower() in response.json()["error"].lower()
    assert model_names(home) == ["chatty:latest"]


def test_copy_and_delete(client: Client, home: Store) -> None:
    body = {"source": "chatty", "destination": "second"}
    assert client.post("/api/copy", json=body).status_code == 200
    refused(client.post("/api/copy", json={**body, "source": "nobody"}), 404)
    create(client, system=SYSTEM)
    assert "already" in refused(client.post("/api/copy", json={**body, "destination": "mario"}))
    assert "already" in refused(create(client, model="second"))  # what was not created is not replaced
    client.post("/api/chat", json={"model": "second", "messages": MESSAGES, "stream": False})
    loaded = [row["name"] for row in client.get("/api/ps").json()["models"]]
    assert "second:latest" in loaded
    for name in ("second", "mario:latest", "chatty:latest"):
        assert client.request("DELETE", "/api/delete", json={"model": name}).status_code == 200
    assert model_names(home) == []
    assert refused(client.request("DELETE", "/api/delete", json={"name": "second"}), 404) == "model 'second' not found"
    assert client.get("/api/ps").json()["models"] == []
    refused(client.request("DELETE", "/api/delete"))


def test_a_model_in_use_is_not_removed(client: Client, home: Store) -> None:
    decoders = client.app.state.serving.decoders
    with decoders.pool.lease("chatty:latest"):
        refused(client.request("DELETE", "/api/delete", json={"model": "chatty"}), 409)
    assert model_names(home) == ["chatty:latest"]


def test_specialists_are_left_alone(client: Client, home: Store) -> None:
    tiny_specialist(home, "support", ["refund", "delivery"])
    assert "specialist" in refused(client.request("DELETE", "/api/delete", json={"model": "support:1"}))
    assert "specialist" in refused(create(client, model="support"))
    assert home.names() == ["support"]


def test_names_without_a_hub_are_not_pulled(client: Client) -> None:
    assert "hf:org/repo" in refused(client.post("/api/pull", json={"model": "qwen3:0.6b"}), 404)
    lines = client.post("/api/pull", json={"model": "chatty"}).text.splitlines()
    assert json.loads(lines[-1]) == {"status": "success"}
    assert "insecure" in refused(client.post("/api/pull", json={"model": "chatty", "insecure": True}))


def test_a_hub_model_is_pulled(client: Client, home: Store, fake: FakeHub) -> None:
    lines = [
        json.loads(line) for line in client.post("/api/pull", json={"model": "hf.co/org/tiny:Q8_0"}).text.splitlines()
    ]
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[-1] == {"status": "success"}
    assert any("total" in line for line in lines)
    assert "tiny:q8_0" in model_names(home)
    assert client.post("/api/show", json={"model": "hf.co/org/tiny:Q8_0"}).status_code == 200
    whole = client.post("/api/pull", json={"name": "hf:org/tiny:Q8_0", "stream": False})
    assert whole.json() == {"status": "success"}
    refused(client.post("/api/pull", json={"model": "hf.co/org/tiny:Q2_K", "stream": False}), 404)
    assert fake.asked_bytes() > 0


def test_offline_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_OFFLINE", "1")
    body = {"model": "hf.co/org/tiny", "stream": False}
    assert "Offline mode" in refused(client.post("/api/pull", json=body), 503)
    *_, last = client.post("/api/pull", json={**body, "stream": True}).text.splitlines()
    assert "Offline mode" in json.loads(last)["error"]


def test_where_there_are_keys_managing_needs_the_right(home: Store, runner: asyncio.Runner) -> None:
    keys = Keys(home)
    decoders = Decoders(home, open_engine=small)
    client = Client(create_app(Specialists(home), decoders=decoders, access=Access(keys)), runner)
    body = {"source": "chatty", "destination": "second"}
    assert client.post("/api/copy", json=body).status_code == 200
    _, plain = keys.create("plain")
    _, boss = keys.create("boss", rights=["manage"])
    _, bound = keys.create("bound", rights=["manage"], models=["chatty"])
    client = Client(create_app(Specialists(home), decoders=decoders, access=Access(Keys(home))), runner)
    assert client.get("/api/tags").status_code == 200  # on loopback the rest stays open
    for method, path in (
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/create"),
        ("POST", "/api/pull"),
    ):
        refused(client.request(method, path, json={"model": "chatty"}), 401)
        refused(client.request(method, path, json={"model": "chatty"}, headers={"x-api-key": plain}), 403)
    refused(send(client, b"x"), 401)
    refused(client.post("/api/copy", json=body, headers={"x-api-key": bound}), 403)
    assert client.post("/api/copy", json=body, headers={"x-api-key": boss}).status_code == 200
    decoders.close()


def test_abuse_27_a_hundred_pulls_at_once(client: Client, fake: FakeHub, home: Store) -> None:
    body = {"model": "hf:org/tiny:Q8_0", "stream": False}

    async def all_of_them() -> list[int]:
        with home.locked("models/tiny", "tiny"):  # none can end before the others were answered
            waiting = {asyncio.ensure_future(client.arequest("POST", "/api/pull", json=body)) for _ in range(100)}
            refused: list[int] = []
            while len(refused) < 92:  # two are at work, six wait
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                refused += [one.result().status_code for one in done]
        assert set(refused) == {503}
        return [one.status_code for one in await asyncio.gather(*waiting)]

    assert client.runner.run(all_of_them()) == [200] * 8
    assert "tiny:q8_0" in model_names(home)


def test_uploads_have_limits(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_UPLOAD_GB", "0.000001")
    assert "1000 bytes" in refused(send(client, b"x" * 1001), 413)
    assert send(client, b"x" * 1000).status_code == 201

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"y" * 100

    async def parts() -> Any:
        for piece in pieces():
            yield piece

    assert client.post(f"/api/blobs/{digest(b'y' * 4000)}", content=parts()).status_code == 413
    partial = client.app.state.serving.decoders.store.path("blobs", "partial")
    assert len(list(partial.iterdir())) == 1


def test_a_full_disk_leaves_nothing(client: Client, arm: Any, home: Store) -> None:
    arm("upload.write=enospc")
    assert "disk is full" in refused(send(client, b"x" * 100), 507)
    assert list(home.path("blobs", "partial").iterdir()) == []
    arm("")
    assert send(client, b"x" * 100).status_code == 201


ODD: list[dict[str, Any]] = [
    {"from": "hf:org/nobody"},
    {"from": "builtin:nobody"},
    {"from": "builtin:minilm"},
    {"from": "chatty\n"},
    {"from": 5},
    {"model": "x:y:z"},
    {"model": "x" * 300},
    {"model": "mario", "name": "luigi"},
    {"files": {"a.gguf": digest(b"x")}},
    {"from": "", "files": {"": digest(b"x")}},
    {"from": "", "files": {"a.gguf\n": digest(b"x")}},
    {"from": "", "files": []},
    {"adapters": {"../a": digest(b"x")}},
    {"adapters": {"a": digest(b"x"), "b": digest(b"x")}},
    {"parameters": {"temperature": "0.5"}},
    {"parameters": {"temperature": None}},
    {"parameters": {"top_k": True}},
    {"parameters": {"seed": 0.5}},
    {"parameters": {"num_predict": 0}},
    {"parameters": {"stop": {"a": 1}}},
    {"parameters": {"num_gpu": 99}},
    {"parameters": []},
    {"license": {"a": 1}},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
    {"quantize": "../x"},
    {"quantise": "Q8_0"},
    {"template": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"},
]


def test_odd_bodies_are_the_clients_fault(client: Client, home: Store) -> None:
    for fields in ODD:
        response = create(client, **fields)
        assert response.status_code in (400, 404), (fields, response.text)
    assert model_names(home) == ["chatty:latest"]
    assert create(client, template="(" * 20_000).status_code == 200  # a text, and no bracket of Jinja's


def test_quantised_on_the_way(client: Client, home: Store) -> None:
    assert create(client, system="S", quantize="Q8_0").json() == {"status": "success"}
    assert model_names(home) == ["chatty:latest", "chatty:q8_0", "mario:latest"]
    shown = client.post("/api/show", json={"model": "mario"}).json()
    assert (shown["details"]["quantization_level"], shown["system"]) == ("Q8_0", "S")
    answer = client.post("/api/chat", json={"model": "mario", "messages": MESSAGES, "stream": False})
    assert answer.status_code == 200


def test_a_client_that_leaves_ends_the_work(client: Client) -> None:
    ended = threading.Event()

    def work(hear: OnEvent) -> None:
        try:
            while True:
                hear(Event("progress", "pull", "more"))
                ended.wait(0.01)
        except ClientGone:
            ended.set()
            raise

    async def leave() -> None:
        job = _Job(client.app.state.serving, work, lambda event: {"status": event.message})
        reply = await job.reply(stream=True)
        assert isinstance(reply, StreamingResponse)
        lines = reply.body_iterator
        assert await anext(lines) == '{"status": "more"}\n'
        await lines.aclose()  # type: ignore[attr-defined]
        assert await asyncio.to_thread(ended.wait, 60)

    client.runner.run(leave())
    assert client.post("/api/copy", json={"source": "chatty", "destination": "second"}).status_code == 200
