"""Noise on embeddings: of the stated size, on no padding, in training only, and the same after a resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from linnet.core.errors import Interrupted
from linnet.training.decoder import Objective
from linnet.training.noise import noisy
from tests.tiny_tuning import losses, tiny_recipe, tune, weights

LENGTHS = [5, 3, 7]
WIDTH = 64


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture
def table() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(9, WIDTH)


def noise_of(table: nn.Embedding, parts: list[list[int]], alpha: float = 5.0, seed: int = 1) -> dict[int, torch.Tensor]:
    """What was added to each row, padding included."""
    torch.manual_seed(seed)
    found = {}
    with noisy(table, alpha, parts, LENGTHS), torch.no_grad():
        for rows in parts:
            ids = torch.ones(len(rows), max(LENGTHS[row] for row in rows), dtype=torch.long)
            added = table(ids) - table.weight[1]
            found |= dict(zip(rows, added, strict=True))
    return found


def test_the_size_is_that_of_the_paper_and_padding_is_quiet(table: nn.Embedding) -> None:
    found = noise_of(table, [[2, 0, 1]])
    for row, length in enumerate(LENGTHS):
        bound = 5.0 / (length * WIDTH) ** 0.5
        assert not found[row][length:].any()
        assert 0.9 * bound < found[row][:length].abs().max() <= bound + 1e-6
        assert found[row][:length].std() == pytest.approx(bound / 3**0.5, rel=0.15)


def test_a_rows_noise_does_not_depend_on_how_the_batch_is_cut(table: nn.Embedding) -> None:
    together, alone = noise_of(table, [[2, 0, 1]]), noise_of(table, [[1], [0, 2]])
    for row, length in enumerate(LENGTHS):
        assert torch.equal(together[row][:length], alone[row][:length])
    assert not torch.equal(together[0][:3], together[1][:3])
    assert not torch.equal(noise_of(table, [[0]], seed=2)[0], alone[0][:5])


def test_it_ends_with_its_block_and_none_draws_nothing(table: nn.Embedding) -> None:
    noise_of(table, [[0]])
    assert torch.equal(table(torch.tensor([1])), table.weight[1:2])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with noisy(table, 0.0, [[0]], LENGTHS):
        assert torch.equal(table(torch.tensor([1])), table.weight[1:2])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_trains_and_resumes_to_the_same_bits(
    base: Path, tmp_path: Path, arm: Callable[[str], None], method: str
) -> None:
    planned = tiny_recipe(method=method, neftune_alpha=5.0, learning_rate=2e-2 if method == "lora" else 3e-3)
    whole = tune(base, tmp_path / "whole", planned)
    plain = tune(base, tmp_path / "plain", planned.model_copy(update={"neftune_alpha": 0.0}))
    assert losses(whole)[-1] < losses(whole)[0]
    assert whole.progress.history[0]["train_loss"] != plain.progress.history[0]["train_loss"]
    arm("train.step:5=term")
    with pytest.raises(Interrupted):
        tune(base, tmp_path / "stopped", planned)
    arm("")
    again = tune(base, tmp_path / "stopped", planned)
    assert again.progress.history == whole.progress.history
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(whole), strict=True))


def test_the_limit_of_memory_changes_no_noise(base: Path, tmp_path: Path) -> None:
    planned = tiny_recipe(neftune_alpha=5.0, epochs=1)
    whole = tune(base, tmp_path / "a", planned)
    alone = tune(base, tmp_path / "b", planned, objective=Objective(part_tokens=1))
    assert losses(whole) == pytest.approx(losses(alone), rel=1e-3)
