"""Run a program that nobody has read: shut in, with limits, and with nothing left of it afterwards.

Each program gets a process group with namespaces of its own: no network, no other processes in sight, a file system
that is read-only but for a small one in memory. What may be read stays readable: the sandbox keeps a program from
doing harm, not from looking. Knows no problem and no test.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from linnet.core.errors import ResourceMissing
from linnet.core.records import Record

Outcome = Literal["passed", "failed", "ended early", "time", "cpu", "memory", "output", "processes", "crashed"]
GRACE_S = 3.0  # to start, to shut in, and to end: beyond the program's own time
MAX_REPORT = 64 << 10
KEPT_CHARACTERS = 2000
_FLAGS = ("-s", "-P", "-B")  # no user packages, no path of the caller's, no bytecode written


class Limits(Record):
    """What one program may use. wall_s is from the start of its process; memory is of all its processes together.

    Processor time is the fairer cap: on a busy machine the clock runs on while a program waits for its turn.

    shared: run also where the system gives no namespaces. Then the network and other files are within reach.
    """

    wall_s: float = 15.0
    cpu_s: int = 5
    memory_bytes: int = 512 << 20
    output_bytes: int = 1 << 20
    file_bytes: int = 16 << 20
    processes: int = 16
    open_files: int = 64
    shared: bool = False


class Isolation(Record):
    """What the program was kept from: the network, other processes, writing to files that are not its own."""

    network: bool
    processes: bool
    files: bool


class Ran(Record):
    """How a program ended. `reason` says it in words; stdout and stderr are the first 2,000 characters of each."""

    outcome: Outcome
    reason: str
    stdout: str
    stderr: str
    seconds: float
    isolation: Isolation


def environment(scratch: Path) -> dict[str, str]:
    """Nothing of ours but the path: no key, no home, one thread, and the same order of sets every time."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
    }


