"""One dial, and a reason for each number; what means nothing is refused by its flag."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.training.tune_plan import Chosen, plan_recipe

MILLION = 10**6


def test_small_models_are_tuned_whole_and_large_ones_by_an_adapter() -> None:
    small, why = plan_recipe(Chosen(), 60, 6 * MILLION, 1024)
    assert small.method == "full"
    assert any(line.startswith("method full: 6.0 million weights") for line in why)
    assert not any("lora" in line for line in why)
    large, why = plan_recipe(Chosen(), 60, 500 * MILLION, 32768)
    assert (large.method, large.max_tokens) == ("lora", 2048)
    assert any("lora rank 16" in line for line in why)
    assert large.learning_rate < small.learning_rate


def test_what_is_chosen_is_kept_and_said() -> None:
    chosen = Chosen(lora_rank=4, lora_alpha=8, epochs=2, batch_size=3, learning_rate=0.01, max_tokens=100, seed=5)
    recipe, why = plan_recipe(chosen, 60, 6 * MILLION, 1024)
    assert recipe.method == "lora"
    assert (recipe.lora_rank, recipe.lora_alpha, recipe.epochs, recipe.batch_size) == (4, 8, 2, 3)
    assert (recipe.learning_rate, recipe.max_tokens, recipe.seed) == (0.01, 100, 5)
    assert sum(line.endswith("as chosen") for line in why) == 6


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"method": "lorra"}, "No method is called 'lorra'"),
        ({"method": "full", "lora_rank": 4}, "--rank and --alpha are of adapters"),
        ({"lora_rank": -1}, "--rank -1"),
        ({"epochs": 5000}, "--epochs 5000"),
        ({"batch_size": -3}, "--batch -3"),
        ({"learning_rate": 3.0}, "--rate 3"),
        ({"learning_rate": float("nan")}, "--rate nan"),
        ({"max_tokens": 4096}, "--max-length 4096 is outside of 8 to 1024"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_what_means_nothing_is_refused(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_recipe(Chosen(**chosen), 60, 6 * MILLION, 1024)


@pytest.mark.parametrize(
    ("flags", "kind", "computed"),
    [
        (["avx2", "fma"], "nf4", "float32"),
        (["avx2", "avx512_bf16"], "nf4", "bfloat16"),
        (["asimd", "bf16"], "nf4", "bfloat16"),
        (["avx2"], "int8", "bfloat16"),
    ],
)
def test_four_bits_are_unpacked_to_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], kind: str, computed: str
) -> None:
    monkeypatch.setattr("linnet.engines.planning.hardware.processor", lambda: ("a processor", flags))
    recipe, why = plan_recipe(Chosen(quantization=kind), 60, 500 * MILLION, 1024)
    assert recipe.compute_dtype == computed
    assert any(line.startswith(f"compute dtype {computed}") for line in why) == (kind == "nf4")


@pytest.mark.parametrize(
    ("flags", "wanted", "products"),
    [
        (["avx2", "amx_bf16"], "auto", "bfloat16"),
        (["avx2", "avx512_bf16"], "auto", "float32"),
        (["avx2", "amx_bf16"], "float32", "float32"),
        (["avx2"], "bfloat16", "bfloat16"),
    ],
)
def test_products_are_rounded_where_that_is_fast_and_the_plan_says_so(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], wanted: str, products: str
) -> None:
    monkeypatch.setattr("linnet.engines.planning.hardware.processor", lambda: ("a processor", flags))
    monkeypatch.setenv("LINNET_PRODUCTS", wanted)
    recipe, why = plan_recipe(Chosen(), 60, 5 * MILLION, 1024)
    assert recipe.products == products
    assert any(line.startswith("products bfloat16") for line in why) == (products == "bfloat16")


def test_products_of_another_kind_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_PRODUCTS", "fp8")
    with pytest.raises(InputError, match="Known: auto, float32, bfloat16"):
        plan_recipe(Chosen(), 60, 5 * MILLION, 1024)
