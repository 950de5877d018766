"""A LoRA training of the tiny encoder with its ONNX export, and texts it has not seen."""

from __future__ import annotations

import pytest

from tests.tiny_encoder import sentences
from tests.tiny_made import Made, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("parity"), methods=("lora",), kinds=("fp32",), judged=())


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Twenty texts of two to sixty words."""
    words = " ".join(text for text, _ in sentences(40, seed=9)).split()
    return [" ".join(words[i : i + 2 + 3 * i]) for i in range(20)]