class _Reading:
    """What comes out of the process: the beginning of each stream is kept, the rest is counted."""

    def __init__(self, streams: dict[str, int]) -> None:
        self.kept = dict.fromkeys(streams, b"")
        self.counts = dict.fromkeys(streams, 0)
        self._selector = selectors.DefaultSelector()
        for name, descriptor in streams.items():
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, name)

    def take(self, seconds: float) -> None:
        """Read what is there, or wait for some."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            try:
                data = os.read(key.fd, 1 << 16)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fd)
                continue
            most = MAX_REPORT if key.data == "report" else 4 * KEPT_CHARACTERS
            self.kept[key.data] += data[: max(0, most - len(self.kept[key.data]))]
            self.counts[key.data] += len(data)

    @property
    def open(self) -> bool:
        return bool(self._selector.get_map())

    def drain(self) -> None:
        """What already lies in the pipes; somebody who escaped may hold them open, so it does not wait for the end."""
        for _ in range(64):
            before = sum(self.counts.values())
            self.take(0)
            if sum(self.counts.values()) == before:
                break
        self._selector.close()

    def text(self, name: str) -> str:
        return self.kept[name].decode(errors="replace")[:KEPT_CHARACTERS]


def run_program(program: str, limits: Limits | None = None) -> Ran:
    """Run Python source to its end; it has passed when it ended without an exception.

    Never raises for what the program does. Raises ResourceMissing where the system gives no namespaces and
    `limits.shared` is not set, where no process can be started, and on Windows.
    """
    if sys.platform == "win32":
        raise ResourceMissing("Programs cannot be shut in on this system.", "Judge code on Linux or macOS.")
    limits = limits or Limits()
    scratch = Path(tempfile.mkdtemp(prefix="linnet-code-"))
    token = secrets.token_hex(16)
    job = {"program": program, "scratch": str(scratch), "token": token, "shared": limits.shared}
    try:
        return _run(json.dumps(job | {"limits": limits.to_json()}).encode(), token, limits, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(job: bytes, token: str, limits: Limits, scratch: Path) -> Ran:
    started = time.monotonic()
    reading_end, report = os.pipe()
    main = Path(__file__).with_name("sandbox_main.py")
    try:
        process = subprocess.Popen(
            [sys.executable, *_FLAGS, str(main), str(os.getpid()), str(report)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(scratch), cwd=scratch, start_new_session=True, pass_fds=[report],
        )  # fmt: skip
    except OSError as error:
        os.close(reading_end)
        raise ResourceMissing(f"No process for the program: {error}.", "Close other programs.") from error
    finally:
        os.close(report)
    try:
        _hand_over(process, job)
        named = {"stdout": process.stdout, "stderr": process.stderr}
        reading = _Reading({"report": reading_end} | {name: s.fileno() for name, s in named.items() if s})
        stopped = _watch(process, reading, limits, started)
        seconds = time.monotonic() - started
    finally:
        _stop(process)
        os.close(reading_end)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
    return _judged(reading, token, limits, stopped, seconds)


def _hand_over(process: subprocess.Popen[bytes], job: bytes) -> None:
    with contextlib.suppress(OSError):  # it is gone: the report will be empty
        if process.stdin:
            with process.stdin:
                process.stdin.write(job)


def _watch(process: subprocess.Popen[bytes], reading: _Reading, limits: Limits, started: float) -> str:
    """Read until the keeper has ended. Returns why it had to be stopped from here, mostly nothing."""
    stopped = ""
    deadline = started + limits.wall_s + GRACE_S
    while process.poll() is None:
        reading.take(0.1) if reading.open else time.sleep(0.01)
        if not stopped and max(reading.counts["stdout"], reading.counts["stderr"]) > limits.output_bytes:
            stopped = "output"
        elif not stopped and time.monotonic() > deadline:
            stopped = "time"
        else:
            if stopped and time.monotonic() > deadline + GRACE_S:
                break
            continue
        process.send_signal(signal.SIGTERM)  # the keeper ends what it keeps
        deadline = min(deadline, time.monotonic())
    reading.drain()
    return stopped


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judged(reading: _Reading, token: str, limits: Limits, stopped: str, seconds: float) -> Ran:
    lines = list(_lines(reading.kept["report"]))
    said = next((line[1] for line in lines if line[0] == token), None)
    isolation: Any = next((line[1] for line in lines if line[0] == "isolation"), {})
    if isolation is None:
        raise ResourceMissing(
            "This system gives no namespaces, so a program could reach the network and the files of this account.",
            "Allow user namespaces, or accept that with the limit `shared`.",
        )
    too_much, code = next((line[1:] for line in reversed(lines) if line[0] == "ended"), ("", 0))
    outcome, reason = _words(stopped or too_much, said, int(code), limits)
    none = {"network": False, "processes": False, "files": False}
    return Ran(
        outcome=outcome, reason=reason, stdout=reading.text("stdout"), stderr=reading.text("stderr"),
        seconds=seconds, isolation=Isolation.model_validate(isolation or none),
    )  # fmt: skip


def _lines(data: bytes) -> list[list[Any]]:
    """The report's lines; the program shares the pipe, so what is no line of ours is passed over."""
    found = []
    for line in data.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line)
            if isinstance(value, list) and len(value) >= 2:
                found.append(value)
    return found


def _words(too_much: str, said: Any, code: int, limits: Limits) -> tuple[Outcome, str]:
    if said == "passed" and too_much in ("", "stopped"):
        return "passed", "passed"
    if too_much == "time":
        return "time", f"ran longer than {limits.wall_s:g} s"
    if too_much == "output":
        return "output", f"printed more than {limits.output_bytes} bytes"
    if too_much == "processes":
        return "processes", f"had more than {limits.processes} processes"
    if too_much == "memory" or said == "memory":
        return "memory", f"used more than {limits.memory_bytes / 2**20:.0f} MiB of memory"
    if code == 128 + signal.SIGXCPU or (code == 128 + signal.SIGKILL and limits.cpu_s <= limits.wall_s):
        return "cpu", f"used more than {limits.cpu_s} s of processor time"
    if code > 128:
        return "crashed", f"was ended by signal {code - 128}"
    if isinstance(said, str) and said.startswith("ended early"):
        return "ended early", f"ended before its tests did ({said.removeprefix('ended early: ')})"
    if isinstance(said, str):
        return "failed", said.removeprefix("failed: ")
    return "ended early", f"ended before its tests did (exit code {code})"


def run_programs(programs: Sequence[str], limits: Limits | None = None, workers: int = 1) -> list[Ran]:
    """`run_program` for each, `workers` at a time, in the given order. Raises ResourceMissing as that does."""
    # A worker's thread stays while its program runs: the kernel kills a child when the thread that made it ends.
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        return list(pool.map(lambda program: run_program(program, limits), programs))
