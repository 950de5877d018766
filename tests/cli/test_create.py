"""`linnet create`, as a command, and the Modelfile it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app_of
from linnet.core.errors import InputError, NotFound
from linnet.core.models import model_names, read_manifest
from linnet.core.store import Store
from linnet.formats.modelfile import read_modelfile, write_modelfile
from tests import gguf_files

TEXT = '''# a comment
FROM builtin:nano
parameter temperature 0.2
PARAMETER stop "</s>"
PARAMETER stop User:
SYSTEM """You are "Mario".

Be brief."""
MESSAGE user Hello
MESSAGE assistant """It is
me."""
LICENSE MIT
'''


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def linnet(*arguments: str) -> Result:
    return CliRunner().invoke(app_of(), ["create", *arguments])


def test_made_of_a_modelfile_and_written_again(home: Path) -> None:
    (home / "Modelfile").write_text(TEXT)
    assert linnet("mario", "--quiet").stdout == "mario:latest\n"
    made = read_manifest(Store(home / "home"), "mario")
    assert made.preset is not None
    assert made.preset.system == 'You are "Mario".\n\nBe brief.'
    assert made.preset.parameters == {"temperature": 0.2, "stop": ("</s>", "User:")}
    assert made.preset.messages == (("user", "Hello"), ("assistant", "It is\nme."))
    assert made.licence == "MIT"
    again = home / "Again"
    again.write_text(write_modelfile("mario:latest", made.preset))
    assert json.loads(linnet("mario:two", "-f", str(again), "--json").stdout)["preset"] == made.preset.to_json()


def test_a_file_beside_the_modelfile(home: Path) -> None:
    gguf_files.tiny(home / "tiny-Q8_0.gguf")
    (home / "Modelfile").write_text("FROM ./tiny-Q8_0.gguf\nPARAMETER num_predict 4\n")
    assert linnet("small", "--quiet").exit_code == 0
    assert model_names(Store(home / "home")) == ["small:latest", "tiny:q8_0"]
    (home / "Modelfile").write_text("FROM ./nobody.gguf\n")
    assert isinstance(linnet("other").exception, NotFound)
    assert isinstance(linnet("other", "-f", "nothing").exception, NotFound)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no FROM"),
        ("SYSTEM x", "no FROM"),
        ("FROM a\nFROM b", "Line 2 .* twice"),
        ("FROM a\nSYTEM x", 'Line 2 .* Did you mean "SYSTEM"'),
        ('FROM a\nSYSTEM """x', "no end"),
        ("FROM a\nPARAMETER temperature hot", "needs a number"),
        ("FROM a\nPARAMETER top_k 1\nPARAMETER top_k 2", "twice"),
        ("FROM a\nSYSTEM " + "x" * (1 << 20), "larger"),
    ],
)
def test_mistakes_name_their_line(text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_modelfile(text)


def test_old_manifests_are_read_and_written_as_they_were(home: Path) -> None:
    (home / "Modelfile").write_text("FROM builtin:nano\n")
    linnet("mario", "--quiet")
    found = read_manifest(Store(home / "home"), "mario").model_copy(update={"preset": None})
    assert "preset" not in found.to_json()


def test_linnet_run_says_what_the_model_was_made_with(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    (home / "Modelfile").write_text(
        "FROM builtin:nano\nSYSTEM Be brief.\nMESSAGE user Hello\nMESSAGE assistant Once.\n"
        "PARAMETER temperature 0\nPARAMETER num_predict 3\nPARAMETER num_ctx 256\n"
    )
    assert linnet("teller", "--quiet").exit_code == 0

    def run(*more: str) -> dict[str, Any]:
        asked = ["run", "teller", "Tell me a story", "--json", *more]
        return json.loads(CliRunner().invoke(app_of(), asked).stdout)

    made = run()
    assert made["completion_tokens"] == 3
    assert made["text"] == run()["text"]  # temperature 0
    assert run("--max-tokens", "2")["completion_tokens"] == 2
    # The system text and the two turns are in the prompt; another system text takes the place of the first.
    assert made["prompt_tokens"] > run("--system", "x")["prompt_tokens"] > 20
