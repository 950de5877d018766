"""`linnet run --engine torch` through its front door, on a tiny folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.cli.test_run import Run
from tests.gguf_files import stories
from tests.tiny_decoder import tiny_decoder

TORCH = ("--engine", "torch", "--temperature", "0", "--max-tokens", "8")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in {"LINNET_HOME": str(tmp_path / "home"), "LINNET_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    return Run(capsys, monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("hf") / "tiny")


def test_one_answer_and_its_memory(run: Run, folder: Path) -> None:
    code, out, _ = run(folder, "Make it red", *TORCH, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["completion_tokens"] <= 8
    assert 0 < found["memory"]["weights_bytes"] < found["memory"]["peak_bytes"]
    code, text, _ = run(folder, *TORCH, piped=b"Make it red")
    assert (code, text.rstrip("\n")) == (0, found["text"].rstrip("\n"))


def test_in_four_bits_it_takes_less(run: Run, folder: Path) -> None:
    pytest.importorskip("bitsandbytes")
    sizes = []
    for more in ((), ("--quantize", "nf4")):
        code, out, _ = run(folder, "--raw", "Make it", *TORCH, "--json", *more)
        assert code == 0
        sizes.append(json.loads(out)["memory"]["weights_bytes"])
    assert sizes[1] < 0.75 * sizes[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--quantize", "nf4"), "--quantize is for --engine torch"),
        (("--engine", "onnx"), "No engine is called 'onnx'"),
        (("--engine", "torch", "--quantize", "nf5"), "nf5"),
        (("--engine", "torch", "--json-schema", '{"type": "object"}'), "json_schema: the torch engine cannot do it"),
        (("--engine", "torch", "--context", "9999"), "trained with 256"),
        ((), "this engine runs GGUF"),
    ],
)
def test_what_does_not_fit_is_said(run: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(folder, "Make it red", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_gguf_is_not_run_in_torch(run: Run) -> None:
    code, _, err = run(stories(), "Once", "--engine", "torch", "--raw")
    assert code == 2
    assert "torch runs safetensors" in err


def test_a_prompt_that_does_not_fit_is_refused(run: Run, folder: Path) -> None:
    code, out, err = run(folder, "red " * 300, *TORCH)
    assert (code, out) == (2, "")
    assert "the context is 256" in err
