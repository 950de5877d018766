"""One loop: steps, averaged weights, a check after each epoch, checkpoints that resume to the same bits.

It knows parameters, batches and a loss function. It does not know what a label or a text is.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linnet.core import settings
from linnet.core.errors import GuardStopped, Interrupted
from linnet.core.events import Event, OnEvent, silent
from linnet.core.failpoints import failpoint
from linnet.training import checkpoints, devices, parallel, sharding
from linnet.training.recipe import Recipe, rate_at


class Group(NamedTuple):
    """Parameters that share a learning rate and a weight decay."""

    parameters: list[Tensor]
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, slots=True)
class Job:
    """What one training is: `loss_of(batch)` for indices of examples, `score()` after each epoch.

    A loss without a graph means that `loss_of` has left the gradients itself, part by part.
    `score` returns {"loss", "metric"} on the validation set; a higher metric wins, then a lower loss.
    `name_of` gives the rows of a batch for a message. `digest` is what a checkpoint may continue.
    """

    groups: list[Group]
    epoch_batches: Callable[[int], list[list[int]]]
    loss_of: Callable[[list[int]], Tensor]
    score: Callable[[], dict[str, float]]
    name_of: Callable[[Sequence[int]], str]
    digest: str


@dataclass(slots=True)
class Progress:
    """Where a training is. All of it is in the checkpoint."""

    step: int = 0
    epoch: int = 0
    best_epoch: int = -1
    best: tuple[float, float] = (-math.inf, -math.inf)
    history: list[dict[str, float]] = field(default_factory=list)
    loss_sum: float = 0.0
    seconds: float = 0.0
    examples: int = 0


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM so that the loop can save and leave; a second one ends the process at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: Any) -> None:
        if caught:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        caught.append(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Trainer:
    """Runs a Job by a Recipe in a folder; call `run` once."""

    def __init__(self, job: Job, recipe: Recipe, folder: Path, on_event: OnEvent = silent) -> None:
        self.job, self.recipe, self.folder, self.on_event = job, recipe, folder, on_event
        self.given = [p for group in job.groups for p in group.parameters]
        parts = [[sharding.own_part(p) for p in group.parameters] for group in job.groups]
        self.parameters = [p for group in parts for p in group]  # those given, or what this process holds of them
        self.is_spread = sharding.is_sharded(self.given)
        self.device = self.parameters[0].device if self.parameters else devices.CPU
        self.optimizer = torch.optim.AdamW(
            [
                {"params": group, "lr": planned.learning_rate, "weight_decay": planned.weight_decay}
                for group, planned in zip(parts, job.groups, strict=True)
            ],
            fused=True,
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.best = [p.detach().clone() for p in self.parameters]
        self.at = Progress()
        self.steps = recipe.epochs * len(job.epoch_batches(0))
        share = recipe.average_share
        self.longest_average = min(recipe.ema, max(0.0, 1 - 1 / (share * self.steps))) if share else recipe.ema
        self.resumed_at = 0  # the step that was gone on from

    def run(self) -> Progress:
        """Train to the end, or on from the newest checkpoint; leaves the best averaged weights in place.

        Raises GuardStopped at the first loss or gradient that is no number, and Interrupted after a signal,
        with a checkpoint written.
        """
        self._resume()
        with _signals() as caught, devices.products(self.recipe.products):
            self._epochs(caught)
        self._put(self.best)
        return self.at

    def _epochs(self, caught: list[int]) -> None:
        saved, every = time.monotonic(), settings.get_number("LINNET_CHECKPOINT_S")
        per_epoch = self.steps // self.recipe.epochs
        while self.at.epoch < self.recipe.epochs:
            batches = self.job.epoch_batches(self.at.epoch)
            for batch in batches[self.at.step - self.at.epoch * per_epoch :]:
                started = time.monotonic()
                with devices.faults(self.at.step + 1):
                    self.step(batch)
                self.at.seconds += time.monotonic() - started
                # A signal reaches some processes or all; when it is time to save, the one that writes says.
                is_due = not parallel.rank() and time.monotonic() - saved >= every
                stop, due = parallel.summed([sum(caught[:1]), is_due])
                if stop or due:
                    self.save()
                    saved = time.monotonic()
                if stop:
                    number = caught[0] if caught else int(signal.SIGTERM)
                    raise Interrupted(
                        f"Stopped by signal {number} at step {self.at.step} of {self.steps}; the state is saved.",
                        number,
                        "Run the same command again to go on from here.",
                    )
            if self._end_epoch(len(batches)):
                return

    def step(self, batch: list[int]) -> None:
        """One step on these examples. Raises GuardStopped at a loss or gradient that is no number."""
        share = rate_at(self.at.step, self.steps, self.recipe.warmup_share)
        for group, planned in zip(self.optimizer.param_groups, self.job.groups, strict=True):
            group["lr"] = planned.learning_rate * share
        loss = self.job.loss_of(batch)
        if loss.requires_grad:
            loss.backward()
        if self.is_spread:
            sharding.take_gradients(self.given, self.parameters)
        parallel.sum_gradients([p for p in self.given if not sharding.is_spread(p)])
        norm = sharding.clip(self.given, self.parameters, self.recipe.clip)
        value = parallel.summed([float(loss.detach())])[0]
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise GuardStopped(
                f"Step {self.at.step + 1}: the loss is {value} and the gradient norm {norm}; "
                f"the examples are rows {self.job.name_of(batch)}.",
                "Nothing after the last good state was kept. Look at these rows, or lower the learning rate.",
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.at.step += 1
        self.at.examples += len(batch)
        self.at.loss_sum += value
        decay = min(self.longest_average, (1 + self.at.step) / (10 + self.at.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)
        told = {"loss": value, "gradient_norm": norm, "rate_share": share}
        self.on_event(Event("progress", "tune", self.recipe.shown_method, self.at.step, self.steps, told))
        failpoint("train.step")

    def _end_epoch(self, batches: int) -> bool:
        """Score the averaged weights; True when training should stop early."""
        raw = [p.detach().clone() for p in self.parameters]
        self._put(self.average)
        scored = self.job.score()
        self._put(raw)
        entry = {"epoch": self.at.epoch + 1, "train_loss": self.at.loss_sum / batches}
        entry |= {f"validation_{name}": value for name, value in scored.items()}
        self.at.history.append(entry)
        rank = (scored["metric"], -scored["loss"])
        if rank > self.at.best:
            self.at.best, self.at.best_epoch = rank, self.at.epoch
            for kept, new in zip(self.best, self.average, strict=True):
                kept.copy_(new)
        self.at.loss_sum = 0.0
        self.at.epoch += 1
        text = (
            f"{self.recipe.shown_method}: epoch {self.at.epoch}/{self.recipe.epochs}, loss {entry['train_loss']:.3f}, "
        )
        text += f"validation loss {scored['loss']:.3f}"
        text += "" if scored["metric"] == -scored["loss"] else f", metric {scored['metric']:.4f}"
        self.on_event(Event("note", "tune", text, data={**entry, "step": self.at.step}))
        return self.at.epoch - 1 - self.at.best_epoch >= self.recipe.patience

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)

    def save(self) -> None:
        """Write a checkpoint of everything that the rest of the training depends on; of several processes, one does."""
        if parallel.rank() and not self.is_spread:
            return
        tensors: dict[str, Tensor] = {}
        for i, (given, parameter) in enumerate(zip(self.given, self.parameters, strict=True)):
            kept = {f"p.{i}": parameter, f"a.{i}": self.average[i], f"b.{i}": self.best[i]}
            kept |= {f"o.{name}.{i}": value for name, value in self.optimizer.state[parameter].items()}
            for name, part in kept.items():
                found = sharding.whole(given, part)
                if not parallel.rank():
                    tensors[name] = found
        if parallel.rank():
            return
        tensors |= devices.random_state(self.device)
        state = {name: getattr(self.at, name) for name in Progress.__dataclass_fields__}
        state["best"] = [value if math.isfinite(value) else None for value in self.at.best]
        checkpoints.save(self.folder, self.job.digest, tensors, state, step=self.at.step)

    def _resume(self) -> None:
        self.load(checkpoints.latest(self.folder, self.job.digest, self.on_event))

    @torch.no_grad()
    def load(self, found: checkpoints.Checkpoint | None) -> None:
        """Go on from a checkpoint; from the beginning without one."""
        if found is None:
            return
        devices.set_random_state(self.device, found.tensors)
        for i, (given, parameter) in enumerate(zip(self.given, self.parameters, strict=True)):
            for kept, name in ((parameter, "p"), (self.average[i], "a"), (self.best[i], "b")):
                kept.copy_(sharding.part_of(given, found.tensors[f"{name}.{i}"]))
            mine = {
                name.split(".")[1]: sharding.part_of(given, tensor).to(self.device)
                for name, tensor in found.tensors.items()
                if name.startswith("o.") and name.endswith(f".{i}")
            }
            self.optimizer.state[parameter] = mine
        best = tuple(-math.inf if value is None else value for value in found.state["best"])
        self.at = Progress(**{**found.state, "best": best})
        self.resumed_at = self.at.step
        text = f"{self.recipe.shown_method}: going on from step {self.at.step} of {self.steps}"
        told = {"resumed_step": self.at.step, "resumed_epoch": self.at.epoch}
        self.on_event(Event("note", "tune", text, data=told))
