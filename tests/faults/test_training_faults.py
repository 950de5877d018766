"""Fault rows of fine-tuning: killed, asked to stop, out of disk, no longer a number.

The lives are real processes that end by real signals; see tests/faults/lives.py.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import GuardStopped
from linnet.core.store import Store
from linnet.pipeline.build import build
from tests.tiny_encoder import tiny_encoder, tiny_task

KILLS = int(os.environ.get("LINNET_KILLS", "20"))
SEED = int(os.environ.get("LINNET_SEED", "7"))
KILL_PLACES = ("train.step", "checkpoint.payload", "checkpoint.manifest", "checkpoint.publish", "files.rename")
FULL_PLACES = ("checkpoint.payload", "checkpoint.publish", "files.write", "files.fsync", "record.write")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> dict[str, Any]:
    """Every scenario of this file, run in one process that forks."""
    place = tmp_path_factory.mktemp("lives")
    large = tiny_task(place / "large", encoder, rows=max(300, 30 * KILLS))
    small = tiny_task(place / "small", encoder, rows=90)
    seeded = random.Random(SEED)
    kills = [f"{seeded.choice(KILL_PLACES)}:{seeded.randint(1, 4)}=kill" for _ in range(KILLS)]
    scenarios = [
        {"name": "whole", "task": str(large), "home": str(place / "whole"), "failpoints": [""]},
        {"name": "killed", "task": str(large), "home": str(place / "killed"), "failpoints": [*kills, ""]},
        {"name": "term", "task": str(large), "home": str(place / "term"), "failpoints": ["train.step:5=term", ""]},
        *(
            {"name": name, "task": str(small), "home": str(place / name), "failpoints": [f"{name}:2=enospc", ""]}
            for name in FULL_PLACES
        ),
    ]
    (place / "scenarios.json").write_text(json.dumps(scenarios))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.lives", str(place / "scenarios.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60 * KILLS,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_sigkill_at_seeded_places_changes_no_bit(told: dict[str, Any]) -> None:
    ends = told["killed"]["ends"]
    assert ends == [-signal.SIGKILL] * KILLS + [0], (f"seed {SEED}", told["killed"])
    assert told["killed"]["outcome"] == told["whole"]["outcome"], f"seed {SEED}"


def test_sigterm_saves_leaves_and_goes_on(told: dict[str, Any]) -> None:
    stopped, text = told["term"], told["term"]["texts"][0]
    assert stopped["ends"] == [128 + signal.SIGTERM, 0]
    assert "at step 5 of" in text
    assert "same command again" in text
    assert stopped["outcome"] == told["whole"]["outcome"]


@pytest.mark.parametrize("place", FULL_PLACES)
def test_disk_full_is_said_and_nothing_is_lost(told: dict[str, Any], place: str) -> None:
    """Exit 4, one message with the next step, and the same command goes on once there is space."""
    assert told[place]["ends"] == [4, 0], told[place]
    text = told[place]["texts"][0]
    assert "disk is full" in text
    assert "run the same command again" in text
    assert "Traceback" not in text


def test_loss_that_is_no_number_stops_with_step_and_rows(tmp_path: Path, encoder: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for path in encoder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    task = tiny_task(tmp_path / "task", broken, rows=90)
    with pytest.raises(GuardStopped) as stopped:
        build(task, Store(tmp_path / "home"))
    assert "Step 1" in stopped.value.message
    assert "rows" in stopped.value.message
    assert stopped.value.exit_code == 3


def test_no_write_permission_is_said(tmp_path: Path, encoder: Path) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/linnet-home")
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        target = tmp_path / "locked" / "home"
    done = subprocess.run(
        [sys.executable, "-m", "linnet", "list"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LINNET_HOME": str(target)},
    )
    assert done.returncode in (2, 4), done.stderr
    assert "Traceback" not in done.stderr
    assert str(target) in done.stderr
