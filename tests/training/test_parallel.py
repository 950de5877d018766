"""Two processes train as one: the same curve at the same global batch, and one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_decoder import chats, tiny_decoder

nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: starts six processes")
EPOCHS = "3"


def tune(folder: Path, processes: int, method: str, *more: str) -> dict[str, list[float]]:
    """The curve of a training by so many processes: losses of the steps and of the held-out rows."""
    home = folder / f"home-{processes}"
    environment = {**os.environ, "LINNET_HOME": str(home), "LINNET_THREADS": "1", "OMP_NUM_THREADS": "1"}
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
