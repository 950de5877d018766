"""`linnet import`: give a name to a model that lies on this machine already, or take in a kit."""

from __future__ import annotations

from pathlib import Path

import typer


def import_(
    path: Path = typer.Argument(
        ..., help="A GGUF file, a safetensors folder, a cache of Ollama or Hugging Face, or a kit of `linnet export`."
    ),
    name: str = typer.Option("", "--name", help="Store it as name or name:tag instead of its own name."),
    copy: bool = typer.Option(False, "--copy", help="Copy the bytes into the store instead of linking them."),
    sha256: str = typer.Option("", "--sha256", help="Of a kit: what the export printed; another one is refused."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line on standard output, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Import a model without copying it: checked, hashed and linked. Says whether its file must stay where it is.

    A kit is verified file by file and copied into the store; its own file is not needed afterwards.
    """
    from linnet.cli.printing import listener, plain, print_json
    from linnet.core.errors import InputError
    from linnet.core.store import Store
    from linnet.pipeline.export_kit import import_kit, is_kit

    tell = listener(quiet or as_json)
    if is_kit(path.expanduser()):
        taken = import_kit(Store(), path.expanduser(), name, sha256, tell)
        if as_json:
            print_json(taken.to_json())
        else:
            print(f"{plain(taken.name)}\n  sha256    {taken.sha256}")
        return
    if sha256:
        raise InputError("--sha256 is for a kit; this is none.", "A model is hashed in any case: linnet show.")
    from linnet.stages.import_ import import_ as run

    found = run(Store(), path, name, copy=copy, on_event=tell)
    if as_json:
        print_json(found.to_json())
        return
    print(plain(found.name))
