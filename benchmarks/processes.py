"""What a command takes, its children included."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Taken:
    """Wall-clock seconds, bytes handed to write(), and the peak resident bytes of all its processes at once."""

    seconds: float
    written_bytes: int
    peak_bytes: int


def measured(command: list[str], environment: Mapping[str, str] | None = None) -> Taken:
    """Run it. Leaves with its last words when it fails.

    Bytes written are the kernel's count for this process's reaped children. The peak is the largest that one process
    had by the kernel's count, or the largest sum over all that was seen, every 100 ms.
    """
    before, began, peak = _written(), time.monotonic(), 0
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    watched = psutil.Process(child.pid)
    while child.poll() is None:
        peak = max(peak, _resident(watched))
        time.sleep(0.1)
    seconds, said = time.monotonic() - began, child.communicate()[0]
    if child.returncode:
        raise SystemExit(f"{' '.join(command)[:400]} failed:\n{said[-1200:]}")
    return Taken(seconds, _written() - before, peak)


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def _resident(process: psutil.Process) -> int:
    """The larger of the sum now and the largest peak of one."""
    now, most = 0, 0
    try:
        for one in (process, *process.children(recursive=True)):
            lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
            held = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}
            now, most = now + held.get("VmRSS", 0), max(most, held.get("VmHWM", 0))
    except (OSError, psutil.NoSuchProcess):
        return most  # it ended meanwhile
    return max(now, most)
