"""`linnet export` and `linnet import` of a kit, as a person types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from linnet.cli import main
from linnet.core.files import sha256_file
from linnet.core.store import Store
from tests.tiny import tiny_specialist


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["linnet", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(caught.value.code or 0), out, err


def test_a_kit_goes_from_one_home_to_another(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_specialist(Store(home), "mail", ["billing", "shipping"])
    kit = tmp_path / "mail.kit"
    code, out, err = run(monkeypatch, capsys, "export", "mail", "--to", "kit", "--out", str(kit), "--json")
    made = json.loads(out)
    assert (code, err) == (0, "")
    assert (made["name"], made["sha256"]) == ("mail:1", sha256_file(kit))
    code, _, err = run(monkeypatch, capsys, "export", "mail", "--to", "kit", "--out", str(kit))
    assert code == 2
    assert "--force" in err
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "other"))
    code, out, _ = run(monkeypatch, capsys, "import", str(kit), "--sha256", made["sha256"])
    assert (code, out.split()) == (0, ["mail:1", "sha256", made["sha256"]])
    code, out, _ = run(monkeypatch, capsys, "import", str(kit), "--json")
    assert json.loads(out)["reused"] is True
    kit.write_bytes(kit.read_bytes()[:-1])
    code, _, err = run(monkeypatch, capsys, "import", str(kit), "--name", "post")
    assert code == 1
    assert "cut" in err


def test_a_folder_is_printed_with_its_licence(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_specialist(Store(home), "mail", ["billing", "shipping"])
    words = ["export", "mail", "--to", "dir", "--out", str(tmp_path / "out"), "--data-licence", "own"]
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, out.splitlines()[0]) == (0, str(tmp_path / "out"))
    assert "apache-2.0" in out
    assert "export" in err


@pytest.mark.parametrize(
    "words",
    [
        ["export", "mail", "--to", "tar", "--out", "x"],
        ["export", "../mail", "--to", "dir", "--out", "x"],
        ["export", "mail", "--to", "dir", "--out", "/nowhere/at/all"],
        ["export", "mail", "--to", "dir", "--out", "x", "--language", "en: x"],
        ["import", "missing.kit"],
        ["import", __file__, "--sha256", "0" * 64],
    ],
)
def test_wrong_words_are_exit_2(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    tiny_specialist(Store(home), "mail", ["billing", "shipping"])
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error:") or "export …" in err
