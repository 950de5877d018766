"""`linnet quantize --sweep` through its front door."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from linnet.cli import main
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from tests.gguf_files import stories

TEXT = "Once upon a time there was a little girl called Lily. She liked to play in the park. "


class Quantize:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["linnet", "quantize", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), *self.capsys.readouterr()


@pytest.fixture
def quantize(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Quantize:
    for name, value in {"LINNET_HOME": str(tmp_path / "home"), "LINNET_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    return Quantize(capsys, monkeypatch)


def test_a_sweep_prints_a_table_a_sentence_and_a_page(quantize: Quantize, tmp_path: Path) -> None:
    source, text, page = tmp_path / "source.gguf", tmp_path / "lily.txt", tmp_path / "sweep.html"
    from_gguf(stories(), source, Wish("F32", requantize=True))
    text.write_text(TEXT * 4)
    code, out, err = quantize(source, "--sweep", "--types", "Q8_0,Q4_0", "--text", text, "--html", page, "--quiet")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["type", "source.gguf", "Q8_0", "Q4_0"]
    assert "tokens of lily.txt; KL in nats a token" in lines[4]
    assert any(line.startswith(("Take ", "No type keeps")) for line in lines)
    assert page.read_text().startswith("<!doctype html>")
    code, out, _ = quantize(source, "--sweep", "--types", "Q8_0", "--text", text, "--json")
    found = json.loads(out)
    assert (code, len(out.splitlines())) == (0, 1)
    assert found["rungs"][0]["measured"]["texts"]["lily.txt"]["divergence"]["mean"] < 0.05


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--sweep", "--type", "Q4_0"), "keeps none"),
        (("--sweep", "--out", "x.gguf"), "keeps none"),
        (("--types", "Q4_0", "--type", "Q8_0"), "are for --sweep"),
        ((), "Which type?"),
        (("--sweep", "--types", "Q4_KK"), "Q4_KK"),
        (("--sweep", "--text", "missing.txt"), "missing.txt"),
    ],
)
def test_bad_flags(quantize: Quantize, flags: tuple[str, ...], said: str) -> None:
    code, out, err = quantize(stories(), *flags)
    assert (code, out) == (2, "")
    assert said in err
