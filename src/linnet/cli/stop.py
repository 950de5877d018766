"""`linnet stop`: unload a model from the running server."""

from __future__ import annotations

from typing import Annotated

import typer


def stop(
    name: Annotated[str, typer.Argument(help="A model that `linnet ps` shows.")],
    force: Annotated[bool, typer.Option("--force", help="Also while requests run: they end with an error.")] = False,
    host: Annotated[str | None, typer.Option(help="Address of the server. Default: LINNET_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the server. Default: LINNET_PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Unload a model from the server on this machine. It is loaded again when it is asked for."""
    from linnet.cli.printing import plain, print_json
    from linnet.cli.serve import chosen_port
    from linnet.core import settings
    from linnet.http.client import call

    body = {"model": name, "force": force}
    stopped = call(host or settings.get("LINNET_HOST"), chosen_port(port), "POST", "/v1/stop", body)
    if as_json:
        print_json(stopped)
    else:
        print(f"stopped {plain(stopped['stopped'])}")
