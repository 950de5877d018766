"""LoRA, rank-stabilised LoRA and DoRA: each learns, resumes to the same bits, and merges exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from linnet.core.errors import EngineError, InputError, Interrupted, NotFound
from linnet.training import decoder_folder, lora
from linnet.training.recipe import Recipe
from tests.tiny_adapter import tiny_adapter
from tests.tiny_tuning import logits, losses, tiny_recipe, tune, weights

METHODS: dict[str, dict[str, Any]] = {"plain": {"use_rslora": False}, "dora": {"use_dora": True}}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_resumes_to_the_same_bits_and_merges_exactly(
    base: Path, tmp_path: Path, arm: Callable[[str], None], method: str
) -> None:
    planned = tiny_recipe(**METHODS[method])
    whole = tune(base, tmp_path / "whole", planned)
    assert losses(whole)[-1] < losses(whole)[0] - 0.05
    arm("train.step:5=term")
    with pytest.raises(Interrupted):
        tune(base, tmp_path / "stopped", planned)
    arm("")
    again = tune(base, tmp_path / "stopped", planned)
    assert again.progress.history == whole.progress.history
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(whole), strict=True))
    attached = lora.attach(decoder_folder.load(base), tmp_path / "whole" / "adapter")
    difference = (logits(attached, base) - logits(whole.model, base)).abs().max()
    assert difference < 1e-4
    assert (logits(decoder_folder.load(base), base) - logits(whole.model, base)).abs().max() > 0.1
    config = json.loads((tmp_path / "whole" / "adapter" / "adapter_config.json").read_text())
    assert (config["use_rslora"], config["use_dora"]) == (method != "plain", method == "dora")


def test_the_scaling_by_hand(base: Path) -> None:
    for stable, expected in ((True, 8 / 4**0.5), (False, 8 / 4)):
        adapted = lora.add(decoder_folder.load(base), tiny_recipe(use_rslora=stable))
        found = {m.scaling["default"] for m in adapted.modules() if isinstance(getattr(m, "scaling", None), dict)}
        assert found == {expected}


def test_dora_trains_one_length_for_every_output(base: Path) -> None:
    adapted = lora.add(decoder_folder.load(base), tiny_recipe(use_dora=True))
    lengths = {n: p for n, p in adapted.named_parameters() if "lora_magnitude_vector" in n}
    assert len(lengths) == 14
    name, vector = next((n, p) for n, p in lengths.items() if "q_proj" in n)
    weight = decoder_folder.load(base).model.layers[0].self_attn.q_proj.weight
    assert vector.requires_grad
    assert ".layers.0." in name
    assert torch.allclose(vector, torch.linalg.norm(weight, dim=1), atol=1e-5)


@pytest.mark.parametrize("use_dora", [False, True])
def test_an_adapter_comes_back_from_the_disk_without_asking_anybody(
    base: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder, use_dora: bool
) -> None:
    folder = tiny_adapter(base, tmp_path / "a", use_dora=use_dora)
    attached = lora.attach(decoder_folder.load(base), folder)
    with_it = logits(attached, base)
    assert (logits(lora.merge(attached), base) - with_it).abs().max() < 1e-5
    assert (logits(decoder_folder.load(base), base) - with_it).abs().max() > 0.1
    assert not [w for w in recwarn if "remote" in str(w.message) or "config file" in str(w.message)]


def test_an_adapter_of_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_adapter(base, tmp_path / "a")
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    renamed = {name.replace("layers.1.", "layers.7."): tensor for name, tensor in tensors.items()}
    for wrong in (renamed, {n: t for n, t in tensors.items() if "layers.1." not in n}):
        save_file(wrong, file)
        with pytest.raises(EngineError, match=r"does not fit this model: only one of them has .*layers\.[17]"):
            lora.attach(decoder_folder.load(base), folder)
    save_file({name: tensor[:, :5].contiguous() for name, tensor in tensors.items()}, file)
    with pytest.raises(EngineError, match="does not fit this model"):
        lora.attach(decoder_folder.load(base), folder)
    file.unlink()
    with pytest.raises(NotFound, match=r"has no adapter_model\.safetensors"):
        lora.attach(decoder_folder.load(base), folder)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"method": "full", "use_dora": True}, "use_dora is True and the method 'full'"),
        ({"method": "full", "quantization": "nf4"}, "quantization is 'nf4' and the method 'full'"),
        ({"quantization": "nf5"}, 'Did you mean "nf4"'),
        ({"compute_dtype": "bf16"}, "compute_dtype is 'bf16'"),
        ({"lora_rank": 0}, "lora_rank is 0: it must be at least 1"),
        ({"lora_alpha": -1}, "lora_alpha is -1"),
        ({"neftune_alpha": -1.0}, "neftune_alpha is -1.0"),
        ({"neftune_alpha": float("nan")}, "neftune_alpha is nan"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(
    base: Path, tmp_path: Path, choices: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        Recipe(**{"method": "lora", "epochs": 1, **choices})
    assert said in str(caught.value)
    with pytest.raises(InputError):  # a copy is not checked when it is made
        tune(base, tmp_path, tiny_recipe(**choices))
