"""`linnet evaluate --harness` as a person types it: a table, one JSON line, no network, and no flag passed over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lm_eval", reason="lm_eval is not installed: pip install 'linnet[harness]'")

from tests.cli.test_app import Linnet, home, linnet
from tests.harness_tasks import write_tasks

__all__ = ["home", "linnet"]
LAUNCH = Path(__file__).with_name("launch.py")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return write_tasks(tmp_path / "tasks")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process: earlier tests may have imported this with the network on."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_tasks_are_run_without_network_and_without_torch(
    linnet: Linnet, home: Path, tasks: Path, tmp_path: Path, offline: None
) -> None:
    given = ["evaluate", "builtin:nano", "--harness", "lamp_choice,lamp_whole", "--harness", "lamp"]
    given += ["--include-path", str(tasks), "--limit", "4", "--shots", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"LINNET_HOME": str(home), "LINNET_THREADS": "1"}
    command = [sys.executable, str(LAUNCH), str(tmp_path / "log"), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "builtin:nano on lamp_choice: 4 examples, the first 4 of each task, shots 1, version 1.0" in done.stdout
    assert "lamp_second:acc " in done.stdout
    assert "examples/s" not in done.stderr  # no bars of others
    seen = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [event for event in seen if event[0] in ("socket.connect", "socket.getaddrinfo", "socket.sendto")] == []
    assert not {"torch", "transformers"} & set(seen[-1][1])
    found = linnet.json(*given)
    assert [one["task"] for one in found["tasks"]] == ["lamp_choice", "lamp_whole", "lamp"]
    assert found["tasks"][0]["shots"] == {"lamp_choice": 1}
    assert found["tasks"][0]["run"] in done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--harness", "x", "--metric", "bleu"], "--harness and --metric do not go together"),
        (["rows.csv", "--harness", "x"], "a file of examples"),
        (["--harness", "x", "--endpoint", "http://127.0.0.1:9/v1"], "--endpoint"),
        (["--chat"], "--chat is for --harness"),
        (["--include-path", "."], "--include-path is for --harness"),
        (["--harness", ","], "No task was named"),
        (["--harness", "x", "--limit", "-1"], "--limit and --shots are 0 or more"),
        (["--harness", "x", "--include-path", "absent-folder"], "absent-folder is no folder"),
    ],
)
def test_flags_that_do_not_fit(linnet: Linnet, flags: list[str], words: str, offline: None) -> None:
    code, out, err = linnet("evaluate", "builtin:nano", *flags)
    assert (code, out) == (2, "")
    assert words in err
