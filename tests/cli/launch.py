"""Run `python -m linnet` as `python launch.py LOG ARGUMENTS...`; write what it does with sockets and imports to LOG.

One JSON line for every socket that is made, bound, connected or looked up, and a last one with the modules at the end.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import Any

WATCHED = (
    "socket.__new__",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
)


def _watch(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED:
            os.write(log, (json.dumps([event, str(arguments[1:])]) + "\n").encode())

    sys.addaudithook(hear)


def _main() -> None:
    runpy.run_module("linnet", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    log = sys.argv.pop(1)
    _watch(log)
    try:
        _main()
    finally:
        with open(log, "a") as handle:
            handle.write(json.dumps(["modules", sorted({name.split(".")[0] for name in sys.modules})]) + "\n")
