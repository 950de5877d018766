"""A hub with tiny models on this machine, chosen by the setting that a user would set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.hub.endpoint import Limits
from tests import gguf_files
from tests.hub_imitation import FakeHub, running

QUICK = Limits(stall_s=2, backoff_s=0.001, retries=3, part_bytes=16 << 10)


@pytest.fixture
def gguf(tmp_path: Path) -> bytes:
    return gguf_files.tiny(tmp_path / "whole.gguf").read_bytes()


@pytest.fixture
def fake(gguf: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {"m-Q8_0.gguf": gguf, "m-F16.gguf": b"GGUF" + bytes(100), "README.md": b"---\nlicense: apache-2.0\n---\n"}
    with running(FakeHub(files)) as hub:
        for name in ("LINNET_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN", "LINNET_HUB_HOSTS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("LINNET_HUB", hub.url)
        yield hub
