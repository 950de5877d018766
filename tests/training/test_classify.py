"""What an encoder's training refuses: its results are tested in tests/stages and tests/parity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Model
from linnet.training.classify import Encoded, train_classifier
from linnet.training.recipe import Recipe


@pytest.mark.parametrize("choice", [{"quantization": "nf4"}, {"neftune_alpha": 5.0}])
def test_what_only_decoders_have_is_not_silently_left_out(tmp_path: Path, choice: dict[str, Any]) -> None:
    import torch

    base = Model(
        name="tiny", kind="encoder", format="safetensors", path=str(tmp_path), files={}, licence="", source="",
        max_tokens=8,
    )  # fmt: skip
    rows = Encoded([[1, 2]], torch.tensor([0]), [1], 0)
    recipe = Recipe(method="lora", epochs=1, **choice)
    with pytest.raises(InputError, match="are for decoders"):
        train_classifier(base, ["a"], rows, rows, recipe, folder=tmp_path, digest="")
