"""Programs that fork, write, sleep, print without end or open a socket: each ends with its reason, nothing is left."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil
import pytest

from linnet.core.errors import ResourceMissing
from linnet.metrics import sandbox_main
from linnet.metrics.sandbox import Limits, Ran, run_program, run_programs

SMALL = Limits(wall_s=30, cpu_s=10, memory_bytes=256 << 20, output_bytes=100_000, file_bytes=1 << 20, processes=8)


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    try:
        run_program("pass", SMALL)
    except ResourceMissing as error:
        pytest.skip(f"programs cannot be shut in here: {error.message}")


def ran(program: str, **limits: object) -> Ran:
    return run_program(program, SMALL.model_copy(update=limits))


def left(mark: str) -> list[int]:
    """Processes that carry the mark in their memory of arguments: none may outlive its program."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if any(mark in word for word in p.info["cmdline"] or [])]


def test_a_program_that_ends_well() -> None:
    found = ran("print('hello')\nassert 1 + 1 == 2")
    assert (found.outcome, found.reason, found.stdout) == ("passed", "passed", "hello\n")
    assert found.isolation.network


@pytest.mark.parametrize(
    ("program", "outcome", "words"),
    [
        ("def f():\n    assert 1 == 2, 'no'\nf()", "failed", "AssertionError: no (line 2)"),
        ("def", "failed", "SyntaxError"),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
        ("x = '\udc80'", "failed", "UnicodeEncodeError"),
        ("input()", "failed", "EOFError"),
        ("import sys; sys.exit(0)", "ended early", "SystemExit(0)"),
        ("import os; os._exit(0)", "ended early", "exit code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "signal 11"),
        ("x = bytearray(1 << 30)", "memory", "256 MiB"),
        ("while True: print('x' * 1000)", "output", "printed more than 100000 bytes"),
        ("open('a', 'wb').write(b'x' * (4 << 20))", "failed", "OSError"),
        ("n = 0\nwhile True:\n    open(f'a{n}', 'wb').write(b'x' * 500_000)\n    n += 1", "failed", "No space left"),
        ("for n in range(100): open('/dev/null').__enter__(), globals().setdefault(n, open('/dev/null'))",
         "failed", "Too many open files"),
        ("import socket; socket.create_connection(('127.0.0.1', 9), 1)", "failed", "Network is unreachable"),
        ("import socket; socket.create_connection(('192.0.2.1', 9), 1)", "failed", "Network is unreachable"),
    ],
)  # fmt: skip
def test_how_it_ended(program: str, outcome: str, words: str) -> None:
    found = ran(program)
    assert (found.outcome, words in found.reason) == (outcome, True), found


def test_sleeping_ends_at_the_clock() -> None:
    found = ran("import time; time.sleep(600)", wall_s=1)
    assert (found.outcome, found.reason) == ("time", "ran longer than 1 s")


def test_spinning_ends_at_the_processor_time() -> None:
    found = ran("while True: pass", cpu_s=1, wall_s=60)
    assert (found.outcome, found.reason) == ("cpu", "used more than 1 s of processor time")


def test_too_many_processes() -> None:
    program = "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n        time.sleep(600)\ntime.sleep(600)"
    found = ran(program)
    # The kernel refuses the fork; it counts no limit for the superuser, then the keeper does.
    assert found.outcome == "processes" or "Resource temporarily unavailable" in found.reason


def test_memory_of_many_processes_is_one_sum() -> None:
    program = "import os, time\nos.fork(), os.fork()\nx = bytearray(120 << 20)\ntime.sleep(20)"
    assert ran(program).outcome == "memory"


@pytest.mark.parametrize("leave", ["os.setsid()", "os.setpgid(0, 0)", "pass"])
def test_what_it_leaves_behind_is_ended(leave: str) -> None:
    mark = f"linnet-left-{time.monotonic_ns()}"
    sleeper = f"[sys.executable, '-c', 'import time; time.sleep(600)', '{mark}']"
    program = f"import os, subprocess, sys, time\nif os.fork() == 0:\n    {leave}\n    subprocess.Popen({sleeper})\n"
    assert ran(program + "    time.sleep(9)\nelse:\n    time.sleep(1)").outcome == "passed"
    assert left(mark) == []


def test_files_of_others_cannot_be_written_and_the_folder_is_gone(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    found = ran(f"open('note', 'w').write('x')\nimport os\nprint(os.getcwd())\nopen({str(kept)!r}, 'w')")
    if not found.isolation.files:
        pytest.skip("the kernel makes no read-only mounts here")
    assert "Read-only file system" in found.reason
    assert kept.read_text() == "mine"
    assert not Path(found.stdout.strip()).exists()
    assert not list(Path(tempfile.gettempdir()).glob("linnet-code-*/note"))


def test_other_processes_are_out_of_reach() -> None:
    found = ran(
        "import os\nos.kill(1, 9)\nos.kill(os.getppid(), 9)\nimport time; time.sleep(0.2)\nprint(os.getpid() < 100)"
    )
    assert (found.outcome, found.stdout) == ("passed", "True\n")


def test_nothing_of_ours_is_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "secret" not in ran("import os; print(dict(os.environ))").stdout


def test_sets_have_one_order() -> None:
    program = "print(list({'a', 'b', 'c', 'd', 'e', 'f'}))"
    assert ran(program).stdout == ran(program).stdout


def test_many_come_back_in_order() -> None:
    found = run_programs([f"print({n})\nassert {n} != 2" for n in range(4)], SMALL, workers=2)
    assert [one.stdout for one in found] == [f"{n}\n" for n in range(4)]
    assert [one.outcome for one in found] == ["passed", "passed", "failed", "passed"]


def test_without_namespaces_it_refuses_or_says_what_is_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(sandbox_main.__file__).read_text()
    broken = source.replace(
        "def unshare() -> bool:", "def unshare() -> bool:\n    return False\n\n\ndef _unshare() -> bool:"
    )
    (tmp_path / "sandbox_main.py").write_text(broken)
    monkeypatch.setattr("linnet.metrics.sandbox.__file__", str(tmp_path / "sandbox.py"))
    with pytest.raises(ResourceMissing, match="gives no namespaces"):
        ran("pass")
    mark = f"linnet-left-{time.monotonic_ns()}"
    sleeper = f"[sys.executable, '-c', 'import time; time.sleep(600)', '{mark}']"
    program = f"import os, subprocess, sys\nif os.fork() == 0:\n    os.setsid()\nsubprocess.Popen({sleeper})"
    found = ran(program, shared=True)
    assert (found.outcome, found.isolation.network) == ("passed", False)
    assert left(mark) == []
    assert ran("import time; time.sleep(600)", shared=True, wall_s=1).outcome == "time"
