"""`linnet create`: a model with a system text, parameters and a template, from a Modelfile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from linnet.core.events import OnEvent
    from linnet.core.store import Store


def create(
    name: str = typer.Argument(..., help="What to call it: name or name:tag; the tag is latest unless given."),
    file: Path = typer.Option(Path("Modelfile"), "--file", "-f", help="The Modelfile, as Ollama's users write them."),
    quantize: str = typer.Option("", "--quantize", "-q", help="A type of `linnet quantize`, such as Q4_K_M."),
    as_json: bool = typer.Option(False, "--json", help="Print its record as one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", help="Show no progress."),
) -> None:
    """Make a model of a Modelfile: FROM, SYSTEM, PARAMETER, TEMPLATE, MESSAGE, ADAPTER, LICENSE.

    No byte of the model is copied; `linnet serve` gives the rest to every request that says nothing else.
    """
    from linnet.cli.printing import listener, plain, print_json
    from linnet.core.errors import os_errors
    from linnet.core.store import Store
    from linnet.core.uploads import take_file
    from linnet.formats.modelfile import MAX_BYTES, read_modelfile
    from linnet.pipeline.create import Recipe
    from linnet.pipeline.create import create as run

    with os_errors(file, "Reading"), file.open("rb") as handle:
        found = read_modelfile(handle.read(MAX_BYTES + 1).decode(errors="replace"))
    store, hear = Store(), listener(quiet or as_json)
    adapters = {}
    if found.adapter:
        path = _beside(file, found.adapter)
        adapters[path.name] = take_file(store, path)
    recipe = Recipe(
        base=_base(store, file, found.base, hear),
        adapters=adapters,
        template=found.template,
        system=found.system,
        parameters=found.parameters or None,
        messages=found.messages or None,
        licence=found.licence or "",
        quantize=quantize,
    )
    made = run(store, name, recipe, hear)
    if as_json:
        print_json(made.to_json())
        return
    print(plain(made.full_name))


def _beside(file: Path, name: str) -> Path:
    """A path in a Modelfile: from the folder it lies in."""
    return file.absolute().parent / Path(name).expanduser()


def _base(store: Store, file: Path, name: str, hear: OnEvent) -> str:
    """The name of what FROM means; a file or folder is imported first, under its own name."""
    from linnet.formats.resolve import looks_like_path
    from linnet.stages.import_ import import_

    if name.startswith(("hf:", "builtin:")) or not (looks_like_path(name) or name.endswith(".gguf")):
        return name
    return import_(store, _beside(file, name), on_event=hear).name
