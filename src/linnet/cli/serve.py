"""`linnet serve`: answer over HTTP on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from linnet.cli.printing import print_json
from linnet.core import settings
from linnet.core.errors import InputError


def chosen_port(port: int | None) -> int:
    """The port that was given, else the setting. Raises InputError."""
    if port is not None:
        return port
    number = settings.get_number("LINNET_PORT")
    if number != int(number):
        raise InputError(f"LINNET_PORT={settings.get('LINNET_PORT')!r} is not a whole number.")
    return int(number)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; loopback only. Default: LINNET_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. Default: LINNET_PORT.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Serve this too: PATH or NAME=PATH of a GGUF file, or builtin:nano. May be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it serves as one JSON line.")] = False,
) -> None:
    """Serve every specialist and GGUF decoder of the store over HTTP until it is stopped.

    SIGTERM lets running requests end, for at most 30 seconds. The routes are shown at /docs.
    """
    from linnet.core.store import Store
    from linnet.http import server
    from linnet.http.admission import Admission
    from linnet.http.app import LOOPBACK_NAMES, create_app
    from linnet.http.decoders import Decoders, named_files
    from linnet.stages.serve import Specialists

    chosen = host or settings.get("LINNET_HOST")
    address = server.loopback(chosen)
    specialists = Specialists(Store())
    decoders = Decoders(specialists.store, named_files(model or []))
    bound = server.bind(chosen, chosen_port(port))
    where = server.url(bound)

    def announce() -> None:
        count, models = len(specialists.store.names()), len(decoders.all())
        if as_json:
            facts = {"url": where, "host": address, "port": bound.getsockname()[1]}
            print_json({**facts, "specialists": count, "models": models})
        else:
            print(f"serving on {where} ({_many(count, 'specialist')}, {_many(models, 'model')})", flush=True)

    admission = Admission()
    app = create_app(specialists, allowed_hosts=(*LOOPBACK_NAMES, address), admission=admission, decoders=decoders)
    try:
        server.run(app, bound, announce)
    finally:
        decoders.close()
    if admission.busy:
        # The drain is over and a model still runs. Its thread cannot be stopped, and Python would wait for it.
        os._exit(0)
