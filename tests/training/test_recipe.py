"""The recipe: one dial, a schedule by hand, and a digest that sees every field."""

from __future__ import annotations

import pytest

from linnet.training.recipe import Recipe, decoder_recipe, default_recipe, rate_at


@pytest.mark.parametrize(
    ("examples", "epochs"), [(0, 16), (1, 16), (100, 16), (300, 10), (1000, 3), (3000, 3), (10**6, 3)]
)
def test_few_examples_are_seen_more_often(examples: int, epochs: int) -> None:
    assert default_recipe("full", examples, seed=0, max_tokens=64).epochs == epochs


def test_the_method_sets_the_rate() -> None:
    full, lora = (default_recipe(method, 500, seed=3, max_tokens=64) for method in ("full", "lora"))
    assert lora.learning_rate > full.learning_rate
    assert (full.seed, full.max_tokens, full.method) == (3, 64, "full")
    assert full.reasons(500) == "6 epochs of 500 examples, 32 at a time, rate 0.00015"


def test_the_digest_sees_every_field_and_input() -> None:
    recipe = default_recipe("full", 500, seed=0, max_tokens=64)
    digests = {recipe.digest("data"), recipe.digest("other"), recipe.digest("data", "more"), recipe.digest()}
    for name in Recipe.model_fields:
        value = getattr(recipe, name)
        other = not value if isinstance(value, bool) else value + "x" if isinstance(value, str) else value + 1
        digests.add(recipe.model_copy(update={name: other}).digest("data"))
    assert len(digests) == 4 + len(Recipe.model_fields)
    assert Recipe.model_validate(recipe.to_json()).digest("data") == recipe.digest("data")


def test_the_schedule_by_hand() -> None:
    found = [rate_at(step, 10, 0.2) for step in range(11)]
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0])


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_every_step_moves_and_none_too_far(steps: int, warmup: float) -> None:
    assert all(0 < rate_at(step, steps, warmup) <= 1 for step in range(steps))
    assert rate_at(steps + 5, steps, warmup) == 0 or warmup == 1.0


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        default_recipe("full", 500, seed=0, max_tokens=64).epochs = 4


def test_larger_decoders_learn_more_slowly() -> None:
    rates = [decoder_recipe("full", 500, size).learning_rate for size in (10**5, 6 * 10**6, 5 * 10**8, 7 * 10**9)]
    assert rates == pytest.approx([2e-3, 2e-3, 7.24e-5, 1e-5], rel=0.01)
    assert decoder_recipe("lora", 500, 7 * 10**9).learning_rate == 2e-4
    assert [decoder_recipe("full", rows, 1).epochs for rows in (100, 1500, 3000, 50_000)] == [12, 8, 4, 3]
