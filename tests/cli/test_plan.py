"""`linnet plan` and the sizes of `linnet doctor`: what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli.app import app_of
from linnet.engines.llama import load_plan
from linnet.engines.planning import machine_speed
from tests.gguf_files import stories
from tests.speeds import SPEED


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(machine_speed, "_measure", lambda key, *_: SPEED.model_copy(update={"key": key}))
    monkeypatch.setattr(load_plan, "usable_bytes", lambda: 8 << 30)


def test_a_plan_is_printed_with_its_reasons() -> None:
    done = CliRunner().invoke(app_of(), ["plan", str(stories()), "--for", "serve", "--parallel", "3", "--type", "Q8_0"])
    assert done.exit_code == 0, done.output
    for text in ("for serve: fits", "weights", "tokens/s of an answer", "of all answers", "type Q8_0", "past error"):
        assert text in done.output


def test_json_is_one_line_with_numbers() -> None:
    done = CliRunner().invoke(app_of(), ["plan", str(stories()), "--for", "quantize", "-t", "Q8_0", "--json"])
    found = json.loads(done.stdout)
    assert (found["purpose"], found["fits"]) == ("quantize", True)
    assert found["disk_bytes"] > 0
    assert sum(found["parts"].values()) == found["memory_bytes"]


def test_what_does_not_fit_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_plan, "usable_bytes", lambda: 55 << 20)
    done = CliRunner().invoke(app_of(), ["plan", str(stories()), "--context", "2048", "--parallel", "8"])
    assert done.exit_code == 1
    assert "does not fit" in done.output
    assert "What would fit" in done.output


def test_doctor_tells_sizes_once_it_measured() -> None:
    before = CliRunner().invoke(app_of(), ["doctor"])
    assert "not measured yet: linnet doctor --measure" in before.output
    after = CliRunner().invoke(app_of(), ["doctor", "--measure", "--rate", "20"])
    assert after.exit_code == 0, after.output
    assert "at 20 tokens/s or more" in after.output
    found = json.loads(CliRunner().invoke(app_of(), ["doctor", "--json"]).stdout)
    assert [one["kind"] for one in found["sizes"]] == ["F16", "Q8_0", "Q4_K_M"]
    assert found["speed"]["threads"] == SPEED.threads
