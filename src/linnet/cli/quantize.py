"""`linnet quantize`: a model in fewer bits, with what that cost measured."""

from __future__ import annotations

from pathlib import Path

import typer


def quantize(
    model: str = typer.Argument(..., help="A GGUF, a Hugging Face folder, or a name of `linnet list`."),
    *,
    kind: str = typer.Option(..., "--type", "-t", help="A type of llama.cpp's, such as Q4_K_M, Q8_0 or IQ3_M."),
    out: str = typer.Option("", help="FILE.gguf, or a name for the store. Default: beside the name of the source."),
    imatrix: Path = typer.Option(None, help="Importance matrix (GGUF): which columns matter on your text."),
    threads: int = typer.Option(0, min=0, help="Threads; 0: LINNET_THREADS, else every core."),
    pure: bool = typer.Option(False, "--pure", help="Give every matrix this one type instead of the mixture."),
    requantize: bool = typer.Option(False, "--requantize", help="Accept a source that is quantised already."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Write a model in fewer bits, in one pass, and compare it with its source before it gets its name."""
    from linnet.cli.convert_output import print_converted
    from linnet.cli.printing import listener, print_json
    from linnet.core.store import Store
    from linnet.stages.convert import Options, convert

    options = Options(out, imatrix, pure, requantize, threads)
    found = convert(Store(), model, kind, options, on_event=listener(quiet or as_json))
    if as_json:
        print_json(found.to_json())
        return
    print_converted(found)
