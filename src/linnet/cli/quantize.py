"""`linnet quantize`: a model in fewer bits, with what that cost measured."""

from __future__ import annotations

from pathlib import Path

import typer


def quantize(
    model: str = typer.Argument(..., help="A GGUF, a Hugging Face folder, or a name of `linnet list`."),
    *,
    kind: str = typer.Option("", "--type", "-t", help="A type of llama.cpp's, such as Q4_K_M, Q8_0 or IQ3_M."),
    out: str = typer.Option("", help="FILE.gguf, or a name for the store. Default: beside the name of the source."),
    size: str = typer.Option("", help="Instead of a type: a file of this size, such as 300MB."),
    bits: float = typer.Option(0.0, min=0, help="Instead of a type: so many bits a weight, such as 4.25."),
    max_loss: str = typer.Option("", help="Instead of a type: the smallest file that loses at most this, such as 1%."),
    like: Path = typer.Option(None, help="Instead of a type: the types of this GGUF, or of a record (--json)."),
    imatrix: str = typer.Option(
        "", help="Importance matrix: auto, none, or a GGUF. Which columns matter on your text."
    ),
    calibration: Path = typer.Option(None, help="Your text for it: task.toml, a table or a text. Never test data."),
    method: str = typer.Option("", help="autoround: train how weights are rounded. From a folder, 2 to 5 bits; slow."),
    threads: int = typer.Option(0, min=0, help="Threads; 0: LINNET_THREADS, else every core."),
    pure: bool = typer.Option(False, "--pure", help="Give every matrix this one type instead of the mixture."),
    requantize: bool = typer.Option(False, "--requantize", help="Accept a source that is quantised already."),
    sweep: bool = typer.Option(False, "--sweep", help="Try a ladder of types, measure each, and keep no file."),
    types: str = typer.Option("", help="With --sweep: these types, with commas between, instead of the ladder."),
    text: list[Path] = typer.Option([], help="With --sweep: a text to measure on; may be given again."),
    html: Path = typer.Option(None, help="With --sweep: write a page with plots to this file."),
    bound: float = typer.Option(0.0, min=0, help="With --sweep: nats a token that may be lost. 0: 0.05."),
    data: Path = typer.Option(None, help="With --sweep: questions, as linnet evaluate takes them; with --metric."),
    metric: str = typer.Option("", help="With --sweep and --data: how answers are judged, such as exact_match."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Write a model in fewer bits, in one pass, and compare it with its source before it gets its name."""
    from linnet.cli.convert_output import print_converted
    from linnet.cli.printing import listener, print_json
    from linnet.cli.quantize_sweep import Flags, run_sweep
    from linnet.cli.quantize_target import check_one, imatrix_of, target_of
    from linnet.core.store import Store
    from linnet.stages.convert import Options, convert

    flags = Flags(types, tuple(text), html, bound, imatrix, threads, data, metric, as_json, quiet)
    one = bool(kind or out or pure or requantize or size or bits or max_loss or like or calibration or method)
    if flags.are_wanted(sweep=sweep, one=one):
        run_sweep(model, flags)
        return
    target = target_of(size, bits, max_loss)
    check_one(kind, target, like)
    matrix, gather = imatrix_of(imatrix, calibration, target is not None)
    options = Options(out, matrix, pure, requantize, threads, gather, calibration, target, like, method)
    found = convert(Store(), model, kind, options, on_event=listener(quiet or as_json))
    if as_json:
        print_json(found.to_json())
        return
    print_converted(found)
