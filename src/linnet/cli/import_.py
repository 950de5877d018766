"""`linnet import`: give a name to a model that lies on this machine already."""

from __future__ import annotations

from pathlib import Path

import typer


def import_(
    path: Path = typer.Argument(..., help="A GGUF file, a safetensors folder, or a cache of Ollama or Hugging Face."),
    name: str = typer.Option("", "--name", help="Store it as name or name:tag instead of its own name."),
    copy: bool = typer.Option(False, "--copy", help="Copy the bytes into the store instead of linking them."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line on standard output, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Import a model without copying it: checked, hashed and linked. Says whether its file must stay where it is."""
    from linnet.cli.printing import listener, plain, print_json
    from linnet.core.store import Store
    from linnet.stages.import_ import import_ as run

    found = run(Store(), path, name, copy=copy, on_event=listener(quiet or as_json))
    if as_json:
        print_json(found.to_json())
        return
    print(plain(found.name))
