"""`linnet keys`: who may use the server from other machines."""

from __future__ import annotations

from typing import Annotated

import typer

from linnet.cli.printing import plain, print_json

app = typer.Typer(help="Keys of the server: make, show, revoke.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON line.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is called, e.g. who or what uses it.")],
    model: Annotated[list[str] | None, typer.Option(help="Only for this model. May be repeated.")] = None,
    right: Annotated[
        list[str] | None,
        typer.Option(help="generate, embed, classify, manage. May be repeated. Default: all but manage."),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests at the same time. Default: 8.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once: only its hash is kept."""
    from linnet.core.keys import CONCURRENCY, Keys
    from linnet.core.store import Store

    found, text = Keys(Store()).create(
        name, models=model or (), rights=right or (), concurrency=CONCURRENCY if concurrency is None else concurrency
    )
    if as_json:
        print_json({**found.to_json(), "key": text})
        return
    print(text)
    typer.echo(f"Keep it now: it is not shown again. Rights: {', '.join(found.rights)}.", err=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the keys that there are and were, without their secrets."""
    from linnet.core.keys import Keys
    from linnet.core.store import Store

    found = Keys(Store()).all()
    if as_json:
        print_json([key.to_json() for key in found])
        return
    if not found:
        print("There are no keys.")
    for key in found:
        models = plain(", ".join(key.models)) or "every model"
        state = f"revoked {key.revoked}" if key.revoked else f"{key.concurrency} at once"
        print(f"{key.id}  {plain(key.name)}  {', '.join(key.rights)}  {models}  {state}")


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Name or id of the key.")], as_json: AsJson = False) -> None:
    """End a key. A running server refuses it within a second; requests that run go on."""
    from linnet.core.keys import Keys
    from linnet.core.store import Store

    ended = Keys(Store()).revoke(name)
    if as_json:
        print_json(ended.to_json())
    else:
        print(f"revoked {ended.id}  {plain(ended.name)}")
