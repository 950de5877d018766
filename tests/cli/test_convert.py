"""`linnet quantize` and `linnet convert`: what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli.app import app_of
from linnet.core.errors import InputError
from tests.gguf_files import stories


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_quantize_writes_beside_the_caller_and_tells(tmp_path: Path) -> None:
    done = CliRunner().invoke(app_of(), ["quantize", str(stories()), "--type", "q5_k_m"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "stories260K-Q5_K_M.gguf").is_file()
    for text in ("Q5_K_M", "bits a weight", "Q5_1 instead of Q5_K", "mean KL divergence", "not an evaluation"):
        assert text in done.output


def test_json_is_one_line() -> None:
    done = CliRunner().invoke(app_of(), ["quantize", str(stories()), "-t", "Q8_0", "--out", "mine:small", "--json"])
    found = json.loads(done.stdout)
    assert (found["name"], found["quantized"]["file_type"]) == ("mine:small", "Q8_0")


def test_check_writes_nothing_and_exits_by_its_answer(tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    fine = CliRunner().invoke(app_of(), ["convert", "--check", str(stories()), "-t", "Q4_0"])
    assert (fine.exit_code, "can be converted" in fine.output) == (0, True)
    (tmp_path / "bad.gguf").write_bytes(stories().read_bytes()[:5000])
    bad = CliRunner().invoke(app_of(), ["convert", "--check", str(tmp_path / "bad.gguf"), "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["possible"] is False
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"bad.gguf", "home"}


def test_an_unknown_type_is_bad_input() -> None:
    done = CliRunner().invoke(app_of(), ["quantize", str(stories()), "-t", "Q9_9"])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
