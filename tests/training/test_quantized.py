"""QLoRA: the frozen base in 4 or 8 bits, and what is learned goes into the base's own precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from linnet.core.errors import EngineError, InputError, Interrupted
from linnet.training import decoder_folder, fused, lora, quantized
from tests.tiny_decoder import tiny_decoder
from tests.tiny_tuning import logits, losses, moved, tiny_recipe, tune, weights

pytest.importorskip("bitsandbytes")
KINDS = ("nf4", "int8")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base in bfloat16, as most are."""
    return tiny_decoder(tmp_path_factory.mktemp("bf16"), dtype="bfloat16")


def linear_bytes(model: torch.nn.Module) -> int:
    found = model.model.layers[0].mlp.up_proj.weight  # type: ignore[union-attr,index]
    return int(found.numel() * found.element_size())


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_small_and_says_nearly_the_same(stored: Path, kind: str) -> None:
    model, exact = quantized.load(stored, tiny_recipe(quantization=kind)), decoder_folder.load(stored)
    assert quantized.kind_of(model) == kind
    assert quantized.kind_of(exact) == "none"
    assert linear_bytes(model) == linear_bytes(exact) // (8 if kind == "nf4" else 4)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    difference = (logits(model, stored) - logits(exact, stored)).abs().max()
    assert 0 < difference < 0.2 * logits(exact, stored).abs().max()


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_recipe_says_how_the_four_bits_are_packed_and_computed(stored: Path, double: bool, dtype: str) -> None:
    planned = tiny_recipe(quantization="nf4", double_quantization=double, compute_dtype=dtype)
    layer = quantized.load(stored, planned).model.layers[0].mlp.up_proj
    assert layer.compute_dtype == getattr(torch, dtype)
    assert layer.weight.quant_state.nested == double
    assert layer.weight.quant_state.quant_type == "nf4"


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_resumes_to_the_same_bits(
    stored: Path, tmp_path: Path, arm: Callable[[str], None], kind: str
) -> None:
    planned = tiny_recipe(quantization=kind)
    whole = tune(stored, tmp_path / "whole", planned)
    assert losses(whole)[-1] < losses(whole)[0] - 0.05
    assert quantized.kind_of(whole.trained) == kind
    assert quantized.kind_of(whole.model) == "none"
    arm("train.step:5=term")
    with pytest.raises(Interrupted):
        tune(stored, tmp_path / "stopped", planned)
    arm("")
    again = tune(stored, tmp_path / "stopped", planned)
    assert again.progress.history == whole.progress.history
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(whole), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_goes_into_the_original_weights(stored: Path, tmp_path: Path, kind: str) -> None:
    """Every weight is the base's own plus scale * B A, rounded once; those without an adapter keep their bits."""
    from safetensors.torch import load_file

    tuned = tune(stored, tmp_path, tiny_recipe(quantization=kind, epochs=1))
    decoder_folder.save(tuned.model, stored, tmp_path / "model")
    before, after = (load_file(folder / "model.safetensors") for folder in (stored, tmp_path / "model"))
    halves = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert set(before) == set(after)
    touched = 0
    for name, weight in before.items():
        assert after[name].dtype == torch.bfloat16
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.weight" in halves:
            learned = halves[f"{stem}.lora_B.weight"] @ halves[f"{stem}.lora_A.weight"] * 8 / 4**0.5
            expected = weight.float() + learned
            # Within one step of bfloat16 of the exact sum: nothing of the 4 bits is left.
            assert ((after[name].float() - expected).abs() <= expected.abs() * 2**-8 + 1e-7).all(), name
            touched += 1
        else:
            assert torch.equal(after[name], weight), name
    assert touched == 14
    assert quantized.kind_of(tuned.model) == "none"


def test_dora_on_four_bits_learns_and_merges(stored: Path, tmp_path: Path) -> None:
    tuned = tune(stored, tmp_path, tiny_recipe(quantization="nf4", use_dora=True))
    assert losses(tuned)[-1] < losses(tuned)[0] - 0.05
    assert quantized.kind_of(tuned.model) == "none"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_merged_into_quantised_weights(stored: Path, kind: str) -> None:
    planned = tiny_recipe(quantization=kind)
    adapted = lora.add(quantized.load(stored, planned), planned)
    with pytest.raises(EngineError, match=f"never merged into {kind} weights"):
        lora.merge(adapted)


def test_a_model_that_is_not_what_the_recipe_says_is_refused(stored: Path, tmp_path: Path) -> None:
    from linnet.training.decoder import train_decoder
    from tests.tiny_tuning import tiny_targets

    train, validation = tiny_targets(stored)
    planned = tiny_recipe(quantization="nf4")
    given = {"folder": tmp_path, "base_name": "", "base_digest": ""}
    with pytest.raises(InputError, match="quantization is 'nf4', the model's is 'none'"):
        train_decoder(decoder_folder.load(stored), train, validation, planned, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="folder of a quantised model's base is missing"):
        train_decoder(quantized.load(stored, planned), train, validation, planned, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="quantization is 'none', the model's is 'nf4'"):
        train_decoder(
            quantized.load(stored, planned),
            train,
            validation,
            tiny_recipe(),
            **given,  # type: ignore[arg-type]
        )


def test_four_bits_compute_in_one_piece_what_they_compute_apart(stored: Path) -> None:
    planned = tiny_recipe(quantization="nf4", compute_dtype="float32", lora_rank=4)
    made = []
    for is_fused in (False, True):
        model = moved(quantized.load(stored, planned), planned)
        if is_fused:
            fused.install(model)
            assert fused.count(model) == 21
            assert fused.prove(model)
        loss = model(input_ids=torch.arange(1, 13)[None], use_cache=False).logits.square().mean()
        trained = [p for p in model.parameters() if p.requires_grad]
        made.append([loss.detach(), *torch.autograd.grad(loss, trained)])
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_what_computes_in_sixteen_bits_stays_as_it_is(stored: Path) -> None:
    planned = tiny_recipe(quantization="nf4", compute_dtype="bfloat16", lora_rank=4)
    model = quantized.load(stored, planned)
    lora.add(model, planned)
    fused.install(model)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert fused.prove(model)
