"""Layers in one piece give the numbers and gradients of the usual operations, and give way where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linnet.training import decoder_folder, fused, lora, quantized
from linnet.training.recipe import Recipe
from tests.tiny_decoder import tiny_decoder
from tests.tiny_tuning import moved, tiny_recipe

IDS = torch.arange(1, 25).view(2, 12)


def adapted(base: Path, planned: Recipe, *, stored: bool = False) -> Any:
    return moved(quantized.load(base, planned) if stored else decoder_folder.load(base), planned)


def computed(model: Any) -> list[Tensor]:
    """Logits, and the gradients of everything that is trained."""
    logits = model(input_ids=IDS, use_cache=False).logits
    trained = [p for p in model.parameters() if p.requires_grad]
    return [logits.detach(), *torch.autograd.grad(logits.square().mean(), trained)]


def assert_same(one: list[Tensor], other: list[Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


@pytest.mark.parametrize("changed", [{}, {"use_rslora": False}, {"use_dora": True}])
def test_an_adapter_gives_the_numbers_of_peft(base: Path, changed: dict[str, Any]) -> None:
    plain = computed(adapted(base, tiny_recipe(**changed)))
    model = adapted(base, tiny_recipe(**changed))
    fused.install(model)
    assert fused.count(model) == (7 if changed.get("use_dora") else 21)  # DoRA stays PEFT's own
    assert fused.prove(model)
    assert_same(computed(model), plain)


def test_all_weights_are_trained_alike(base: Path) -> None:
    plain = computed(decoder_folder.load(base))
    model = decoder_folder.load(base)
    fused.install(model)
    assert_same(computed(model), plain)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_stay_as_they_are_stored_and_no_number_changes(tmp_path: Path, dtype: str) -> None:
    folder = tiny_decoder(tmp_path / "half", dtype=dtype)
    plain = adapted(folder, tiny_recipe())
    model = adapted(folder, tiny_recipe(), stored=True)
    fused.install(model)
    with torch.no_grad():  # a fresh adapter is rounded to what the base is stored as
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            one.copy_(other)
    half = {name for name, p in model.named_parameters() if p.dtype == getattr(torch, dtype)}
    assert len(half) == 14
    assert all(".base_layer.weight" in name for name in half)
    assert_same(computed(model), computed(plain))
    fused.release(model)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
    assert fused.count(model) == 0


def test_without_its_adapter_it_is_the_base(tmp_path: Path) -> None:
    folder = tiny_decoder(tmp_path / "half", dtype="bfloat16")
    base = decoder_folder.load(folder)
    model = quantized.load(folder, tiny_recipe())
    wrapped: Any = lora.add(model, tiny_recipe())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    fused.install(model)
    with torch.no_grad(), wrapped.disable_adapter():
        found = model(input_ids=IDS).logits
    torch.testing.assert_close(found, base(input_ids=IDS).logits, rtol=1e-4, atol=1e-4)


def test_checkpointed_layers_have_the_same_gradients(base: Path) -> None:
    plain = computed(adapted(base, tiny_recipe()))
    model = adapted(base, tiny_recipe())
    fused.install(model)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    assert_same(computed(model), plain)


def test_another_formula_is_found_out(base: Path) -> None:
    """A norm that scales by 1 + weight, as Gemma's does, under the name and with the fields of the usual one."""
    model = decoder_folder.load(base)

    class OtherRMSNorm(nn.Module):
        def __init__(self, usual: Any) -> None:
            super().__init__()
            self.weight, self.variance_epsilon = usual.weight, usual.variance_epsilon

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon) * (1 + self.weight)

    model.model.norm = OtherRMSNorm(model.model.norm)
    fused.install(model)
    assert not fused.prove(model)
    fused.release(model)
    assert fused.count(model) == 0


def test_proving_leaves_the_adapter_as_it_was(base: Path) -> None:
    model = adapted(base, tiny_recipe())
    fused.install(model)
    before = [p.detach().clone() for p in model.parameters()]
    assert fused.prove(model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_every_gradient_is_that_of_small_differences() -> None:
    """In 64 bits, against numerical differences; the functions widen to 32, so 64 is given as is."""
    torch.manual_seed(0)
    x, gate, up = (torch.randn(3, 6, dtype=torch.float64, requires_grad=True) for _ in range(3))
    weight = torch.rand(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *a: fused._Norm.apply(*a, 1e-5), (x, weight))
    assert torch.autograd.gradcheck(fused._Gated.apply, (gate, up))
