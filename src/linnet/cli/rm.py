"""`linnet rm`: remove a specialist."""

from __future__ import annotations

import typer


def rm(
    name: str = typer.Argument(..., help="name:version for one version, a bare name for all of them."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line; asks nothing."),
) -> None:
    """Remove a specialist from the store. Its report goes with it."""
    from linnet.cli.printing import print_json
    from linnet.core.names import split_version
    from linnet.core.store import Store

    store = Store()
    store.find(name)
    bare, version = split_version(name)
    doomed = [version] if version is not None else store.versions(bare)
    if not (yes or as_json):
        listed = ", ".join(f"{bare}:{number}" for number in doomed)
        typer.confirm(f"Remove {listed}?", abort=True)
    removed = store.remove(name)
    if as_json:
        print_json({"removed": removed})
    else:
        print(f"removed {', '.join(removed)}")
