"""Seeded requests over a real socket: none fails the server, hangs, or leaves anything held; and one after it works.

LINNET_SEED and LINNET_FUZZ choose the seed and how many; nightly there are ten thousand.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import uvicorn

from linnet.core.store import Store
from linnet.http import server
from linnet.http.app import create_app
from linnet.http.decoders import Decoders
from linnet.http.generations import Generations
from linnet.stages.serve import Specialists
from tests.engines.made_llama import STORIES, make_gguf, needs_stories
from tests.engines.tool_templates import HERMES
from tests.http import fuzzing
from tests.http.decoders import named, small_engine

IS_NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"
COUNT = int(os.environ.get("LINNET_FUZZ", "10000" if IS_NIGHTLY else "300"))
SEED = int(os.environ.get("LINNET_SEED", "1"))
GROWTH_BYTES = 300 << 20
NORMAL = fuzzing.Case(
    "normal",
    fuzzing.http(
        "POST",
        "/v1/completions",
        json.dumps({"model": "stories", "prompt": "Once", "max_tokens": 1}).encode(),
        fuzzing.JSON_TYPE,
    ),
)


def wait_until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + fuzzing.TIMEOUT_S
    while time.monotonic() < end and not holds():
        time.sleep(0.02)
    return holds()


class Target:
    """A server with two decoders and a specialist, in a thread of this process."""

    def __init__(self, store: Store, decoders: Decoders) -> None:
        self.decoders, self.generations = decoders, Generations(decoders.pool)
        self.app = create_app(Specialists(store), decoders=decoders, generations=self.generations)
        self._bound = server.bind("127.0.0.1", 0)
        self.port: int = self._bound.getsockname()[1]
        self._server = uvicorn.Server(server.configuration(self.app))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._bound]}, daemon=True)

    def __enter__(self) -> Target:
        self._thread.start()
        assert wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(fuzzing.TIMEOUT_S)
        self._bound.close()
        self.generations.close()

    @property
    def held(self) -> dict[str, Any]:
        """What requests hold now."""
        leases = sum(row.requests for row in self.decoders.pool.ps())
        return {"leases": leases, "inside": self.generations.inside, "slots": self.generations.running}

    def normal(self) -> int:
        return fuzzing.send(self.port, NORMAL)[0]


@pytest.fixture(scope="module")
def target(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    chatty = make_gguf(tmp_path_factory.mktemp("fuzz") / "chatty.gguf", chat=HERMES)
    decoders = Decoders(store, [named("stories", STORIES), named("chatty", chatty)], open_engine=small_engine)
    try:
        with Target(store, decoders) as running:
            yield running
    finally:
        decoders.close()


def routes(target: Target) -> list[tuple[str, str]]:
    """Every described route, as method and path."""
    described = target.app.openapi()["paths"]
    return sorted((method.upper(), path) for path, methods in described.items() for method in methods)


def complaint(found: fuzzing.Case, status: int, body: bytes) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if not status:
        return "no answer" if found.whole else ""
    is_unknown_coding = status == 501 and b"Transfer-Encoding" in found.raw  # as RFC 9112, 6.1, wants it
    if status >= 500 and not is_unknown_coding:
        return f"status {status}"
    if status >= 400 and body and b'"error"' not in body:
        return f"status {status} without our shape of error"
    return ""


@needs_stories
def test_no_request_fails_the_server(target: Target) -> None:
    paths, seen, wrong = routes(target), Counter[str](), []
    assert {path for method, path in paths if method == "POST"} >= set(fuzzing.BODIES)
    assert target.normal() == 200
    process, before = psutil.Process(), 0
    for number in range(COUNT):
        found = fuzzing.case(SEED, number, paths)
        status, body = fuzzing.send(target.port, found)
        seen[f"{status // 100}xx" if status else "closed"] += 1
        what = complaint(found, status, body)
        if not what and status >= 400 and target.normal() != 200:
            what = f"a normal request failed after status {status}"
        if what:
            wrong.append(f"seed {SEED}, case {number} ({found.kind}): {what}: {found.raw[:1500]!r} -> {body[:300]!r}")
        if number == COUNT // 4:  # by then everything is loaded and warm
            before = process.memory_info().rss
    assert not wrong, "\n".join(wrong[:5])
    assert wait_until(lambda: not any(target.held.values())), target.held
    assert process.memory_info().rss - before < GROWTH_BYTES
    assert seen["2xx"] > COUNT / 20  # else this tested the door only
    assert seen["4xx"] > COUNT / 4
