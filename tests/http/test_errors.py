"""What a client hears of faults, and what it does not."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from linnet.core import errors as tree
from linnet.core.store import Store
from linnet.http.admission import Admission
from linnet.http.app import create_app
from linnet.http.errors import describe
from linnet.stages.serve import Classified, Specialists
from tests.http.conftest import Client, assert_error
from tests.tiny import tiny_specialist

SECRET = "the text that must not be repeated"


def every_error() -> list[type[tree.LinnetError]]:
    found, queue = [], [tree.LinnetError]
    while queue:
        found.append(queue.pop())
        queue += found[-1].__subclasses__()
    return [cls for cls in found if cls.__module__ == tree.__name__]


@pytest.mark.parametrize("cls", every_error())
def test_every_error_of_the_tree_has_an_answer(cls: type[tree.LinnetError]) -> None:
    more: dict[type[tree.LinnetError], tuple[object, ...]] = {
        tree.Interrupted: (SECRET, 15),
        tree.ModelFileError: (SECRET, SECRET),
        tree.ContextExceeded: (5000, 4096),
    }
    error = cls(*more.get(cls, (SECRET,)))  # type: ignore[arg-type]
    problem = describe(error)
    assert set(problem.body()["error"]) == {"message", "type", "param", "code"}
    if cls is tree.ModelBusy:
        assert problem.status == 409
    elif issubclass(cls, tree.InputError):
        assert problem.status in (400, 404)
    else:
        assert problem.status >= 500
        assert SECRET not in problem.message


class Broken(Specialists):
    """Fails as a bug would: with an exception nobody expects, which repeats the request."""

    def classify(self, model: str, texts: Sequence[str], *, truncate: bool = False) -> Classified:
        raise ValueError(f"{model} {texts} {truncate}")


def test_unforeseen_exception(store: Store, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(create_app(Broken(store)), runner)
    with caplog.at_level(logging.DEBUG):
        message = assert_error(client.classify(input=SECRET), 500, type="server_error")
    assert SECRET not in message
    assert "ValueError" not in message
    assert SECRET not in caplog.text
    assert "POST /v1/classify: unexpected ValueError" in caplog.text
    assert "test_errors.py" in caplog.text
    assert client.get("/healthz").status_code == 200


def test_damaged_bundle(tmp_path: Path, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path / "home")
    tiny_specialist(store, "support", ["refund", "delivery"])
    tiny_specialist(store, "damaged", ["yes", "no"], version=1)
    model = store.path("specialists", "damaged", "1", "engine") / "model.onnx"
    data = bytearray(model.read_bytes())
    data[50] ^= 1
    model.write_bytes(data)
    client = Client(create_app(Specialists(store)), runner)
    message = assert_error(client.classify(model="damaged"), 500, type="server_error")
    assert str(store.root) not in message
    assert "sha256 differs" in caplog.text
    assert client.classify().status_code == 200
    (store.path("specialists", "damaged", "1") / "record.json").write_text("{}")
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["support:1"]


class Slow(Specialists):
    """Answers when it is let."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.go = threading.Event()

    def classify(self, model: str, texts: Sequence[str], *, truncate: bool = False) -> Classified:
        self.go.wait(30)
        return super().classify(model, texts, truncate=truncate)


def test_full_queue_is_said_at_once(store: Store, runner: asyncio.Runner) -> None:
    slow = Slow(store)
    admission = Admission(running=1, waiting=2)
    client = Client(create_app(slow, admission=admission), runner)
    body = {"model": "support", "input": "refund"}

    async def crowd() -> tuple[list[httpx.Response], list[httpx.Response]]:
        inside = [asyncio.create_task(client.arequest("POST", "/v1/classify", json=body)) for _ in range(3)]
        while admission.inside < 3:
            await asyncio.sleep(0)
        outside = [await client.arequest("POST", "/v1/classify", json=body) for _ in range(3)]
        assert (await client.arequest("GET", "/healthz")).status_code == 200
        slow.go.set()
        return list(await asyncio.gather(*inside)), outside

    inside, outside = runner.run(crowd())
    assert [response.status_code for response in inside] == [200, 200, 200]
    for response in outside:
        assert_error(response, 503, type="server_error", code="server_overloaded")
        assert int(response.headers["retry-after"]) >= 1
    assert client.classify().status_code == 200
    assert admission.inside == 0
