"""The loop on a linear model: it learns, stops when it should, and goes on to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from linnet.core.errors import GuardStopped, Interrupted
from linnet.core.events import Event
from linnet.training.loop import Group, Job, Progress, Trainer
from linnet.training.recipe import Recipe

X = torch.arange(24.0).reshape(8, 3) / 24
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
BATCHES = [[0, 1], [2, 3], [4, 5], [6, 7]]


class Linear:
    """A linear regression with something random in every step; `metrics` replaces what `score` would say."""

    def __init__(self, metrics: list[float] | None = None, poison: int | None = None) -> None:
        torch.manual_seed(0)
        self.model, self.poison = nn.Linear(3, 1), poison
        self.metrics: Iterator[float] | None = iter(metrics) if metrics else None
        self.scored: list[list[Tensor]] = []
        self.parameters = list(self.model.parameters())

    def loss_of(self, batch: list[int]) -> Tensor:
        target = Y[batch] + 0.01 * torch.randn(len(batch), 1)
        loss: Tensor = (self.model(X[batch]) - target).square().mean()
        return loss * float("nan") if self.poison in batch else loss

    @torch.no_grad()
    def score(self) -> dict[str, float]:
        self.scored.append(self.weights())
        loss = float((self.model(X) - Y).square().mean())
        return {"loss": loss, "metric": next(self.metrics) if self.metrics else -loss}

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def job(self) -> Job:
        groups = [Group(self.parameters[:1], 0.05, 0.01), Group(self.parameters[1:], 0.1, 0.0)]
        rows: Callable[..., str] = lambda batch: ", ".join(str(10 + i) for i in batch)  # noqa: E731
        return Job(
            groups, lambda epoch: BATCHES[epoch % 2 :] + BATCHES[: epoch % 2], self.loss_of, self.score, rows, "d"
        )


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def facts(at: Progress) -> tuple[object, ...]:
    """Everything but the seconds."""
    return at.step, at.epoch, at.best_epoch, at.best, at.history, at.examples


def train(
    folder: Path, linear: Linear, heard: list[Event] | None = None, *, epochs: int = 5, patience: int = 9
) -> Progress:
    recipe = Recipe(method="full", epochs=epochs, ema=0.5, patience=patience)
    events: list[Event] = [] if heard is None else heard
    return Trainer(linear.job(), recipe, folder, events.append).run()


def test_the_loss_falls(tmp_path: Path) -> None:
    linear = Linear()
    at = train(tmp_path, linear, epochs=20)
    assert (at.step, at.epoch, at.examples) == (80, 20, 160)
    assert at.history[-1]["train_loss"] < at.history[0]["train_loss"] / 5
    assert [entry["epoch"] for entry in at.history] == list(range(1, 21))


def test_the_best_averaged_weights_are_left_in_place(tmp_path: Path) -> None:
    linear = Linear(metrics=[0.2, 0.9, 0.5, 0.9, 0.1])
    history = train(tmp_path, linear).history
    tied = [history[1]["validation_loss"], history[3]["validation_loss"]]
    best = 1 if tied[0] <= tied[1] else 3  # an equal metric is decided by the lower loss
    assert same(linear.weights(), linear.scored[best])
    assert not same(linear.scored[1], linear.scored[2])


def test_patience_ends_it_early(tmp_path: Path) -> None:
    linear = Linear(metrics=[0.5, 0.4, 0.3, 0.9, 0.9])
    at = train(tmp_path, linear, patience=2)
    assert (at.epoch, at.step, at.best_epoch) == (3, 12, 0)
    assert [entry["validation_metric"] for entry in at.history] == [0.5, 0.4, 0.3]
    assert same(linear.weights(), linear.scored[0])


@pytest.mark.parametrize("steps", [(1,), (6,), (8,), (20,), (3, 2, 9)])
def test_interrupted_anywhere_it_goes_on_to_the_same_bits(
    tmp_path: Path, arm: Callable[[str], None], steps: tuple[int, ...]
) -> None:
    whole = Linear()
    expected = facts(train(tmp_path / "whole", whole))
    for step in steps:
        arm(f"train.step:{step}=term")
        with pytest.raises(Interrupted, match=r"the state is saved.\nRun the same command again") as stopped:
            train(tmp_path / "stopped", Linear())
        assert stopped.value.exit_code == 143
    arm("")
    linear, heard = Linear(), list[Event]()
    found = train(tmp_path / "stopped", linear, heard)
    assert facts(found) == expected
    assert same(linear.weights(), whole.weights())
    assert f"going on from step {sum(steps)} of 20" in heard[0].message


def test_without_a_checkpoint_the_same_bits_too(tmp_path: Path) -> None:
    first = Linear()
    expected = facts(train(tmp_path / "a", first))
    second = Linear()
    assert facts(train(tmp_path / "b", second)) == expected
    assert same(first.weights(), second.weights())


@pytest.mark.parametrize("patience", [9, 2])
def test_a_finished_training_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    monkeypatch.setenv("LINNET_CHECKPOINT_S", "0")
    metrics = [0.5, 0.4, 0.3, 0.2, 0.1]
    first = Linear(metrics)
    expected = facts(train(tmp_path, first, patience=patience))
    ended = expected[1]
    assert ended == (3 if patience == 2 else 5)
    again, heard = Linear(metrics[int(str(ended)) - 1 :]), list[Event]()
    assert facts(train(tmp_path, again, heard, patience=patience)) == expected
    assert same(again.weights(), first.weights())
    assert [e for e in heard if e.kind == "progress"] == []


def test_a_loss_that_is_no_number_stops_with_step_and_rows(tmp_path: Path) -> None:
    linear = Linear(poison=5)
    with pytest.raises(GuardStopped, match=r"Step 3: the loss is nan .* rows 14, 15\.") as stopped:
        train(tmp_path, linear)
    assert stopped.value.exit_code == 3
    assert all(torch.isfinite(p).all() for p in linear.weights())


def test_a_poisoned_state_is_never_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_CHECKPOINT_S", "0")
    with pytest.raises(GuardStopped):
        train(tmp_path, Linear(poison=5))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-2"]
    whole = Linear()
    expected = facts(train(tmp_path / "whole", whole))
    linear = Linear()
    assert facts(train(tmp_path, linear)) == expected
    assert same(linear.weights(), whole.weights())
