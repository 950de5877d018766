"""A hub on this machine that tests ask; and a store that takes what comes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.core.store import Store
from linnet.hub.client import Hub
from linnet.hub.endpoint import Endpoint, Limits, parse_origin
from tests.hub_imitation import FakeHub, running

QUICK = Limits(stall_s=0.4, backoff_s=0.001, retries=3, part_bytes=256 << 10, connect_s=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def blob() -> bytes:
    return random.Random(7).randbytes((1 << 20) + 4321)  # no part ends where the file ends


@pytest.fixture
def fake(blob: bytes) -> Iterator[FakeHub]:
    with running(FakeHub({"blob.gguf": blob, "README.md": b"# hello\n", "empty.gguf": b""})) as hub:
        yield hub


@pytest.fixture
def hub(fake: FakeHub) -> Iterator[Hub]:
    with Hub(Endpoint(parse_origin(fake.url), "", ()), QUICK) as client:
        yield client
