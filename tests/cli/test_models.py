"""pull, import, list, show, cp and rm of models, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import gguf_files
from tests.cli.test_app import Linnet, built, home, linnet
from tests.hub_imitation import COMMIT, FakeHub
from tests.stages.hub_fixtures import fake, gguf

__all__ = ["fake", "gguf", "home", "linnet"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return gguf_files.tiny(tmp_path / "Tiny-Q8_0.gguf")


def test_import_list_show_cp_rm(linnet: Linnet, home: Path, file: Path) -> None:
    code, out, err = linnet("import", str(file))
    assert (code, out) == (0, "tiny:q8_0\n")
    assert "linked, no byte was copied" in err
    built(home)
    rows = linnet.json("list")
    assert [(row["name"], row["type"]) for row in rows] == [("support:1", "specialist"), ("tiny:q8_0", "model")]
    _, out, _ = linnet("list")
    assert "tiny:q8_0" in out
    assert "support:1" in out
    _, out, _ = linnet("show", "tiny")
    for part in ("decoder, llama", "licence ", f"source    {file}", "linked, sha256", "as recorded"):
        assert part in out
    assert linnet.json("show", "tiny")["full_name"] == "tiny:q8_0"
    assert linnet("cp", "tiny", "other") == (0, "other:latest\n", "")
    assert linnet.json("cp", "tiny", "third:x") == {"name": "third:x"}
    assert linnet.json("rm", "tiny") == {"removed": ["tiny:q8_0"]}
    assert linnet("rm", "other:latest", "--yes") == (0, "removed other:latest\n", "")
    assert linnet("show", "third")[0] == 0
    assert linnet.json("rm", "third") == {"removed": ["third:x"]}
    assert not list((home / "blobs" / "sha256").iterdir())
    assert file.exists()


def test_show_finds_a_changed_file(linnet: Linnet, home: Path, file: Path) -> None:
    linnet.json("import", str(file), "--copy")
    blob = next((home / "blobs" / "sha256").iterdir())
    before = blob.stat()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    import os

    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))  # a disk that rots touches no time
    code, out, err = linnet("show", "tiny")
    assert (code, out) == (1, "")
    assert "its sha256 is not the recorded one" in err


def test_a_damaged_manifest_is_said_and_can_be_removed(linnet: Linnet, home: Path, file: Path) -> None:
    linnet.json("import", str(file))
    (home / "models" / "tiny" / "q8_0.json").write_text("{")
    code, _, err = linnet("list")
    assert code == 0
    assert "tiny:q8_0: its manifest is damaged; remove it with: linnet rm tiny:q8_0" in err
    assert linnet("show", "tiny")[0] == 1
    assert linnet.json("rm", "tiny:q8_0") == {"removed": ["tiny:q8_0"]}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["import", "/no/such/file"], 2, "no such file or folder"),
        (["import", "."], 2, "no model is here"),
        (["show", "../x"], 2, "A name is 1 to 64"),
        (["rm", "a:b:c", "--yes"], 2, "A name is 1 to 64"),
        (["cp", "x", "y"], 2, "No model is called 'x'"),
        (["pull", "hf:org"], 2, "A hub name is hf:org/repo"),
        (["pull", "hf:org/other"], 2, "has no such thing"),
        (["pull", "hf:org/tiny:Q9_9"], 2, "It has: F16, Q8_0"),
        (["pull", "hf:org/tiny@nope"], 2, "Check the spelling"),
        (["pull", "hf:org/tiny", "--name", "../x"], 2, "A name is 1 to 64"),
    ],
)
def test_wrong_things_are_said(
    linnet: Linnet,
    home: Path,
    fake: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    got, out, err = linnet(*arguments)
    assert (got, out) == (code, "")
    assert message in err
    assert not (home / "models").exists()


def test_pull(linnet: Linnet, fake: FakeHub, home: Path) -> None:
    code, out, err = linnet("pull", "hf:org/tiny")
    assert (code, out) == (0, "tiny:q8_0\n")
    assert "licence apache-2.0" in err
    assert linnet.json("pull", "hf:org/tiny")["name"] == "tiny:q8_0"
    _, out, _ = linnet("show", "tiny")
    assert f"commit    {COMMIT} (main)" in out
    assert f"url       {fake.url}/org/tiny" in out


def test_plan(linnet: Linnet, fake: FakeHub, home: Path) -> None:
    assert linnet.json("pull", "hf:org/tiny", "--plan")["stored_as"] == "tiny:q8_0"
    code, out, err = linnet("pull", "hf:org/tiny", "--plan")
    assert (code, err) == (0, "")
    assert "llama" in out
    assert "tokens/s" in out
    assert linnet.json("list") == []


def test_a_token_is_not_shown(linnet: Linnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    assert "hf_very_secret" not in linnet("settings")[1]
    assert "hf_very_secret" not in str(linnet.json("settings"))
    rows = {row["name"]: row for row in linnet.json("settings")}
    assert rows["HF_TOKEN"]["value"] == "(set, not shown)"
