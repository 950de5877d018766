"""`linnet merge`: a tuned decoder as one model, proven to say the same."""

from __future__ import annotations

import typer


def merge(
    run: str = typer.Argument(..., help="The run, or the beginning of its id: see `linnet runs list`."),
    out: str = typer.Option("", help="Give the model this name: NAME runs, NAME:hf is the folder."),
    no_gguf: bool = typer.Option(False, "--no-gguf", help="Make no GGUF; then the model can not be run here."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Merge an adapter into its base, in the base's own precision, and convert the model to GGUF.

    Every step is compared with the one before on held-out rows; one that changes the answers stops here.
    """
    from linnet.cli.printing import listener, print_json
    from linnet.cli.tune_output import print_merged
    from linnet.pipeline.merge import merge as work

    result = work(run, out, gguf=not no_gguf, on_event=listener(quiet or as_json))
    if as_json:
        print_json(result.summary())
        return
    print(f"{result.step.run.id}  {result.step.result['method']} on {result.step.result['base']}, merged")
    print(f"  folder           {result.step.folder / 'model'}")
    print_merged(result)
    if not out:
        print(f"  next             linnet merge {run} --out NAME")
