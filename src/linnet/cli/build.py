"""`linnet build`: from task.toml to a specialist."""

from __future__ import annotations

from pathlib import Path

import typer


def build(
    task: Path = typer.Argument(..., help="The task.toml, or the folder it lies in."),
    until: str = typer.Option("", "--until", help="Stop after this stage, such as prepare or evaluate."),
    *,
    reference: str = typer.Option("", "--reference", help="A model shown beside the candidates; needs --endpoint."),
    endpoint: str = typer.Option("", "--endpoint", help="Its OpenAI-compatible address."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print the plan with minutes and disk, and build nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line on standard output, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Build a specialist from examples: prepare, tune, quantize, evaluate, choose, pack.

    What is already done is reused. An interrupted build goes on where it stopped.
    """
    from linnet.cli.printing import listener, plain, print_json

    if dry_run:
        _plan(task, as_json=as_json, quiet=quiet)
        return
    from linnet.core.task import read_task, with_reference
    from linnet.pipeline.build import BuildResult, build_until

    wanted = with_reference(read_task(task), reference, endpoint)
    result = build_until(wanted, until, on_event=listener(quiet or as_json))
    if as_json:
        print_json(result.summary())
        return
    if not isinstance(result, BuildResult):
        for key, value in result.summary().items():
            print(f"{key:<14}{plain(str(value))}")
        return
    metric, base = result.specialist.metric, result.specialist.baseline
    low, high = metric["ci95"]
    print()
    print(
        f"{result.specialist.full_name}  {metric['name']} {metric['value']:.4f} [{low:.4f}, {high:.4f}] on the test set"
    )
    if base:
        print(f"  baseline  {plain(base['name'])} {base['value']:.4f}")
    print(f"  chosen    {result.choice.candidate}: {plain(result.choice.reason)}")
    if len(result.choice.front) > 1:
        print(f"  front     {plain(', '.join(result.choice.front))}")
    for warning in result.choice.warnings:
        print(f"  warning   {plain(warning)}")
    print(f"  report    {result.report_path}")
    print(f"  seconds   {result.seconds:.1f}{' (nothing had changed)' if result.reused else ''}")


def _plan(task: Path, *, as_json: bool, quiet: bool) -> None:
    from linnet.cli.printing import listener, plain, print_json
    from linnet.pipeline.build_plan import plan_build

    found = plan_build(task, on_event=listener(quiet or as_json))
    if as_json:
        print_json(found.to_json() | {"seconds": round(found.seconds, 1), "disk_bytes": found.disk_bytes})
        return
    for name, why in found.excluded.items():
        print(f"  left out  {plain(name)}: {plain(why)}")
    for one in found.stages:
        size = f"{one.disk_bytes / 1e6:>9.1f} MB" if one.disk_bytes else " " * 12
        print(f"  {one.stage:<9}{one.seconds / 60:>8.1f} min{size}  {plain(one.what)}")
    print(f"  {'together':<9}{found.seconds / 60:>8.1f} min{found.disk_bytes / 1e6:>9.1f} MB  forecast, not a promise")
