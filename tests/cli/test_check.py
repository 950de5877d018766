"""`linnet check` through its front door: the report, its JSON line, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from linnet.cli import main
from linnet.formats.model_check import check_model
from tests.formats.test_hf_folder import folder
from tests.gguf_files import STRING, tiny


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["linnet", "check", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_the_report_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny(tmp_path / "t.gguf", general__name=(STRING, "a\x1b[31mb"))
    code, out, err = call(monkeypatch, capsys, str(path))
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    lines = {line.split()[0]: line for line in out.splitlines() if not line.startswith(" ")}
    assert lines["format"] == "format       gguf"
    assert lines["weights"] == "weights      F32: 20 F32 (0.1 MB)"
    assert "may be used" in lines["template"]
    assert "300 tokens; bos 1, eos 2" in lines["tokenizer"]


def test_the_report_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "model")
    code, out, err = call(monkeypatch, capsys, str(path), "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == check_model(path).to_json()


def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    code, out, err = call(monkeypatch, capsys, str(tmp_path / "bad.gguf"))
    assert (code, out) == (1, "")
    assert "version: need 2 or 3, have 0" in err
    code, _, err = call(monkeypatch, capsys, str(tmp_path / "none.gguf"))
    assert (code, "no such file" in err) == (2, True)
    path = tiny(tmp_path / "t.gguf", tokenizer__chat_template=(STRING, "{% include 'x' %}"))
    code, out, err = call(monkeypatch, capsys, str(path))
    assert code == 1
    assert "template     17 bytes, refused" in out
    assert "includes another file" in err
