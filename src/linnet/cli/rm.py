"""`linnet rm`: remove a specialist or a model."""

from __future__ import annotations

import typer


def rm(
    name: str = typer.Argument(..., help="name:version or name:tag for one, a bare name for all of them."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line; asks nothing."),
) -> None:
    """Remove a specialist with its report, or a model with the bytes that no other name needs."""
    from linnet.cli.printing import print_json
    from linnet.cli.show import means_model
    from linnet.core.models import model_names, remove_model
    from linnet.core.names import split_version
    from linnet.core.store import Store

    store = Store()
    is_model = means_model(store, name)
    if is_model:
        listed = [known for known in model_names(store) if name in (known, known.partition(":")[0])]
    else:
        store.find(name)
        bare, version = split_version(name)
        listed = [f"{bare}:{number}" for number in ([version] if version is not None else store.versions(bare))]
    if listed and not (yes or as_json):
        typer.confirm(f"Remove {', '.join(listed)}?", abort=True)
    removed = remove_model(store, name) if is_model else store.remove(name)
    if as_json:
        print_json({"removed": removed})
    else:
        print(f"removed {', '.join(removed)}")
