"""Quantised models load in the ONNX engine, are smaller, and say how far they are from the one before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import GateFailed
from linnet.core.store import Store
from linnet.engines.onnx_runtime.onnx import OnnxClassifier
from linnet.stages import quantize as stage
from linnet.stages.quantize import EXPORT_BOUND, quantize
from tests.tiny_made import Made

TEXTS = ["kabel lofan robin", "hammer", "pear plum mibel nudor kagim"]


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_each_folder_is_one_that_the_engine_loads(made: Made, method: str, kind: str) -> None:
    folder = made.quantized[method].folder / kind
    assert {p.name for p in folder.iterdir()} == {"model.onnx", "tokenizer.json", "engine.json"}
    engine = OnnxClassifier(folder)
    assert engine.max_tokens == made.base.max_tokens
    logits = engine.logits(TEXTS)
    assert logits.shape == (len(TEXTS), len(made.labels))
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_gates_are_told(made: Made, method: str) -> None:
    fp32, int8 = made.quantized[method].result["gates"]
    assert (fp32["quantization"], int8["quantization"]) == ("fp32", "int8")
    assert fp32["passed"]
    assert float(fp32["measured"]) <= EXPORT_BOUND
    assert {"name", "quantization", "bound", "measured", "passed"} == set(fp32) == set(int8)
    assert method in fp32["name"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_int8_is_smaller_and_near(made: Made, method: str) -> None:
    folder = made.quantized[method].folder
    sizes = {kind: (folder / kind / "model.onnx").stat().st_size for kind in ("fp32", "int8")}
    assert sizes["int8"] < sizes["fp32"]
    before, after = (OnnxClassifier(folder / kind).logits(TEXTS) for kind in ("fp32", "int8"))
    assert not np.array_equal(before, after)
    assert np.abs(before - after).max() < np.abs(before).max()


def test_only_what_was_asked_for_is_made(made: Made) -> None:
    step = quantize(made.store, made.base, made.tuned["full"], made.prepared, ["fp32"])
    assert not step.reused
    assert {Path(name).parts[0] for name in step.run.files} == {"fp32"}
    assert [gate["quantization"] for gate in step.result["gates"]] == ["fp32"]


def test_the_order_of_the_types_changes_nothing(made: Made) -> None:
    assert quantize(made.store, made.base, made.tuned["full"], made.prepared, ["int8", "fp32"]).reused


def test_an_export_that_answers_otherwise_is_refused(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "EXPORT_BOUND", -1.0)
    with pytest.raises(GateFailed, match="ONNX export differs from torch by"):
        quantize(Store(tmp_path / "store"), made.base, made.tuned["full"], made.prepared, ["fp32"])


def test_an_int8_that_answers_otherwise_is_left_to_the_choice(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "INT8_AGREEMENT", 1.1)
    step = quantize(Store(tmp_path / "store"), made.base, made.tuned["full"], made.prepared, ["int8"])
    assert [gate["passed"] for gate in step.result["gates"]] == [True, False]
