"""`linnet convert`: a Hugging Face folder as GGUF, or whether that would work."""

from __future__ import annotations

import typer


def convert(
    model: str = typer.Argument(..., help="A Hugging Face folder, a GGUF, or a name of `linnet list`."),
    *,
    out: str = typer.Option("", help="FILE.gguf, or a name for the store. Default: beside the name of the source."),
    kind: str = typer.Option("F16", "--type", "-t", help="F16, BF16, F32, Q8_0, or any type of `linnet quantize`."),
    check: bool = typer.Option(False, "--check", help="Write nothing: say whether it will work, and why not."),
    threads: int = typer.Option(0, min=0, help="Threads; 0: LINNET_THREADS, else every core."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Convert a model to GGUF, and compare tokens and predictions with its source before it gets its name.

    Exit code 1 from --check: it will not work.
    """
    from linnet.cli.convert_output import print_converted, print_possible
    from linnet.cli.printing import listener, print_json
    from linnet.core.store import Store
    from linnet.stages import convert as stage

    options = stage.Options(out, threads=threads)
    if check:
        possible = stage.check_convert(Store(), model, kind, options)
        if as_json:
            print_json(possible.to_json())
        else:
            print_possible(possible)
        raise typer.Exit(0 if possible.possible else 1)
    found = stage.convert(Store(), model, kind, options, on_event=listener(quiet or as_json))
    if as_json:
        print_json(found.to_json())
        return
    print_converted(found)
