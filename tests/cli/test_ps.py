"""`linnet ps` and `linnet stop` against a real server, and where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.cli.test_serve import LAUNCH, served
from tests.engines.made_llama import STORIES, needs_stories


def linnet(home: Path, log: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(LAUNCH), str(log), *arguments]
    environment = {**os.environ, "LINNET_HOME": str(home), **more}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


@needs_stories
def test_a_model_is_served_shown_and_stopped(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    with served(home, log, "--model", f"tales={STORIES}", LINNET_CONTEXT="256", LINNET_THREADS="1") as server:
        assert server.announced["models"] == 1
        port = ("--port", str(server.announced["port"]))
        assert linnet(home, tmp_path / "2", "ps", *port).stdout == "No model is loaded.\n"
        body = {"model": "tales", "prompt": "Once upon a time", "max_tokens": 4}
        answer = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
        assert answer.json()["usage"]["completion_tokens"] == 4
        shown = linnet(home, tmp_path / "2", "ps", *port)
        assert "tales:latest" in shown.stdout
        (row,) = json.loads(linnet(home, tmp_path / "2", "ps", "--json", *port).stdout)
        assert row["state"] == "ready"
        assert linnet(home, tmp_path / "2", "stop", "tales", *port).stdout == "stopped tales:latest\n"
        again = linnet(home, tmp_path / "2", "stop", "tales", *port)
        assert (again.returncode, "is not loaded" in again.stderr) == (2, True)
        assert server.stop() == 0


def test_no_server_and_no_loopback(tmp_path: Path) -> None:
    done = linnet(tmp_path, tmp_path / "log", "ps", "--port", "1")
    assert done.returncode == 4
    assert "linnet serve" in done.stderr
    done = linnet(tmp_path, tmp_path / "log", "stop", "x", "--host", "10.0.0.1")
    assert done.returncode == 2


def test_a_server_that_asks_for_a_key(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    made = linnet(home, tmp_path / "0", "keys", "create", "boss", "--right", "manage", "--json")
    key = json.loads(made.stdout)["key"]
    with served(home, log, "--require-key") as server:
        port = ("--port", str(server.announced["port"]))
        refused = linnet(home, tmp_path / "2", "ps", *port)
        assert (refused.returncode, "LINNET_KEY" in refused.stderr) == (2, True)
        assert linnet(home, tmp_path / "2", "ps", *port, LINNET_KEY=key).stdout == "No model is loaded.\n"
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        assert key not in log.read_text()
        assert server.stop() == 0
