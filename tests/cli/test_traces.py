"""`linnet traces`, as a command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app_of
from linnet.core.errors import InputError
from linnet.core.store import Store
from linnet.core.traces import Trace, Traces, parse_since, stamp


def linnet(*arguments: str) -> Result:
    return CliRunner().invoke(app_of(), ["traces", *arguments])


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traces:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    return Traces(Store(tmp_path / "home"))


def trace(number: int, **more: Any) -> Trace:
    when = datetime.now(UTC) - timedelta(hours=10 - number)
    usual = {"route": "/api/chat", "dialect": "ollama", "model": "nano:latest", "status": 200, "total_ms": number}
    return Trace.model_validate({"id": f"req_{number}", "time": stamp(when), **usual, **more})


def ids(result: Result) -> list[str]:
    assert result.exit_code == 0, result.exception
    return [row["id"] for row in json.loads(result.stdout)]


def test_list(traces: Traces) -> None:
    assert linnet().stdout == "There are no traces.\n"
    traces.add(
        [
            trace(1),
            trace(2, model="nano_x:latest"),
            trace(3, status=404, model="", code="model_not_found"),
            trace(4, finish="length", completion_tokens=7, first_token_ms=3.5),
        ]
    )
    assert ids(linnet("--json")) == ["req_1", "req_2", "req_3", "req_4"]
    assert ids(linnet("--json", "--model", "nano")) == ["req_1", "req_4"]
    assert ids(linnet("--json", "--model", "nano_x:latest")) == ["req_2"]
    assert ids(linnet("--json", "--model", "nano%")) == []
    assert ids(linnet("--json", "--errors")) == ["req_3"]
    assert ids(linnet("--json", "--since", "450m")) == ["req_3", "req_4"]
    assert ids(linnet("--json", "--limit", "1")) == ["req_4"]
    shown = linnet().stdout.splitlines()
    assert len(shown) == 5
    assert shown[3].endswith("model_not_found")
    assert shown[4].split()[-4:] == ["7", "4", "4", "length"]
    assert isinstance(linnet("--since", "yesterday").exception, InputError)


def test_escapes_are_shown_and_not_obeyed(traces: Traces) -> None:
    traces.add([trace(1, request="\x1b[31mred", answer="a\nb")])
    assert "\x1b" not in linnet().stdout
    assert "\\x1b[31mred" in linnet().stdout


def test_summary(traces: Traces) -> None:
    rows = [trace(number, first_token_ms=float(number)) for number in range(1, 8)]
    broken = [trace(8, status=502, code="engine_crashed"), trace(9, code="engine_crashed", finish="stop")]
    traces.add([*rows, *broken, trace(10, status=0, code="client_gone", model="other:latest")])
    every, nano, other = json.loads(linnet("--summary", "--json").stdout)
    assert (every["model"], every["requests"], every["failed"], every["left"]) == ("all", 10, 2, 1)
    assert every["error_rate"] == 0.2
    assert (nano["model"], other["model"]) == ("nano:latest", "other:latest")
    assert (nano["first_token_ms_p50"], nano["first_token_ms_p95"]) == (4.0, 7.0)  # nearest rank of 1 to 7
    assert nano["total_ms_p50"] == 4.0  # of the answered: 1 to 7 and 9
    assert nano["codes"] == {"engine_crashed": 2}
    assert other["total_ms_p50"] is None
    assert linnet("--summary").stdout.splitlines()[-1] == "errors: client_gone 1, engine_crashed 2"


def test_since() -> None:
    assert parse_since("") == ""
    assert parse_since("2026-03-01T12:00:00+00:00") == "2026-03-01T12:00:00.000Z"
    assert parse_since("1h") < stamp(datetime.now(UTC))
    for wrong in ("1w", "now", "-1h", "99999999d", "0000-00-00"):
        with pytest.raises(InputError):
            parse_since(wrong)
