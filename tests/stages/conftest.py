"""One life of the stages that every test of a stage looks at."""

from __future__ import annotations

import pytest

from tests.tiny_made import Made, make


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many cores as `made` was made with: what is trained and measured depends on it."""
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    place = tmp_path_factory.mktemp("stages")
    judged = [("full", "fp32"), ("full", "int8")]
    return make(place, methods=("full", "lora"), kinds=("fp32", "int8"), judged=judged)
