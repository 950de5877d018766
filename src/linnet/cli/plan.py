"""`linnet plan`: memory, disk, time and speed of a model on this machine, before anything happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from linnet.stages.plan import Planned

GIB, MIB = 1 << 30, 1 << 20


def plan(
    model: str = typer.Argument(..., help="A name of `linnet list`, a GGUF, or a Hugging Face folder."),
    *,
    purpose: str = typer.Option("run", "--for", help="run, serve, tune or quantize."),
    context: int = typer.Option(0, min=0, help="Tokens of a prompt and its answer; for tune: of the longest row."),
    parallel: int = typer.Option(0, min=0, help="Requests at once."),
    kind: str = typer.Option("", "--type", "-t", help="Plan with this type, such as Q4_K_M, not the model's own."),
    cache_type: str = typer.Option("f16", help="Type of the cache of keys and values: f16, q8_0 ..."),
    draft: str = typer.Option("", help="A smaller model of the same vocabulary that guesses tokens."),
    gpu_layers: int = typer.Option(0, min=0, help="Layers on a GPU."),
    method: str = typer.Option("", help="For tune: lora or full."),
    quantize: str = typer.Option("", help="For tune: hold the base as nf4 or int8."),
    rows: int = typer.Option(1000, min=2, help="For tune: rows of the data."),
    row_tokens: int = typer.Option(256, min=1, help="For tune: tokens of a row, on average."),
    again: bool = typer.Option(False, "--again", help="Measure this machine anew (some seconds)."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Say what a model will take on this machine, and why. Loads, writes and trains nothing.

    Exit code 1: it does not fit.
    """
    from linnet.cli.printing import print_json
    from linnet.core.store import Store
    from linnet.stages import plan as stage

    options = stage.PlanOptions(
        context=context, parallel=parallel, kind=kind, cache_type=cache_type, draft=draft, gpu_layers=gpu_layers,
        method=method, quantization=quantize, rows=rows, row_tokens=row_tokens, again=again,
    )  # fmt: skip
    found = stage.plan(Store(), model, purpose, options)  # type: ignore[arg-type]
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    raise typer.Exit(0 if found.fits else 1)


def _print(found: Planned) -> None:
    from linnet.cli.printing import plain

    parts = ", ".join(f"{name} {size / MIB:,.0f}" for name, size in found.parts.items() if size)
    free = f"{found.memory_free_bytes / MIB:,.0f} MiB free"
    rows = [("memory", f"{found.memory_bytes / MIB:,.0f} MiB ({parts}); {free}")]
    if found.device_bytes:
        rows.append(("gpu memory", f"{found.device_bytes / MIB:,.0f} MiB"))
    if found.disk_bytes:
        rows.append(("disk", f"{found.disk_bytes / MIB:,.0f} MiB; {found.disk_free_bytes / MIB:,.0f} MiB free"))
    if found.seconds:
        rows.append(("time", _time(found.seconds)))
    if found.decode:
        rows.append(("speed", f"{found.prefill:,.0f} tokens/s of a prompt, {found.decode:,.1f} tokens/s of an answer"))
        if found.together > found.decode:
            rows.append(("", f"{found.together:,.1f} tokens/s of all answers together"))
    print(plain(f"{found.model} for {found.purpose}: " + ("fits" if found.fits else "does not fit")))
    for name, value in rows:
        print(plain(f"  {name:<11}{value}"))
    if found.instead:
        print(plain(f"  {'instead':<11}{found.instead}"))
    for number, line in enumerate(found.reasons):
        print(plain(f"  {'' if number else 'because':<11}{line}"))
    past = [f"{kind} {error:.0%}" for kind, error in found.past_errors.items() if error is not None]
    print(f"  {'past error':<11}{', '.join(past) or 'nothing was compared on this machine yet'}")


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
