"""Checkpoints: whole or passed over, never somebody else's, and never code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linnet.core.errors import DiskFull, Interrupted, StoreError
from linnet.core.events import Event
from linnet.training import checkpoints
from linnet.training.checkpoints import MANIFEST, TENSORS
from linnet.training.loop import Group, Job, Trainer
from linnet.training.recipe import Recipe

STATE = {"step": 1, "best": [0.5, None], "history": [{"loss": 1.0}]}


def tensors(value: float = 1.0) -> dict[str, Tensor]:
    return {"p.0": torch.full((4, 3), value), "o.step.0": torch.tensor(value), "half": torch.ones(2, dtype=torch.half)}


def save(folder: Path, step: int, recipe: str = "mine") -> None:
    checkpoints.save(folder, recipe, tensors(float(step)), {**STATE, "step": step}, step=step)


def save_two(folder: Path) -> None:
    """Two whole checkpoints side by side: what a kill before the removal of the older one leaves."""
    save(folder, 1)
    shutil.copytree(folder / "checkpoint-1", folder.with_name("kept"))
    save(folder, 20)
    shutil.copytree(folder.with_name("kept"), folder / "checkpoint-1")


def test_round_trip(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "none", "mine") is None
    torch.manual_seed(5)
    save(tmp_path, 1)
    after = torch.rand(3)
    found = checkpoints.latest(tmp_path, "mine")
    assert found is not None
    assert torch.equal(torch.rand(3), after)
    assert found.state == STATE
    assert found.tensors.keys() == tensors().keys()
    assert all(
        torch.equal(found.tensors[name], t) and found.tensors[name].dtype == t.dtype for name, t in tensors().items()
    )


def test_tied_tensors_are_kept_each(tmp_path: Path) -> None:
    one = torch.arange(6.0).reshape(2, 3)
    checkpoints.save(tmp_path, "mine", {"a": one, "b": one, "c": one.T}, {}, step=1)
    found = checkpoints.latest(tmp_path, "mine")
    assert found is not None
    assert torch.equal(found.tensors["a"], found.tensors["b"])
    assert torch.equal(found.tensors["c"], one.T)


def test_only_the_newest_stays(tmp_path: Path) -> None:
    for step in (2, 9, 10):
        save(tmp_path, step)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-10"]
    checkpoints.clear(tmp_path)
    checkpoints.clear(tmp_path)
    assert checkpoints.latest(tmp_path, "mine") is None


def test_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    save_two(folder)
    (folder / "checkpoint-²").mkdir()
    (folder / "checkpoint-last").mkdir()
    found = checkpoints.latest(folder, "mine")
    assert found is not None
    assert found.state["step"] == 20


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_object(path: Path) -> None:
    path.write_text("{}")


DAMAGE = [(TENSORS, flip), (TENSORS, halve), (TENSORS, Path.unlink), (MANIFEST, halve), (MANIFEST, Path.unlink)]


@pytest.mark.parametrize(("file", "damage"), [*DAMAGE, (MANIFEST, empty_object)])
def test_a_damaged_one_is_passed_over_and_said(tmp_path: Path, file: str, damage: Callable[[Path], object]) -> None:
    folder, events = tmp_path / "checkpoints", list[Event]()
    save_two(folder)
    damage(folder / "checkpoint-20" / file)
    found = checkpoints.latest(folder, "mine", events.append)
    assert found is not None
    assert found.state["step"] == 1
    assert [event.kind for event in events] == ["warning"]
    assert f"checkpoint-20/{file}" in events[0].message
    assert "An older state is used instead." in events[0].message


def test_a_payload_that_is_no_safetensors_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder, events = tmp_path / "checkpoint-1", list[Event]()
    (folder / TENSORS).write_bytes(b"\xff" * 8 + b"{}")  # a header of 2^64-1 bytes
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"] = checkpoints.sha256_file(folder / TENSORS)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert checkpoints.latest(tmp_path, "mine", events.append) is None
    assert "cannot be read" in events[0].message


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1, recipe="other")
    with pytest.raises(StoreError, match=r"checkpoint-1 belongs to another training .*\nRemove the folder"):
        checkpoints.latest(tmp_path, "mine")


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "model.pkl"]
)
def test_abuse_33_pickles_are_refused_by_name(tmp_path: Path, name: str, whole: bool) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / "checkpoints"
    save(folder, 1)
    if not whole:
        shutil.rmtree(folder / "checkpoint-1")
        (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / name).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(StoreError, match=f"checkpoint-1 holds {name}, .*\nNothing in it was opened"):
        checkpoints.latest(folder, "mine")
    assert not canary.exists()
    pickle.loads((folder / "checkpoint-1" / name).read_bytes())
    assert canary.exists()


def test_abuse_33_a_pickle_under_our_name_is_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / "checkpoints"
    save(folder, 1)
    payload = folder / "checkpoint-1" / TENSORS
    payload.write_bytes(pickle.dumps(Canary(canary)))
    manifest = json.loads(payload.with_name(MANIFEST).read_text())
    manifest["sha256"] = checkpoints.sha256_file(payload)
    payload.with_name(MANIFEST).write_text(json.dumps(manifest))
    assert checkpoints.latest(folder, "mine") is None
    assert not canary.exists()


def test_links_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    payload = tmp_path / "checkpoint-1" / TENSORS
    payload.rename(tmp_path / "elsewhere")
    payload.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=f"holds {TENSORS}"):
        checkpoints.latest(tmp_path, "mine")


POINTS = ["checkpoint.payload", "checkpoint.manifest", "checkpoint.publish", "files.fsync", "files.rename"]


@pytest.mark.parametrize("point", [*POINTS, "files.dirsync", "files.dirsync:2"])
def test_the_older_one_still_loads_after_a_failure(tmp_path: Path, point: str, arm: Callable[[str], None]) -> None:
    save(tmp_path, 1)
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull, match="run the same command again"):
        save(tmp_path, 2)
    found = checkpoints.latest(tmp_path, "mine")
    assert found is not None
    assert found.state["step"] == 1
    save(tmp_path, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-3"]


FULL = """
import resource, sys
from pathlib import Path
import torch
from linnet.core.errors import LinnetError
from linnet.training import checkpoints
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoints.save(Path(sys.argv[1]), "mine", {"a": torch.zeros(100_000)}, {}, step=2)
except LinnetError as error:
    print(type(error).__name__, error.exit_code, error.message)
