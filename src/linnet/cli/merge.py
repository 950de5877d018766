"""`linnet merge`: a tuned decoder as one model, or as an adapter on its base, proven to say the same."""

from __future__ import annotations

import typer


def merge(
    run: str = typer.Argument(..., help="The run, or the beginning of its id: see `linnet runs list`."),
    *,
    out: str = typer.Option("", help="Give the model this name: NAME runs, NAME:hf is the folder."),
    no_gguf: bool = typer.Option(False, "--no-gguf", help="Make no GGUF; then the model can not be run here."),
    adapter_gguf: bool = typer.Option(False, "--adapter-gguf", help="Merge nothing: a GGUF adapter, proved."),
    base: str = typer.Option("", help="With --adapter-gguf: the GGUF of the base that --out puts the adapter on."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Merge an adapter into its base, in the base's own precision, and convert the model to GGUF.

    Every step is compared with the one before on held-out rows; one that changes the answers stops here. With
    --adapter-gguf one base serves many adapters: --out names the base with this one on it.
    """
    from linnet.cli.printing import listener, print_json
    from linnet.cli.tune_output import print_merged
    from linnet.core.errors import InputError
    from linnet.pipeline.merge import merge as work
    from linnet.pipeline.merge import merge_adapter

    if adapter_gguf and no_gguf:
        raise InputError("--adapter-gguf makes a GGUF; --no-gguf makes none.", "Leave one out.")
    if base and not adapter_gguf:
        raise InputError("--base is for --adapter-gguf.", "A merge is into the base that was tuned.")
    tell = listener(quiet or as_json)
    if adapter_gguf:
        result = merge_adapter(run, out, base=base, on_event=tell)
    else:
        result = work(run, out, gguf=not no_gguf, on_event=tell)
    if as_json:
        print_json(result.summary())
        return
    done = "as an adapter" if adapter_gguf else "merged"
    print(f"{result.step.run.id}  {result.step.result['method']} on {result.step.result['base']}, {done}")
    print(f"  folder           {result.step.folder if adapter_gguf else result.step.folder / 'model'}")
    print_merged(result)
    if not out:
        flag = " --adapter-gguf" if adapter_gguf else ""
        print(f"  next             linnet merge {run}{flag} --out NAME")
