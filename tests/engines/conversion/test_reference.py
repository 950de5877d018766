"""Weights kept in half precision and widened block by block predict what float32 predicts, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.architectures import FAMILIES, make, name_of

pytest.importorskip("torch")
IDS = list(range(1, 60))


# Plain; a scale of the embeddings kept as a buffer; experts; a model that must fall back to float32.
@pytest.mark.parametrize("name", ["Llama 2", "Gemma3Text", "Qwen2Moe", "Mamba"])
def test_half_precision_is_widened_without_a_trace(tmp_path: Path, name: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from linnet.engines.conversion.reference_main import logits

    folder = make(next(family for family in FAMILIES if name_of(family) == name), tmp_path / "hf")
    for path in folder.glob("*.safetensors"):
        weights = {key: value.to(torch.bfloat16) for key, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    expected = logits(folder, "float32", IDS)
    assert np.ptp(expected) > 0.1
    assert np.array_equal(logits(folder, "bfloat16", IDS), expected)
