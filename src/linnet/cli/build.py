"""`linnet build`: from task.toml to a specialist."""

from __future__ import annotations

from pathlib import Path

import typer


def build(
    task: Path = typer.Argument(..., help="The task.toml, or the folder it lies in."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line on standard output, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Build a specialist from examples: prepare, tune, quantize, evaluate, choose, pack.

    What is already done is reused. An interrupted build goes on where it stopped.
    """
    from linnet.cli.printing import listener, plain, print_json
    from linnet.pipeline.build import build as run

    result = run(task, on_event=listener(quiet or as_json))
    if as_json:
        print_json(result.summary())
        return
    metric, base = result.specialist.metric, result.specialist.baseline
    low, high = metric["ci95"]
    print()
    print(
        f"{result.specialist.full_name}  {metric['name']} {metric['value']:.4f} [{low:.4f}, {high:.4f}] on the test set"
    )
    print(f"  baseline  {base['name']} {base['value']:.4f}")
    print(f"  chosen    {result.choice.candidate}: {plain(result.choice.reason)}")
    for warning in result.choice.warnings:
        print(f"  warning   {plain(warning)}")
    print(f"  report    {result.report_path}")
    print(f"  seconds   {result.seconds:.1f}{' (nothing had changed)' if result.reused else ''}")
