"""The sizes that a forecast counts with are those of real models, and it moves as they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.formats.model_check import check_model
from linnet.training import decoder_folder, forecast, lora
from linnet.training.forecast import Shape
from linnet.training.recipe import Recipe, decoder_recipe

LARGE = Shape(494_000_000, layers=24, width=896, inner=4864, cache_width=128, vocabulary=151_936)


def recipe(method: str = "lora", **changed: object) -> Recipe:
    return decoder_recipe(method, 1000, LARGE.parameters).model_copy(update=changed)


def test_the_numbers_of_a_shape_are_those_of_the_model(base: Path) -> None:
    shape = forecast.shape_of(check_model(base).to_json())
    model = decoder_folder.load(base)
    layers = [module for name, module in model.named_modules() if name.endswith("_proj")]
    assert shape.linear == sum(module.weight.numel() for module in layers)
    assert shape.parameters == model.num_parameters()
    lora.add(model, Recipe(method="lora", epochs=1, lora_rank=4, lora_alpha=4))
    assert shape.adapter(4) == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_what_saves_memory_is_forecast_to_save_it() -> None:
    plain = forecast.memory_bytes(LARGE, recipe(), 200)
    for change in (
        {"quantization": "nf4"}, {"quantization": "int8"}, {"gradient_checkpointing": True}, {"part_tokens": 256},
    ):  # fmt: skip
        assert forecast.memory_bytes(LARGE, recipe(**change), 200) < plain, change
    assert forecast.memory_bytes(LARGE, recipe(part_tokens=256), 4096) == forecast.memory_bytes(LARGE, recipe(), 4096)
    assert forecast.memory_bytes(LARGE, recipe("full"), 200) > 24 * LARGE.parameters


def test_the_settings_that_fit_are_listed_from_the_least_change() -> None:
    most = forecast.memory_bytes(LARGE, recipe("full"), 200)
    assert forecast.what_fits(LARGE, recipe("full"), 200, most)[0] == "--part-tokens 256"
    adapted = forecast.memory_bytes(LARGE, recipe(), 200)
    assert forecast.what_fits(LARGE, recipe("full"), 200, adapted)[0] == "--method lora"
    least = forecast.memory_bytes(LARGE, recipe(quantization="nf4", gradient_checkpointing=True), 200)
    assert forecast.what_fits(LARGE, recipe(), 200, least) == ["--quantize nf4 --checkpointing"]
    assert forecast.what_fits(LARGE, recipe(), 200, least, factor=2.0) == []


def test_time_goes_with_tokens_epochs_and_what_is_computed() -> None:
    work = forecast.work_of([100] * 90, [100] * 10)
    once = forecast.seconds(LARGE, recipe(epochs=1), work, 1e11)
    assert forecast.seconds(LARGE, recipe(epochs=3), work, 1e11) == pytest.approx(3 * once)
    assert forecast.seconds(LARGE, recipe(epochs=1), work, 2e11) == pytest.approx(once / 2)
    assert forecast.seconds(LARGE, recipe("full", epochs=1), work, 1e11) > once
    assert forecast.seconds(LARGE, recipe(epochs=1, quantization="nf4"), work, 1e11) > once
    assert forecast.matrix_speed() > 0
