"""`linnet export`: a specialist or a model for other tools, or as a kit for a machine without a network."""

from __future__ import annotations

from pathlib import Path

import typer


def export(
    name: str = typer.Argument(..., help="The specialist (name or name:version) or model (name or name:tag)."),
    *,
    to: str = typer.Option(..., "--to", help="dir, gguf, ollama, hf (Hugging Face), or kit (one file for import)."),
    out: Path = typer.Option(..., "--out", help="The folder to write, or the file: X.gguf, X.kit."),
    force: bool = typer.Option(False, "--force", help="Replace an earlier export."),
    data_licence: str = typer.Option("", help="Of the training data, such as cc-by-4.0; own: nobody else's."),
    dataset: str = typer.Option("", help="The training data's name for the card, such as org/name."),
    language: str = typer.Option("", help="For the card: a code such as en; several with commas."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Export a specialist or a model with its card, whole or not at all; every file is compared with its hash.

    An encoder has no GGUF and nothing for Ollama. A kit is verified and taken in on the other machine by
    `linnet import FILE.kit`; its sha256 is printed to be compared.
    """
    from linnet.cli.printing import listener, plain, print_json
    from linnet.pipeline.export import export as run
    from linnet.pipeline.export_card import Told

    told = Told(data_licence=data_licence, dataset=dataset, language=language)
    made = run(name, to, out, force=force, told=told, on_event=listener(quiet or as_json))
    if as_json:
        print_json(made.to_json())
        return
    print(plain(made.path))
    if made.sha256:
        print(f"  sha256    {made.sha256}")
    print(f"  size      {made.size_bytes / 1e6:.1f} MB in {len(made.files)} file{'s' if len(made.files) > 1 else ''}")
    print(f"  licence   {plain(made.licence)}")
