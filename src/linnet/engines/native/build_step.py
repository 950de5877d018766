"""One step of a build, in a process without network that leaves nothing running. Started as a file with `python -I`.

Runs the command in its arguments and ends with its exit code. When whoever started it is gone (its standard input
closes), it ends everything below it: a compiler that lives on would write into the next build's files.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def end_with_parent(ending: threading.Event) -> None:
    """Wait for the end of standard input, set `ending`, kill every process below this one, and leave.

    Not by process group: ninja gives each of its children one of its own.
    """
    import psutil

    while os.read(0, 1):
        pass
    ending.set()
    me = psutil.Process()
    while below := me.children(recursive=True):
        for process in below:  # ninja comes first: it starts no more
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(below, timeout=0.2)
    os._exit(1)


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
    ending = threading.Event()
    ender = threading.Thread(target=end_with_parent, args=[ending], daemon=True)
    ender.start()
    code = child.wait()
    if ending.is_set():
        ender.join()  # the child was the first that it killed; the rest may take long on a busy machine
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    main(sys.argv[1:])
