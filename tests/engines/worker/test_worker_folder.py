"""Folders of workers: private, named after their owner, and removed once the owner is gone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.engines.worker import worker_folder


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(worker_folder, "base_folder", lambda: tmp_path)
    return tmp_path


def left(base: Path, pid: int, start: int, namespace: int | None = None) -> Path:
    where = worker_folder._namespace() if namespace is None else namespace
    folder = base / f"linnet-worker-{pid:x}-{start:x}-{where:x}-abcdef01"
    worker_folder.make(folder)
    return folder


def dead_pid() -> int:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    return int(done.stdout)


def test_a_folder_is_private_and_short_enough_for_a_socket(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = worker_folder.new_folder()
    worker_folder.make(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 200)
    assert len(str(worker_folder.new_folder() / "engine.sock")) <= worker_folder.LONGEST_BASE + 64 <= 104


def test_folders_of_dead_processes_are_swept(base: Path) -> None:
    gone = left(base, dead_pid(), 1)
    (gone / "engine.sock").touch()
    again = left(base, os.getpid(), worker_folder.start_time(os.getpid()) - 1)  # our number, an earlier process
    worker_folder.sweep()
    assert not gone.exists()
    assert not again.exists()


def test_what_is_not_surely_left_stays(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = dead_pid()
    mine = left(base, os.getpid(), worker_folder.start_time(os.getpid()))
    container = left(base, pid, 1, namespace=7)
    target = base / "kept"
    target.mkdir()
    link = base / f"linnet-worker-{pid:x}-1-{worker_folder._namespace():x}-ab"
    link.symlink_to(target)
    strange = base / "linnet-worker-notes"
    strange.mkdir()
    worker_folder.sweep()
    assert all(path.exists() for path in (mine, container, target, link, strange))
    foreign = left(base, pid, 2)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    worker_folder.sweep()
    assert foreign.exists()
