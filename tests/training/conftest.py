"""A tiny decoder for the tests of its training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_decoder import tiny_decoder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("decoder"))