"""


def test_a_payload_that_the_system_refuses_is_an_error_of_the_tree(tmp_path: Path) -> None:
    save(tmp_path, 1)
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("StoreError 1 "), done.stderr
    assert "checkpoint-2" in done.stdout
    found = checkpoints.latest(tmp_path, "mine")
    assert found is not None
    assert found.state["step"] == 1


def trainer(folder: Path) -> Trainer:
    """Eight steps of a linear model on four points, two at a time, with dropout to draw random numbers."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    x, y = torch.arange(12.0).reshape(4, 3) / 12, torch.arange(4.0)[:, None]

    def loss_of(batch: list[int]) -> Tensor:
        return (model(nn.functional.dropout(x[batch], 0.5)) - y[batch]).square().mean()

    def score() -> dict[str, float]:
        loss = float((model(x) - y).square().mean().detach())
        return {"loss": loss, "metric": -loss}

    parameters = list(model.parameters())
    job = Job([Group(parameters, 0.1, 0.0)], lambda _: [[0, 1], [2, 3]], loss_of, score, str, "digest")
    return Trainer(job, Recipe(method="full", epochs=4, ema=0.5), folder)


TRAIN = """
import sys
from pathlib import Path
from tests.training.test_checkpoints import trainer
trainer(Path(sys.argv[1])).run()
"""


def result(folder: Path) -> tuple[list[Tensor], Any]:
    found = trainer(folder)
    at = found.run()
    return [p.detach().clone() for p in found.parameters], (at.step, at.best, at.history)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    weights, facts = result(tmp_path / "whole")
    environment = {**os.environ, "LINNET_CHECKPOINT_S": "0", "LINNET_FAILPOINTS": "train.step:6=kill"}
    command = [sys.executable, "-c", TRAIN, str(tmp_path / "killed")]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "killed" / "checkpoint-5").is_dir()
    again, same = result(tmp_path / "killed")
    assert all(torch.equal(a, b) for a, b in zip(again, weights, strict=True))
    assert same == facts


def test_sigterm_saves_and_goes_on_to_the_same_bits(tmp_path: Path, arm: Callable[[str], None]) -> None:
    weights, facts = result(tmp_path / "whole")
    arm("train.step:3=term")
    with pytest.raises(Interrupted, match="step 3 of 8; the state is saved") as caught:
        result(tmp_path / "stopped")
    assert caught.value.exit_code == 143
    arm("")
    again, same = result(tmp_path / "stopped")
    assert all(torch.equal(a, b) for a, b in zip(again, weights, strict=True))
    assert same == facts
