"""Two processes train as one: the same curve at the same global batch, and one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from linnet.core.errors import InputError
from linnet.core.store import Store
from linnet.pipeline.tune import TuneOptions, prepare_tuning
from tests.tiny_decoder import chats, tiny_decoder

nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: starts six processes")
EPOCHS = "3"


def tune(folder: Path, processes: int, method: str, *more: str, failpoints: str = "") -> dict[str, list[float]]:
    """The curve of a training by so many processes: losses of the steps and of the held-out rows."""
    home = folder / f"home-{processes}"
    environment = {**os.environ, "LINNET_HOME": str(home), "LINNET_THREADS": "1", "OMP_NUM_THREADS": "1",
                   "LINNET_FAILPOINTS": failpoints}  # fmt: skip
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [
        sys.executable, *launch, "-m", "linnet", "tune", "--model", str(folder / "tiny"), "--data",
        str(folder / "rows.jsonl"), "--method", method, "--epochs", EPOCHS, "--batch", "8", "--rate", "0.003",
        "--quiet", *more,
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("validation loss") == 1
    log = [json.loads(line) for line in next(home.glob("runs/tune-*/log.jsonl")).read_text().splitlines()]
    found = json.loads(next(home.glob("runs/tune-*/record.json")).read_text())["result"]
    assert found["processes"] == processes
    return {key: [entry[key] for entry in log if key in entry] for key in ("loss", "validation_loss")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parallel")
    tiny_decoder(folder / "tiny")
    rows = [{"prompt": c.turns[0].content, "completion": c.turns[1].content} for c in chats(24)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@nightly
@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_processes_learn_what_one_does(folder: Path, tmp_path: Path, method: str) -> None:
    (tmp_path / "tiny").symlink_to(folder / "tiny")
    (tmp_path / "rows.jsonl").symlink_to(folder / "rows.jsonl")
    one, two = (tune(tmp_path, processes, method) for processes in (1, 2))
    assert len(one["loss"]) == len(two["loss"]) == 9
    for key in one:
        assert two[key] == pytest.approx(one[key], rel=1e-4)


@nightly
@pytest.mark.parametrize(
    ("method", "more"), [("full", ()), ("lora", ()), ("lora", ("--checkpointing", "--neftune", "5"))]
)
def test_processes_that_hold_parts_of_the_weights_learn_the_same(
    folder: Path, tmp_path: Path, method: str, more: tuple[str, ...]
) -> None:
    """Small parts, so that one process has more of them than the other; frozen weights are in 16 bits."""
    tiny_decoder(tmp_path / "tiny", dtype="bfloat16")
    (tmp_path / "rows.jsonl").symlink_to(folder / "rows.jsonl")
    one = tune(tmp_path, 1, method, "--part-tokens", "64", *more)
    two = tune(tmp_path, 2, method, "--part-tokens", "64", "--shard", *more)
    for key in one:
        assert two[key] == pytest.approx(one[key], rel=2e-4)
    alone, spread = (weights_of(tmp_path / f"home-{processes}") for processes in (1, 2))
    assert alone.keys() == spread.keys()
    for name, weight in alone.items():
        assert weight.shape == spread[name].shape
        assert float((weight - spread[name]).abs().max()) < 0.01 * float(weight.abs().max()) + 1e-4, name


def weights_of(home: Path) -> dict[str, Tensor]:
    found = next(path for path in home.glob("runs/tune-*/*/*.safetensors") if ".checkpoints" not in path.parts)
    return {name: tensor.float() for name, tensor in load_file(found).items()}


@nightly
def test_a_stopped_training_with_parts_of_the_weights_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    for name in ("tiny", "rows.jsonl"):
        (tmp_path / name).symlink_to(folder / name)
        (tmp_path / "whole").mkdir(exist_ok=True)
        (tmp_path / "whole" / name).symlink_to(folder / name)
    whole = tune(tmp_path / "whole", 2, "lora", "--shard")
    with pytest.raises(AssertionError, match="state is saved"):
        tune(tmp_path, 2, "lora", "--shard", failpoints="train.step:4=term")
    again = tune(tmp_path, 2, "lora", "--shard")
    assert again["validation_loss"] == whole["validation_loss"]
    one, other = weights_of(tmp_path / "home-2"), weights_of(tmp_path / "whole" / "home-2")
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_alone_nothing_can_be_spread(folder: Path, tmp_path: Path) -> None:
    options = TuneOptions(method="lora", shard=True)
    with pytest.raises(InputError, match="there is one"):
        prepare_tuning(str(folder / "tiny"), folder / "rows.jsonl", options, store=Store(tmp_path / "store"))


def test_a_share_is_dealt_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.training import parallel

    lengths = [5, 9, 1, 7, 3]
    assert parallel.share([4, 1, 0], lengths) == [4, 1, 0]
    monkeypatch.setattr(parallel, "size", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        shares.append(parallel.share(range(5), lengths))
    assert shares == [[1, 0, 2], [3, 4]]


def test_alone_everything_is_the_plain_thing() -> None:
    import torch

    from linnet.training import parallel

    parallel.join()
    assert (parallel.size(), parallel.rank(), parallel.told("x")) == (1, 0, "x")
    weight = torch.nn.Parameter(torch.ones(2))
    parallel.sum_gradients([weight])
    assert weight.grad is None
    assert parallel.summed([1.5, 2]) == [1.5, 2]
    parallel.leave()
