"""One step of a build, in a process without network that leaves nothing running. Started as a file with `python -I`.

Runs the command in its arguments and ends with its exit code. When the command has ended, or when whoever started it is
gone (its standard input closes), it ends everything below it: a compiler that lives on would write into the next
build's files.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36


def end_with_parent() -> None:
    """Wait for the end of standard input, then kill everything below. Only the main thread reaps and leaves."""
    while os.read(0, 1):
        pass
    kill(psutil.Process().children(recursive=True))


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:  # ninja comes first: it starts no more
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def end_all_below() -> None:
    """Kill every process below this one, and wait until none is left.

    Not by process group: ninja gives each of its children one of its own. In one thread alone: a child that another
    thread reaps between two looks would hide everything below it.
    """
    me = psutil.Process()
    while below := me.children(recursive=True):
        kill(below)
        psutil.wait_procs(below, timeout=0.2)


def main(command: list[str]) -> None:
    """Run `command` and exit with its code."""
    from linnet.engines.worker.worker_main import leave_the_network

    print(f"network: {leave_the_network()}", flush=True)
    if sys.platform == "linux":  # whose parent died becomes our child
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]}: {error}", flush=True)
        os._exit(127)
    threading.Thread(target=end_with_parent, daemon=True).start()
    code = child.wait()
    end_all_below()  # also when nobody stopped it: ninja may have died of its closed output
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    main(sys.argv[1:])
