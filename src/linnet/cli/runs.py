"""`linnet runs`: what was trained and made, how it went, and going on with what was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from linnet.core.runs import RunView

app = typer.Typer(help="List, show, resume and compare runs.", no_args_is_help=True)


@app.command("list")
def list_(
    stage: str = typer.Option("", help="Only runs of this stage, for example tune."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """List the runs of the store, the oldest first, with those that were interrupted."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.runs import list_runs
    from linnet.core.store import Store
    from linnet.pipeline.run_report import row

    rows = [row(view) for view in list_runs(Store(), stage)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("No run is in the store yet. Start one with: linnet tune --data FILE")
        return
    width = max(len(found["id"]) for found in rows) + 2
    print(f"{'run':<{width}}{'state':<9}{'seconds':>9}  {'about':<34}created")
    for found in rows:
        took = f"{found['seconds']:.1f}" if found["seconds"] is not None else "-"
        about = plain(found["about"]) or "-"
        if found["step"] is not None:
            about += f", step {found['step']}"
        print(f"{found['id']:<{width}}{found['state']:<9}{took:>9}  {about:<34}{found['created'] or '-'}")


@app.command("show")
def show(
    run: str = typer.Argument(..., help="The run, or the beginning of its id."),
    html: Path | None = typer.Option(None, "--html", help="Write a page with the curve to this file."),
    as_json: bool = typer.Option(False, "--json", help="Print its record and its curve as one JSON line."),
) -> None:
    """Show a run: what it was made of, its curve in the terminal, or as a page that opens anywhere."""
    from linnet.cli.printing import print_json
    from linnet.core.files import write_bytes
    from linnet.core.runs import find_run, read_log
    from linnet.core.store import Store

    view = find_run(Store(), run)
    if html is not None:
        from linnet.pipeline.run_page import render

        write_bytes(html.absolute(), render(view).encode())
    if as_json:
        record = view.run.to_json() if view.run else None
        found = {"id": view.id, "state": view.state, "folder": str(view.folder), "request": view.request}
        print_json({**found, "record": record, "log": read_log(view.folder)})
        return
    _print(view)
    if html is not None:
        print(f"  page      {html}")


def _print(view: RunView) -> None:
    from linnet.cli.curve import curve_lines
    from linnet.cli.printing import plain
    from linnet.pipeline import run_report

    facts = run_report.row(view)
    print(f"{view.id}  {view.state}{', ' + plain(facts['about']) if facts['about'] else ''}")
    print(f"  folder    {view.folder}")
    if view.created:
        took = f", {view.run.seconds:.1f} s" if view.run else ""
        print(f"  made      {view.created}{took}")
    for key, value in _small(view.run.result if view.run else {}):
        print(f"  {key:<26}{plain(str(value))}")
    for text in curve_lines(run_report.curves(view)):
        print(text)
    for entry in run_report.epochs(view):
        kept = view.run is not None and entry["epoch"] == view.run.result.get("best_epoch")
        losses = f"training loss {entry['train_loss']:.4f}, held out {entry['validation_loss']:.4f}"
        print(f"  epoch {entry['epoch']:<4}{losses}{'  (kept)' if kept else ''}")
    if view.state == "stopped" and view.request:
        print(f"  next      linnet runs resume {view.id}")


def _small(result: dict[str, Any]) -> list[tuple[str, Any]]:
    """The results that fit on a line."""
    flat = [(key, value) for key, value in result.items() if isinstance(value, str | int | float)]
    return [(key.replace("_", " "), value) for key, value in flat]


@app.command("resume")
def resume(
    run: str = typer.Argument(..., help="The run, or the beginning of its id."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Go on with an interrupted training, to the same result as if it had never stopped."""
    from linnet.cli.printing import print_json
    from linnet.cli.tune_output import live, print_result
    from linnet.pipeline.tune import resume as work

    result = work(run, on_event=live(quiet or as_json))
    if as_json:
        print_json(result.summary())
        return
    print_result(result)


@app.command("compare")
def compare(
    runs: list[str] = typer.Argument(..., help="Two or more finished runs of tune."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Put trainings side by side: which settings differ, and what came out. Says when losses mean different things."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.runs import find_run
    from linnet.core.store import Store
    from linnet.pipeline import run_report

    store = Store()
    views = [find_run(store, name, "tune") for name in runs]
    found = run_report.compare(views)
    if as_json:
        print_json(found)
        return
    width = max(27, *(len(name) + 2 for name in found["runs"]))
    print(f"{'':<28}" + "".join(f"{name:>{width}}" for name in found["runs"]))
    for title, part in (("settings that differ", found["differ"]), ("results", found["results"])):
        if part:
            print(title)
        for key, values in part.items():
            shown = "".join(f"{_cell(value):>{width}}" for value in values)
            print(f"  {key.replace('_', ' '):<26}{plain(shown)}")
    for problem in found["problems"]:
        print(f"! {problem}")


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
