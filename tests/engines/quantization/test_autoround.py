"""AutoRound into GGUF: what it takes, and (nightly) that its rounding is nearer to the source on text it never saw."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.core.store import Store
from linnet.engines.quantization import autoround
from linnet.formats.builtin import FOLDER
from linnet.stages.convert import Options, convert
from tests.gguf_files import stories

NANO = FOLDER / "nano"
TEXT = "The old harbour was built of grey stone. In 1921 a storm broke its wall, and the town mended it again. " * 8


@pytest.mark.parametrize(
    ("model", "kind", "options", "said"),
    [
        (NANO, "Q8_0", Options(method="autoround"), "makes no Q8_0"),
        (NANO, "Q4_0", Options(method="gptq"), "No method is called 'gptq'"),
        (NANO, "Q4_0", Options(method="autoround", pure=True), "without --pure"),
    ],
)
def test_what_it_cannot_do_is_said(tmp_path: Path, model: Path, kind: str, options: Options, said: str) -> None:
    with pytest.raises(InputError, match=said):
        convert(Store(tmp_path), str(model), kind, options)


def test_it_takes_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes a Hugging Face folder"):
        convert(Store(tmp_path), str(stories()), "Q4_0", Options(method="autoround", requantize=True))


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="trains for minutes: set LINNET_NIGHTLY=1")
def test_its_rounding_is_nearer_to_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("auto_round")
    from linnet.engines.quantization import importance
    from linnet.engines.scoring.scorer import Scorer

    monkeypatch.setattr(autoround, "ITERATIONS", 30)
    monkeypatch.setattr(autoround, "WINDOWS", 16)
    monkeypatch.setattr(importance, "WINDOW", 128)
    store, files = Store(tmp_path / "store"), {}
    for name, kind, method in (("source", "BF16", ""), ("plain", "Q4_0", ""), ("tuned", "Q4_0", "autoround")):
        files[name] = tmp_path / f"{name}.gguf"
        made = convert(store, str(NANO), kind, Options(out=str(files[name]), threads=1, method=method))
    assert "35 matrices rounded by AutoRound" in made.quantized.file_type
    assert made.gate.tokens_compared > 10
    assert files["tuned"].stat().st_size == files["plain"].stat().st_size
    with Scorer(files["source"], context=256, threads=1) as source:
        losses = {}
        for name in ("plain", "tuned"):
            with Scorer(files[name], context=256, threads=1) as other:
                losses[name] = source.kl_divergence(other, TEXT).mean
    assert losses["tuned"] < losses["plain"]
