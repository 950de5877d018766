"""`linnet data`: look at examples before anything is built from them. Parses, calls, prints; decides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

app = typer.Typer(help="Look at examples before building from them.", no_args_is_help=True)

_SHOWN = 10


@app.callback()
def _data() -> None:
    """Look at examples before building from them."""


@app.command("check")
def check(
    file: Path = typer.Argument(help="The examples: CSV, TSV, JSONL, JSON or Parquet."),
    input_column: str | None = typer.Option(None, "--input", help="Column of the text. Guessed when not given."),
    output_column: str | None = typer.Option(None, "--output", help="Column of the label. Guessed when not given."),
    test: Path | None = typer.Option(None, "--test", help="A test file, to be compared with the examples."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole report as one JSON document."),
) -> None:
    """Check examples as `linnet build` would, and say what is in them. Exit code 2 when they cannot be used."""
    from linnet.cli.printing import listener, print_json
    from linnet.core.events import Event
    from linnet.stages import prepare

    show = listener(as_json)

    def progress_only(event: Event) -> None:
        # The report ends with the warnings; they are not said twice.
        if event.kind != "warning":
            show(event)

    report = prepare.check(file, input_column, output_column, test, on_event=progress_only)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from linnet.cli.printing import plain

    console = Console(highlight=False)

    def line(text: str) -> None:
        # Text keeps what users wrote from being read as markup.
        console.print(Text(plain(text)), soft_wrap=True)

    for entry in report["files"]:
        facts = f"{entry['format']}, {entry['encoding']}, {entry['rows']:,} rows, {entry['size_bytes']:,} bytes"
        line(f"{entry['role']}: {entry['name']} ({facts})")
        for note in entry["notes"]:
            line(f"  {note}")
    columns = report["columns"]
    line(f"input: {', '.join(columns['input'])}   output: {columns['output']}")
    rows, lengths = report["rows"], report["lengths"]
    line(
        f"rows: {rows['read']:,} read, {rows['kept']:,} kept, {rows['exact_duplicates']:,} exact and"
        f" {rows['near_duplicates']:,} near duplicates left out"
    )
    for what in ("words", "characters"):
        line(
            f"{what}: median {lengths[what]['p50']}, 95 % under {lengths[what]['p95'] + 1}, most {lengths[what]['max']}"
        )
    console.print(_labels_table(report))
    if report["label_suspects"]:
        console.print(_suspects_table(report))
    for warning in report["warnings"]:
        line(f"! {warning}")
    line("This data can be built from.")


def _labels_table(report: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from linnet.cli.printing import plain

    splits = report["splits"]
    table = Table("label", *splits, title="Rows of each label", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    totals = {label: sum(split["labels"].get(label, 0) for split in splits.values()) for label in _labels(report)}
    ordered = sorted(totals, key=lambda label: (-totals[label], label))
    for label in ordered[:_SHOWN]:
        table.add_row(Text(plain(label)), *(f"{split['labels'].get(label, 0):,}" for split in splits.values()))
    if rest := ordered[_SHOWN:]:
        counts = (sum(split["labels"].get(label, 0) for label in rest) for split in splits.values())
        table.add_row(f"{len(rest)} more labels", *(f"{count:,}" for count in counts), style="dim")
    table.add_section()
    table.add_row("all", *(f"{split['rows']:,}" for split in splits.values()))
    return table


def _labels(report: dict[str, Any]) -> set[str]:
    return {label for split in report["splits"].values() for label in split["labels"]}


def _suspects_table(report: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from linnet.cli.printing import plain

    suspects = report["label_suspects"]
    title = f"Labels to look at again ({min(_SHOWN, len(suspects))} of {len(suspects)} listed in the report)"
    table = Table("line", "label", "suggested", "sure", "text", title=title, title_justify="left")
    for suspect in suspects[:_SHOWN]:
        words = [Text(plain(suspect[key])) for key in ("label", "suggested", "text")]
        table.add_row(str(suspect["row"]), words[0], words[1], f"{suspect['probability']:.2f}", words[2])
    return table
