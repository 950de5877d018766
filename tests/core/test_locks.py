"""Two processes that want the same thing: one waits, says for whom, and never waits for the dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from linnet.core.errors import StoreBusy
from linnet.core.events import Event
from linnet.core.locks import lock
from linnet.core.store import Store

HOLD = """
import sys
from pathlib import Path
from linnet.core.store import Store
with Store(Path(sys.argv[1])).locked("support", "support", lambda event: print(event.message, flush=True)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holding(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    with holding(tmp_path) as first:
        assert said(first) == "held"
        with holding(tmp_path) as second:
            assert said(second).startswith(f"support is held by process {first.pid} since ")
            assert first.stdin is not None
            first.stdin.write("\n")
            first.stdin.flush()
            assert said(second) == "held"


def test_no_wait_is_an_error_that_names_the_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_LOCK_WAIT_S", "0")
    store, events = Store(tmp_path), list[Event]()
    with holding(tmp_path) as first:
        assert said(first) == "held"
        with (
            pytest.raises(StoreBusy, match=rf"support is being written by process {first.pid} since .*waited 0 s"),
            store.locked("support", "support", events.append),
        ):
            pass
        with store.locked("another", "another"):
            pass
    assert events == []


def test_a_killed_holder_frees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_LOCK_WAIT_S", "0")
    with holding(tmp_path) as first:
        assert said(first) == "held"
        first.kill()
        first.wait(30)
    with Store(tmp_path).locked("support", "support"):
        pass


def test_it_is_free_after_an_error_and_names_this_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with pytest.raises(KeyError), lock(path, "it", 0):
        raise KeyError
    with lock(path, "it", 0):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_an_unreadable_stamp_is_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock(path, "it", 0):
        path.write_text("[1]")
        with pytest.raises(StoreBusy, match="it is being written by another process"), lock(path, "it", 0):
            pass
