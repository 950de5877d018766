"""The logits that scoring reads are those of transformers; and real weights write the text they are known to write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.engines.scoring.scorer import Scorer
from tests import gguf_models
from tests.shared import shared_data

# Both in fp32, attention included: what is left is the order of sums (seen: at most 1.1e-5, of logits up to 5).
# For GELU ggml reads a table of 16-bit floats, so these families are as far away as that table (seen: 1.8e-3).
BOUND = 1e-4
TABLE_BOUND = 5e-3
STORIES = shared_data("stories260k")


@pytest.mark.parametrize("width", [64, 256])
@pytest.mark.parametrize("family", sorted(gguf_models.FAMILIES))
def test_logits_are_those_of_transformers(family: str, width: int, tmp_path: Path) -> None:
    model, path = gguf_models.made(tmp_path, family, width=width, seed=width)
    ids = np.random.default_rng(width).integers(0, gguf_models.BYTES, 100).tolist()
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0].float().numpy()
    with Scorer(path, threads=1) as scorer:
        found = scorer.logits(ids)
    assert found.shape == expected.shape == (100, gguf_models.VOCABULARY)
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 1  # the weights say something
    assert np.abs(found - expected).max() < (TABLE_BOUND if "gemma" in family else BOUND)


@pytest.mark.skipif(not STORIES.is_dir(), reason=f"no real weights at {STORIES}")
def test_real_weights_write_their_known_text() -> None:
    expected = json.loads((STORIES / "expected_outputs.json").read_text())
    with Scorer(STORIES / "stories260K.gguf", threads=1) as scorer:
        ids = scorer.tokenize("")
        for _ in range(expected["steps"]):
            ids.append(int(scorer.next_logits(ids).argmax()))
        assert scorer.detokenize(ids) == expected["greedy_temp0"]
