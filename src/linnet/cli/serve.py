"""`linnet serve`: answer over HTTP on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from linnet.cli.printing import print_json
from linnet.core import settings
from linnet.core.errors import InputError


def _port(port: int | None) -> int:
    if port is not None:
        return port
    number = settings.get_number("LINNET_PORT")
    if number != int(number):
        raise InputError(f"LINNET_PORT={settings.get('LINNET_PORT')!r} is not a whole number.")
    return int(number)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; loopback only. Default: LINNET_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. Default: LINNET_PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it serves as one JSON line.")] = False,
) -> None:
    """Serve every specialist of the store over HTTP until it is stopped.

    SIGTERM lets running requests end, for at most 30 seconds. The routes are shown at /docs.
    """
    from linnet.core.store import Store
    from linnet.http import server
    from linnet.http.admission import Admission
    from linnet.http.app import LOOPBACK_NAMES, create_app
    from linnet.stages.serve import Specialists

    chosen = host or settings.get("LINNET_HOST")
    address = server.loopback(chosen)
    specialists = Specialists(Store())
    bound = server.bind(chosen, _port(port))
    where = server.url(bound)

    def announce() -> None:
        count = len(specialists.store.names())
        if as_json:
            print_json({"url": where, "host": address, "port": bound.getsockname()[1], "specialists": count})
        else:
            print(f"serving on {where} ({count} specialist{'' if count == 1 else 's'})", flush=True)

    admission = Admission()
    app = create_app(specialists, allowed_hosts=(*LOOPBACK_NAMES, address), admission=admission)
    server.run(app, bound, announce)
    if admission.busy:
        # The drain is over and a model still runs. Its thread cannot be stopped, and Python would wait for it.
        os._exit(0)
