"""Every failpoint stands somewhere in the source, and some test makes it fail."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import linnet
from linnet.core import failpoints

SOURCE = Path(linnet.__file__).parent
TESTS = Path(__file__).parents[1]


def test_every_name_stands_in_the_source_exactly_once() -> None:
    placed = Counter(
        name for path in SOURCE.rglob("*.py") for name in re.findall(r'\bfailpoint\("([^"]+)"\)', path.read_text())
    )
    assert placed == Counter(failpoints.NAMES)


def test_every_name_is_made_to_fail_by_a_test() -> None:
    written = "".join(path.read_text() for path in TESTS.rglob("*.py") if path != Path(__file__))
    assert [name for name in failpoints.NAMES if name not in written] == []


def test_nothing_is_armed_by_default(monkeypatch: pytest.MonkeyPatch, arm: Callable[[str], None]) -> None:
    arm("")
    for name in failpoints.NAMES:
        failpoints.failpoint(name)


def test_only_the_hit_that_was_asked_for_fails(arm: Callable[[str], None]) -> None:
    arm("files.write=error,files.fsync:3=enospc")
    with pytest.raises(OSError, match="Input/output error"):
        failpoints.failpoint("files.write")
    failpoints.failpoint("files.write")
    for _ in range(2):
        failpoints.failpoint("files.fsync")
    with pytest.raises(OSError, match="No space left"):
        failpoints.failpoint("files.fsync")
    failpoints.failpoint("files.fsync")


@pytest.mark.parametrize(("mode", "number"), [("kill", signal.SIGKILL), ("term", signal.SIGTERM)])
def test_signals_are_real(mode: str, number: int) -> None:
    code = 'from linnet.core.failpoints import failpoint; failpoint("files.write")'
    environment = {**os.environ, "LINNET_FAILPOINTS": f"files.write={mode}"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False).returncode == -number


def test_an_unknown_name_is_refused(arm: Callable[[str], None]) -> None:
    arm("files.wirte=error")
    with pytest.raises(SystemExit, match=r"unknown failpoint 'files\.wirte'"):
        failpoints.failpoint("files.write")
