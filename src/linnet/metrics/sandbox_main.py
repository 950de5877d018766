"""The process that runs somebody's code: it shuts itself in first, and takes all that the code started with it.

Started as a file; standard library only. Reads one JSON job from stdin. Three processes: the keeper (this one) counts
and ends; the first process of a new PID namespace, whose end the kernel makes the end of all others; and the code.
The last line on the report pipe says what happened; see `sandbox` for the words.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000  # the same number on every architecture
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
BLOCKED = (signal.SIGCHLD, signal.SIGTERM)  # by the keeper, which waits for them
OWN_PROCESSES = 3
NICER = 5  # than the keeper, which must get its turn among many
LOOK_S = 0.05
PROGRAM = "program.py"


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def unshare() -> bool:
    """New user, mount, PID, IPC and network namespaces, this account mapped to itself. False where not allowed."""
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(NEWUSER | NEWNS | NEWPID | NEWIPC | NEWNET) != 0:
        return False
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def read_only(scratch: str, size: int) -> bool:
    """Everything read-only but a small file system in memory at `scratch`. False where the kernel does not allow it."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]

    libc, wanted = _libc(), Attributes(MS_RDONLY, 0, 0, 0)
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    if libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(wanted), ctypes.sizeof(wanted)) != 0:
        return False
    options = f"size={size},nr_inodes=4096,mode=700".encode()
    if libc.mount(b"tmpfs", scratch.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options) != 0:
        return False
    # Not possible everywhere; the old one shows the names of other processes and lets nobody touch them.
    if libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None) == 0:
        # Its own since Linux 6.14, and a limit that holds for the superuser too. 301 is the least it takes.
        with contextlib.suppress(OSError):
            Path("/proc/sys/kernel/pid_max").write_text("301")
    return True


def limit(limits: dict[str, Any], alone: bool) -> None:
    """Hard limits of each process. How many there are is counted for the account, unless it is `alone`.

    The superuser's processes are not counted by the kernel: the keeper counts them too.
    """
    others = OWN_PROCESSES if alone else _tasks_of_account()
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits["cpu_s"],
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: limits["open_files"],
    }
    if others:
        wanted[resource.RLIMIT_NPROC] = limits["processes"] + others
    for which, value in wanted.items():
        most = resource.getrlimit(which)[1]
        hard = value if most == resource.RLIM_INFINITY else min(value, most)
        with contextlib.suppress(OSError, ValueError):  # macOS knows some of them by name only
            resource.setrlimit(which, (hard, hard))


def _tasks_of_account() -> int:
    """Threads and processes of this user, as RLIMIT_NPROC counts them."""
    count, user = 0, os.getuid()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == user:
                count += len(list((folder / "task").iterdir()))
    return count


def run_code(job: dict[str, Any], report: int) -> NoReturn:
    """Run the program in this process; report "passed", or the exception, and leave without clean-up."""
    import runpy

    said = "passed"
    try:
        os.chdir(job["scratch"])
        Path(PROGRAM).write_text(job["program"], encoding="utf-8")
        sys.argv = [PROGRAM]
        runpy.run_path(PROGRAM, run_name="__main__")
    except SystemExit as error:
        said = f"ended early: SystemExit({error.code!r:.100})"
    except MemoryError:
        said = "memory"
    except BaseException as error:
        said = f"failed: {type(error).__name__}"
        with contextlib.suppress(BaseException):
            said += f": {str(error)[:300]}".rstrip(": ") + _line(error)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os.write(report, json.dumps([job["token"], said]).encode() + b"\n")
    os._exit(0)


def _line(error: BaseException) -> str:
    """The last line of the program that was running."""
    import traceback

    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == PROGRAM]
    return f" (line {lines[-1]})" if lines else ""


def first_process(job: dict[str, Any], report: int, parent: int, alone: bool) -> NoReturn:
    """Process 1 of the namespace, where there is one: mounts, limits, starts the code, waits for it alone."""
    if alone:
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        files = read_only(job["scratch"], job["limits"]["file_bytes"])
    else:
        die_with_parent(parent)
        files = False
    if sys.platform == "linux":
        _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.write(report, json.dumps(["isolation", {"network": alone, "processes": alone, "files": files}]).encode() + b"\n")
    os.nice(NICER)
    limit(job["limits"], alone)
    if not alone:
        run_code(job, report)
    child = os.fork()
    if child == 0:
        run_code(job, report)
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(_code(status))


def _code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def members(first: int, alone: bool) -> list[int]:
    """The processes of the namespace; without one, those below this process."""
    if not alone:
        return _below(os.getpid())
    found = []
    with contextlib.suppress(OSError):
        own = not Path("/proc/self").exists()  # the namespace's /proc has been mounted: this process is not in it
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        if own:
            return pids
        home = Path(f"/proc/{first}/ns/pid").stat().st_ino
        for pid in pids:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/ns/pid").stat().st_ino == home:
                    found.append(pid)
    return found


def _below(root: int) -> list[int]:
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += (children := [int(word) for word in path.read_text().split()])
                found += children
    return found


def resident_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            # Shared pages are not counted: a fork does not double what it has.
            _, held, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
            total += (int(held) - int(shared)) * resource.getpagesize()
    return total


def keep(first: int, job: dict[str, Any], alone: bool) -> tuple[str, int]:
    """Wait for the end of the code or for too much of something. Returns what was too much, and the exit code."""
    limits = job["limits"]
    deadline = time.monotonic() + limits["wall_s"]
    while True:
        ended, status = os.waitpid(first, os.WNOHANG)
        if ended:
            return "", _code(status)
        inside = members(first, alone)
        if len(inside) > limits["processes"] + OWN_PROCESSES:
            return "processes", 0
        if resident_bytes(inside) > limits["memory_bytes"]:
            return "memory", 0
        if time.monotonic() > deadline:
            return "time", 0
        if _signalled() == signal.SIGTERM:
            return "stopped", 0


def _signalled() -> int:
    """Wait a moment, less when a child ends or the parent says stop. The signal, or 0."""
    if hasattr(signal, "sigtimedwait"):
        found = signal.sigtimedwait(BLOCKED, LOOK_S)
        return found.si_signo if found else 0
    time.sleep(LOOK_S)
    return signal.SIGTERM if signal.SIGTERM in signal.sigpending() else 0


def end(first: int, alone: bool) -> None:
    """Kill everything the code started, also what left its process group. In a namespace the kernel does it.

    `first` is 0 when it has been waited for: its number may be somebody else's by now.
    """
    while True:
        for pid in ({first} - {0}) | (set() if alone else set(_below(os.getpid()))):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(parent: int, report: int) -> None:
    """Read the job, run it, write what happened."""
    die_with_parent(parent)
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    job = json.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    alone = unshare()
    die_with_parent(parent)  # again: new credentials can clear it
    if not alone and not job["shared"]:
        os.write(report, json.dumps(["isolation", None]).encode() + b"\n")
        return
    if sys.platform == "linux":
        _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    me = os.getpid()
    first = os.fork()
    if first == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        first_process(job, report, me, alone)
    too_much, code = keep(first, job, alone)
    end(first if too_much else 0, alone)
    os.write(report, json.dumps(["ended", too_much, code]).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
