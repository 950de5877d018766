"""Layers go to a GPU as far as they fit, and only where the engine can use one. The driver's tool is a fake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.core.errors import InputError, ResourceMissing
from linnet.engines.llama import gpu_plan
from linnet.engines.llama.engine import open_llama
from linnet.engines.llama.gpu_plan import layers_that_fit, with_gpu
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.native import engine_status
from tests.engines.made_llama import make_gguf, needs_stories

pytestmark = needs_stories

MIB = 1 << 20
OPTIONS = LoadOptions(context=1024, slots=1, threads=1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / "m.gguf", width=512, layers=16, heads=8, kv_heads=8, kind="F16", context=4096)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPU with 20,000 MiB free, and a wheel that can use it."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    say(tool, 20_000)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(engine_status, "wheel_gpus", lambda: ("CUDA0",))
    return tool


def say(tool: Path, free_mib: int) -> None:
    tool.write_text(f"#!/bin/sh\necho 'Card, 24576, {free_mib}'\n")
    tool.chmod(0o755)


@pytest.mark.usefixtures("card")
def test_everything_where_it_fits(model: Path) -> None:
    found, (why,) = with_gpu(model, OPTIONS)
    assert found.gpu_layers == 17
    assert "17 of 17 layers" in why
    plan = plan_load(model, found)
    assert plan.device_bytes > 0.9 * plan.total_bytes - 40 * MIB
    assert plan.host_bytes + plan.device_bytes == plan.total_bytes
    assert plan.address_space_bytes == 0
    # What lies on the GPU need not fit into the machine's memory.
    with pytest.raises(ResourceMissing):
        plan_load(model, OPTIONS, free_bytes=plan.host_bytes + MIB)
    plan_load(model, found, free_bytes=plan.host_bytes + MIB)


def test_a_part_where_less_is_free(model: Path, card: Path) -> None:
    whole = plan_load(model, OPTIONS)
    half = whole.compute_bytes + (whole.weights_bytes + whole.cache_bytes) // 2
    say(card, (half + gpu_plan.RESERVE_BYTES) // MIB)
    found, _ = with_gpu(model, OPTIONS)
    assert 7 <= found.gpu_layers <= 8
    assert layers_that_fit(model, OPTIONS, half) == (17, found.gpu_layers)
    say(card, 100)
    assert with_gpu(model, OPTIONS)[0].gpu_layers == 0


@pytest.mark.usefixtures("card")
def test_what_is_said_counts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_gpu(model, LoadOptions(gpu_layers=3))[0].gpu_layers == 3
    for setting, layers in (("0", 0), ("5", 5)):
        monkeypatch.setenv("LINNET_GPU_LAYERS", setting)
        assert with_gpu(model, OPTIONS)[0].gpu_layers == layers
    for setting in ("some", "-1", "10001"):
        monkeypatch.setenv("LINNET_GPU_LAYERS", setting)
        with pytest.raises(InputError, match="LINNET_GPU_LAYERS"):
            with_gpu(model, OPTIONS)
    monkeypatch.delenv("LINNET_GPU_LAYERS")
    monkeypatch.setenv("LINNET_ENGINE", "native")
    assert with_gpu(model, OPTIONS) == (OPTIONS, ())
    assert with_gpu(model, LoadOptions(engine="/bin/llama-server"))[1] == ()


@pytest.mark.usefixtures("card")
def test_a_wheel_for_processors_says_that_it_leaves_the_gpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_status, "wheel_gpus", lambda: ())
    engine = open_llama(model, OPTIONS)
    assert engine.plan.options.gpu_layers == 0
    assert any("Card is not used" in reason for reason in engine.plan.reasons)


def test_without_a_gpu_nothing_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert with_gpu(model, OPTIONS) == (OPTIONS, ())
