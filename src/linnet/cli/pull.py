"""`linnet pull`: fetch a model from a hub."""

from __future__ import annotations

import typer


def pull(
    model: str = typer.Argument(..., help="hf:org/repo, hf:org/repo:QUANT, either with @revision."),
    name: str = typer.Option("", "--name", help="Store it as name or name:tag instead of the repository's name."),
    plan: bool = typer.Option(False, "--plan", help="Show size, licence and fit, and fetch nothing more."),
    anyway: bool = typer.Option(False, "--anyway", help="Fetch also what does not fit or run on this machine."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line on standard output, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Fetch a model: GGUF by quantisation, or safetensors. Checked before it gets its name; resumed when broken off."""
    from linnet.cli.printing import listener, plain, print_json
    from linnet.core.store import Store
    from linnet.stages import pull as stage

    options = stage.PullOptions(store_name=name, refresh=True, anyway=anyway)
    store = Store()
    if plan:
        offer = stage.pull_offer(store, model, options)
        if as_json:
            print_json(offer.to_json())
            return
        print(plain(stage.in_words(offer)))
        for problem in offer.problems:
            print(f"  refused   {plain(problem)}")
        for warning in offer.warnings:
            print(f"  warning   {plain(warning)}")
        return
    found, _ = stage.pull(store, model, listener(quiet or as_json), options)
    if as_json:
        print_json(found.to_json())
        return
    print(plain(found.name))
