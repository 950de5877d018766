"""`linnet cp`: a second name for a model."""

from __future__ import annotations

import typer


def cp(
    source: str = typer.Argument(..., help="The model: name or name:tag."),
    target: str = typer.Argument(..., help="Its second name: name or name:tag; the tag is latest unless given."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Give a model a second name. No byte is copied; removing one name leaves the other."""
    from linnet.cli.printing import print_json
    from linnet.core.models import copy_model
    from linnet.core.store import Store

    made = copy_model(Store(), source, target)
    if as_json:
        print_json({"name": made.full_name})
    else:
        print(made.full_name)
