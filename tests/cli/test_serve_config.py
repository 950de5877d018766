"""`linnet serve --config`, its log as JSON, and SIGHUP, as a real process on a real port."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app_of
from linnet.core import settings
from linnet.core.errors import InputError
from linnet.core.serve_config import read_config
from linnet.core.store import Store
from linnet.core.traces import Traces
from tests.engines.made_llama import STORIES, needs_stories
from tests.tiny import tiny_specialist


class Running:
    """A server with a configuration file, and what it logs."""

    def __init__(self, home: Path, config: Path, *arguments: str) -> None:
        self.config = config
        self.process = subprocess.Popen(
            [sys.executable, "-m", "linnet", "serve", "--json", "--config", str(config), *arguments],
            env={**os.environ, "LINNET_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = str(json.loads(self.process.stdout.readline())["url"])

    def logged(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line of the log that is it; the log is JSON."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if is_it(found := json.loads(line)):
                return dict(found)
        raise AssertionError("the log has ended")

    def reload(self, text: str) -> dict[str, Any]:
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        return self.logged(lambda line: line["logger"] == "linnet.serve")

    def classify(self, **headers: str) -> int:
        body = {"model": "support", "input": "my secret refund"}
        return httpx.post(f"{self.url}/v1/classify", json=body, headers=headers, timeout=60).status_code

    def models(self) -> list[str]:
        return [model["id"] for model in httpx.get(f"{self.url}/v1/models").json()["data"]]


@needs_stories
def test_sighup_reads_everything_again(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "serve.toml"
    tiny_specialist(Store(home), "support", ["refund", "delivery"])
    base = 'port = 0\nlog = "json"\n'
    config.write_text(base)
    server = Running(home, config)
    try:
        assert server.classify() == 200
        line = server.logged(lambda line: line["message"] == "request")
        assert (line["route"], line["status"], line["model"]) == ("/v1/classify", 200, "support:1")
        assert "secret" not in json.dumps(line)
        assert server.classify(host="box.lan") == 403
        more = f'{base}host_names = ["box.lan"]\nmodels = ["told={STORIES}"]\n'
        assert server.reload(more)["message"] == "reloaded"
        assert server.classify(host="box.lan") == 200
        assert server.models() == ["support:1", "told:latest"]
        broken = server.reload(f"{base}hots = 1")
        assert broken["level"] == "error"
        assert 'Did you mean "host' in broken["message"]
        assert server.classify(host="box.lan") == 200
        assert server.reload(base)["message"] == "reloaded"
        assert server.classify(host="box.lan") == 403
        assert server.models() == ["support:1"]
        # A kill at any time leaves a database that can be read.
        server.process.kill()
        server.process.wait(30)
        with sqlite3.connect(home / "linnet.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert "support:1" in {trace.model for trace in Traces(Store(home)).find()}
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    yield tmp_path
    settings.use_file({})


def linnet(*arguments: str) -> Result:
    return CliRunner().invoke(app_of(), arguments)


def test_flags_go_before_the_environment_and_that_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = home / "serve.toml"
    config.write_text('port = 1111\nhost = "127.0.0.3"\nhost_names = ["box.lan"]\n')

    def checked(*arguments: str) -> dict[str, Any]:
        return dict(json.loads(linnet("serve", "--check", "--json", "--config", str(config), *arguments).stdout))

    found = checked()
    assert (found["port"], found["host"]) == (1111, "127.0.0.3")
    assert "box.lan" in found["host_names"]
    monkeypatch.setenv("LINNET_PORT", "2222")
    assert checked()["port"] == 2222
    assert checked("--port", "3333")["port"] == 3333
    assert "other.lan" in checked("--host-name", "other.lan")["host_names"]
    monkeypatch.setenv("LINNET_CONFIG", str(config))
    assert json.loads(linnet("serve", "--check", "--json").stdout)["host"] == "127.0.0.3"
    config.write_text("prot = 1")
    assert isinstance(linnet("serve", "--check").exception, InputError)
    config.write_text("")
    assert isinstance(linnet("serve", "--check", "--log", "xml").exception, InputError)


DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_configuration_that_is_shipped_is_valid() -> None:
    shipped = (DEPLOY / "serve.toml").read_text()
    assert read_config(DEPLOY / "serve.toml")["LINNET_HOST"] == "127.0.0.1"
    assert tomllib.loads("\n".join(line.lstrip("# ") for line in shipped.splitlines()[1:]))["require_key"] is True


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_the_unit_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / "linnet.service"
    unit.write_text((DEPLOY / "linnet.service").read_text().replace("/opt/linnet/bin/linnet", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "linnet.service" in line] == []
