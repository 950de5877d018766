"""`linnet quantize` for a size, bits or a loss: what is printed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli.app import app_of
from linnet.cli.quantize_target import imatrix_of, target_of
from linnet.core.errors import InputError
from linnet.engines.quantization import mixture_search, quantize_guided, sensitivity
from tests.gguf_files import stories


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LINNET_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quantize_guided, "SEARCHED", 64)
    monkeypatch.setattr(mixture_search, "MOST", 30)
    without = tuple(kind for kind in sensitivity.CANDIDATES if not kind.startswith("IQ"))
    monkeypatch.setattr(sensitivity, "CANDIDATES", without)


def test_a_size_with_the_text_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(
        "Once upon a time, there was a little girl named Lily. She loved to play.\n" * 20
    )
    given = ["quantize", str(stories()), "--size", "310 kB", "--calibration", "mine.txt"]
    done = CliRunner().invoke(app_of(), given)
    assert done.exit_code == 0, done.output
    (file,) = tmp_path.glob("*.gguf")
    assert file.name == "stories260K-size-310kB.gguf"
    assert 290_000 < file.stat().st_size <= 310_000
    for said in ("mixed, size 310kB", "held-out tokens of mine.txt", "predicted and", "from the best choice"):
        assert said in done.output
    found = json.loads(CliRunner().invoke(app_of(), [*given, "--out", "b.gguf", "--json"]).stdout)
    assert found["search"]["text"] == "mine.txt"
    assert set(found["quantized"]["tensor_types"].values()) <= {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "MXFP4"}
    assert (tmp_path / "b.gguf").read_bytes() == file.read_bytes()
    like = CliRunner().invoke(app_of(), ["quantize", str(stories()), "--like", str(file), "--out", "c.gguf"])
    assert like.exit_code == 0, like.output
    assert "mixed, as listed" in like.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "Which type?"),
        (["-t", "Q8_0", "--size", "1MB"], "Which type?"),
        (["--size", "1MB", "--bits", "4"], "different targets"),
        (["--size", "many"], "--size many: a size is a number of bytes"),
        (["--max-loss", "150%"], "a share such as 1% or 0.01"),
        (["-t", "Q8_0", "--calibration", "a.txt", "--imatrix", "none"], "--calibration is read to make"),
        (["--bits", "5", "--calibration", "absent.txt"], "There is no file absent.txt"),
    ],
)
def test_what_is_refused(given: list[str], said: str) -> None:
    done = CliRunner().invoke(app_of(), ["quantize", str(stories()), *given])
    assert said in done.output + str(done.exception)
    assert done.exit_code != 0


def test_targets() -> None:
    size, loss = target_of("300MB", 0, ""), target_of("", 0, "1%")
    assert size is not None
    assert loss is not None
    assert (size.size_bytes, size.label) == (300_000_000, "size 300MB")
    assert (loss.max_loss, loss.label) == (0.01, "loss 1%")
    assert target_of("", 0, "0.01").max_loss == 0.01  # type: ignore[union-attr]
    assert target_of("", 0, "") is None
    with pytest.raises(InputError):
        target_of("0", 0, "")


def test_a_matrix_is_made_where_it_is_wanted() -> None:
    file = Path("m.gguf")
    assert imatrix_of("", None, False) == (None, False)
    assert imatrix_of("auto", None, False) == imatrix_of("", None, True) == imatrix_of("", file, False) == (None, True)
    assert imatrix_of("none", file, True) == (None, False)
    assert imatrix_of("m.gguf", None, False) == imatrix_of("m.gguf", file, True) == (file, False)
