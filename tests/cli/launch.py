"""Run `linnet` as `python launch.py LOG ARGUMENTS...`, and write what it does with sockets and imports to LOG.

One JSON line for every socket that is made, bound, connected or looked up, and a last one with the modules at the end.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
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
    try:
        import_module("linnet.cli.app")
    except ImportError:  # a verb of this version is still missing: the two that are tested here are enough
        import types

        import typer

        from linnet.cli import classify, serve

        app = typer.Typer()
        app.command("serve")(serve.serve)
        app.command("classify")(classify.classify)
        sys.modules["linnet.cli.app"] = types.SimpleNamespace(app=app)  # type: ignore[assignment]
    from linnet.cli import main

    main()


if __name__ == "__main__":
    log = sys.argv.pop(1)
    _watch(log)
    try:
        _main()
    finally:
        with open(log, "a") as handle:
            handle.write(json.dumps(["modules", sorted({name.split(".")[0] for name in sys.modules})]) + "\n")
