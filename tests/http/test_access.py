"""Keys over HTTP: who comes in, with which rights, and how many at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from linnet.core.errors import InputError
from linnet.core.keys import Keys
from linnet.core.store import Store
from linnet.http import access as access_module
from linnet.http.access import Access, right_for
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.http.exposure import exposure
from linnet.http.generations import GenerationLimits, Generations
from linnet.stages.serve import Specialists
from tests.engines.made_llama import needs_stories
from tests.http.conftest import Client, assert_error
from tests.http.decoders import faulty

CLASSIFY = {"model": "support", "input": "refund please"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(Store(tmp_path / "keys"))


@pytest.fixture
def guarded(specialists: Specialists, keys: Keys, runner: asyncio.Runner) -> Client:
    return Client(create_app(specialists, access=Access(keys, required=True)), runner)


def classify(client: Client, key: str, model: str = "support", **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {key}", **headers}
    return client.post("/v1/classify", json={**CLASSIFY, "model": model}, headers=sent)


def test_nothing_but_the_open_routes_without_a_key(guarded: Client, keys: Keys) -> None:
    text = keys.create("ci")[1]
    for path in ("/healthz", "/", "/api/version"):
        assert guarded.get(path).status_code == 200
    for path in ("/v1/models", "/docs", "/openapi.json", "/api/tags", "/v1/ps", "/metrics", "/nothing"):
        response = guarded.get(path)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert_error(guarded.post("/v1/classify", json=CLASSIFY), 401, code="invalid_api_key", type="authentication_error")
    told = guarded.post("/v1/messages", json={}).json()
    assert told["error"]["type"] == "authentication_error"
    assert set(guarded.post("/api/chat", json={}).json()) == {"error"}
    assert classify(guarded, text).status_code == 200
    assert guarded.get("/v1/models", headers={"x-api-key": text}).status_code == 200


def shown(text: str) -> list[dict[str, Any]]:
    """The four ways to show a key."""
    return [
        {"headers": {"authorization": f"Bearer {text}"}},
        {"headers": {"x-api-key": text}},
        {"headers": {"cookie": f"linnet_key={text}"}},
        {"params": {"key": text}},
    ]


def test_abuse_08_one_answer_however_a_key_is_shown(guarded: Client, keys: Keys) -> None:
    text = keys.create("weak", rights=["classify"])[1]
    forbidden = [guarded.post("/v1/stop", json={"model": "x"}, **way) for way in shown(text)]
    assert {(one.status_code, one.text) for one in forbidden} == {(403, forbidden[0].text)}
    assert_error(forbidden[0], 403, type="permission_error")
    assert [guarded.post("/v1/classify", json=CLASSIFY, **way).status_code for way in shown(text)] == [200] * 4
    other = keys.create("other")[1]
    assert classify(guarded, text, **{"x-api-key": other}).status_code == 401  # two keys: whose request is it?


def test_abuse_07_wrong_keys(
    guarded: Client, keys: Keys, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "DELAY_S", 0.3)
    text = keys.create("ci")[1]
    wrong = text[:-3] + "xyz"

    async def guess() -> tuple[list[httpx.Response], float]:
        started = time.monotonic()
        ask = [guarded.arequest("GET", "/v1/models", headers={"x-api-key": wrong}) for _ in range(100)]
        return list(await asyncio.gather(*ask)), time.monotonic() - started

    with caplog.at_level(logging.DEBUG):
        answers, seconds = guarded.runner.run(guess())
    assert {one.status_code for one in answers} == {401}
    assert seconds >= 0.3
    assert wrong not in caplog.text
    assert wrong not in "".join(one.text for one in answers)
    assert guarded.get("/v1/models", headers={"x-api-key": text}).status_code == 200  # the right one is not kept out


def test_a_key_for_one_model(guarded: Client, keys: Keys) -> None:
    text = keys.create("ci", models=["support"])[1]
    assert classify(guarded, text).status_code == 200
    assert classify(guarded, text, model="support:1").status_code == 200
    assert_error(classify(guarded, text, model="stories"), 403, type="permission_error", param="model")
    shown_names = guarded.post("/api/show", json={"name": "stories"}, headers={"x-api-key": text})
    assert shown_names.status_code == 403


def test_on_loopback_other_programs_keys_do_not_matter(
    specialists: Specialists, keys: Keys, runner: asyncio.Runner
) -> None:
    client = Client(create_app(specialists, access=Access(keys)), runner)
    assert classify(client, "sk-anything").status_code == 200
    assert client.post("/v1/classify", json=CLASSIFY).status_code == 200
    made, text = keys.create("ci", models=["support"])
    assert classify(client, text).status_code == 200
    assert classify(client, text, model="stories").status_code == 403  # a key that is shown counts
    assert classify(client, text[:-1] + "~").status_code == 401
    assert made.may("classify")


def test_every_route_has_a_right(client: Client) -> None:
    rights = {
        (method.upper(), path): right_for(method.upper(), path)
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert {path for (_, path), right in rights.items() if right is None} == {"/healthz", "/api/version"}
    assert {path for (_, path), right in rights.items() if right == "manage"} == {
        "/v1/stop", "/v1/ps", "/api/ps", "/metrics",
        "/api/pull", "/api/create", "/api/copy", "/api/delete", "/api/blobs/{digest}",
    }  # fmt: skip
    posts = {path for (method, path), right in rights.items() if method == "POST" and right == ""}
    assert posts == {"/api/show"}


@pytest.fixture
def crowded(store: Store, keys: Keys, runner: asyncio.Runner) -> Iterator[tuple[Client, Generations, Decoders]]:
    decoders = faulty(store, "endless")
    generations = Generations(decoders.pool, GenerationLimits(waiting=64))
    app = create_app(Specialists(store), decoders=decoders, generations=generations, access=Access(keys, required=True))
    yield Client(app, runner), generations, decoders
    decoders.close()
    generations.close()


@needs_stories
def test_a_key_has_its_own_limit(crowded: tuple[Client, Generations, Decoders], keys: Keys) -> None:
    client, generations, _ = crowded
    one, two = (keys.create(name, concurrency=2)[1] for name in ("one", "two"))
    body = {"model": "stories", "prompt": "x", "max_tokens": 40}

    async def ask(key: str) -> httpx.Response:
        return await client.arequest("POST", "/v1/completions", json=body, headers={"x-api-key": key})

    async def check() -> list[httpx.Response]:
        inside = [asyncio.create_task(ask(key)) for key in (one, one, two)]
        while generations.inside < 3:
            await asyncio.sleep(0.01)
        refused = await ask(one)
        assert_error(refused, 429, type="rate_limit_error", code="rate_limit_exceeded")
        assert int(refused.headers["retry-after"]) >= 1
        return await asyncio.gather(*inside, ask(two))

    assert [response.status_code for response in client.runner.run(check())] == [200] * 4
    assert client.runner.run(ask(one)).status_code == 200  # the places were given back


@needs_stories
def test_a_key_with_many_requests_does_not_keep_out_another(
    crowded: tuple[Client, Generations, Decoders], keys: Keys
) -> None:
    client, generations, _ = crowded
    greedy, modest = keys.create("greedy")[1], keys.create("modest")[1]
    body = {"model": "stories", "prompt": "x", "max_tokens": 30}
    ended: list[str] = []

    async def ask(name: str, key: str) -> None:
        response = await client.arequest("POST", "/v1/completions", json=body, headers={"x-api-key": key})
        assert response.status_code == 200
        ended.append(name)

    async def check() -> None:
        tasks = [asyncio.create_task(ask("greedy", greedy)) for _ in range(8)]
        while generations.inside < 8:
            await asyncio.sleep(0.01)
        tasks.append(asyncio.create_task(ask("modest", modest)))
        await asyncio.gather(*tasks)

    client.runner.run(check())
    assert ended.index("modest") <= 4  # behind the two at work and those whose turn had come, not behind all eight


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])
def test_abuse_05_no_public_address_without_a_key(keys: Keys, host: str) -> None:
    with pytest.raises(InputError, match="linnet keys create"):
        exposure(host, 0, keys)
    keys.create("ci")
    found = exposure(host, 0, keys, names=["box.lan"])
    assert found.key_required
    assert {"127.0.0.1", "box.lan"} < set(found.host_names)
    keys.revoke("ci")
    with pytest.raises(InputError):
        exposure(host, 0, keys)


def test_abuse_02_the_host_is_checked_with_a_key_too(guarded: Client, keys: Keys) -> None:
    text = keys.create("ci")[1]
    assert classify(guarded, text, host="evil.example").status_code == 403
    assert classify(guarded, text, origin="http://evil.example").status_code == 403
