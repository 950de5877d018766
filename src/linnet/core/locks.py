"""One writer at a time, across processes. The kernel drops a lock when its holder dies, so none is ever stale."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linnet.core.errors import StoreBusy, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import make_folder


def _holder(path: Path) -> str:
    try:
        held = json.loads(path.read_text())
        return f"process {held['pid']} since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def lock(path: Path, what: str, wait_s: float, on_event: OnEvent = silent) -> Iterator[None]:
    """Hold `path` exclusively. Says who holds it while waiting.

    Raises StoreBusy when it is still held after `wait_s` seconds.
    """
    with os_errors(path, "Locking"):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline, told = time.monotonic() + wait_s, False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreBusy(
                        f"{what} is being written by {_holder(path)}; waited {wait_s:.0f} s.",
                        "Wait for it to end, or stop it, and run the same command again.",
                    ) from None
                if not told:
                    on_event(Event("note", "lock", f"{what} is held by {_holder(path)}: waiting"))
                    told = True
                time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        stamp = {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.pwrite(descriptor, json.dumps(stamp).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def hold(path: Path, what: str, wait_s: float = 10) -> Iterator[None]:
    """Hold `path` together with others: what is in use and must not be removed. Raises StoreBusy after `wait_s`."""
    with _flock(path, fcntl.LOCK_SH, f"{what} is being removed.", wait_s):
        yield


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold `path` while nobody else does, without waiting. Raises StoreBusy when somebody does."""
    with _flock(path, fcntl.LOCK_EX, f"{what} is in use.", 0):
        yield


@contextmanager
def _flock(path: Path, mode: int, problem: str, wait_s: float) -> Iterator[None]:
    with os_errors(path, "Locking"):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreBusy(problem, "Stop what uses it, and run the same command again.") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
