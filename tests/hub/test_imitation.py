"""The imitation speaks the public hub's dialect: the library huggingface_hub understands it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.hub_imitation import FakeHub

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def test_metadata(fake: FakeHub, blob: bytes) -> None:
    api = huggingface_hub.HfApi(endpoint=fake.url, token=False)
    info = api.model_info("org/tiny", revision="main", files_metadata=True)
    assert info.sha == fake.commit
    assert info.card_data.license == "apache-2.0"
    large = next(s for s in info.siblings if s.rfilename == "blob.gguf")
    assert (large.lfs.sha256, large.lfs.size) == (hashlib.sha256(blob).hexdigest(), len(blob))
    tree = {entry.path: entry for entry in api.list_repo_tree("org/tiny", revision="main")}
    assert tree["README.md"].size == 8


def test_a_download(fake: FakeHub, blob: bytes, tmp_path: Path) -> None:
    path = huggingface_hub.hf_hub_download(
        "org/tiny", "blob.gguf", endpoint=fake.url, token=False, cache_dir=tmp_path / "cache"
    )
    assert Path(path).read_bytes() == blob


def test_why_its_download_is_not_used(fake: FakeHub, tmp_path: Path) -> None:
    """docs/decisions/0007: it compares sizes only. If this fails, the decision should be looked at again."""
    fake.lie, fake.flip_bit = "flip", 12345
    path = huggingface_hub.hf_hub_download(
        "org/tiny", "blob.gguf", endpoint=fake.url, token=False, cache_dir=tmp_path / "cache"
    )
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() != Path(path).resolve().name
