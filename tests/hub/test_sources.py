"""Sources come through pip, with the hash that is asked for or not at all. Without network: from a folder of links."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from linnet.core.errors import HubError, ResourceMissing
from linnet.core.files import sha256_file
from linnet.hub import sources as module
from linnet.hub.sources import fetch_sdist

# A backend of its own: pip needs none from an index.
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
INFO = "Metadata-Version: 2.1\nName: linnet-made-sources\nVersion: 1.0\n"
BACKEND = f"""import os
assert "HF_TOKEN" not in os.environ
def prepare_metadata_for_build_wheel(folder, config=None):
    info = os.path.join(folder, "linnet_made_sources-1.0.dist-info")
    os.mkdir(info)
    open(os.path.join(info, "METADATA"), "w").write({INFO!r})
    return os.path.basename(info)
def build_wheel(*arguments, **more):
    raise SystemExit("nothing is built")
"""
NAME, VERSION = "linnet_made_sources", "1.0"


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one source distribution, and a pip that looks nowhere else."""
    folder = tmp_path / "links"
    folder.mkdir()
    with tarfile.open(folder / f"{NAME}-{VERSION}.tar.gz", "w:gz") as tar:
        for name, text in {"pyproject.toml": PROJECT, "backend.py": BACKEND, "PKG-INFO": INFO}.items():
            info = tarfile.TarInfo(f"{NAME}-{VERSION}/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("HF_TOKEN", "secret")
    for name in ("LINNET_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_the_archive_with_the_right_hash(tmp_path: Path, links: Path) -> None:
    there = links / f"{NAME}-{VERSION}.tar.gz"
    found = fetch_sdist(NAME, VERSION, sha256_file(there), tmp_path / "into")
    assert found == tmp_path / "into" / there.name
    assert found.read_bytes() == there.read_bytes()
    assert list((tmp_path / "into").iterdir()) == [found]


def test_another_hash_is_refused(tmp_path: Path, links: Path) -> None:
    with pytest.raises(HubError, match="pip could not download the sources") as caught:
        fetch_sdist(NAME, VERSION, "0" * 64, tmp_path / "into")
    assert "--source" in caught.value.hint
    assert list((tmp_path / "into").iterdir()) == []


def test_what_is_not_there(tmp_path: Path, links: Path) -> None:
    with pytest.raises(HubError, match="pip could not download"):
        fetch_sdist("linnet_absent_sources", "9", "0" * 64, tmp_path / "into")


def test_offline_and_without_pip(tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ResourceMissing, match="needs pip"):
        fetch_sdist(NAME, VERSION, "0" * 64, tmp_path / "into")
    monkeypatch.setenv("LINNET_OFFLINE", "1")
    with pytest.raises(HubError, match="Offline mode"):
        fetch_sdist(NAME, VERSION, "0" * 64, tmp_path / "into")
    assert not (tmp_path / "into").exists()
