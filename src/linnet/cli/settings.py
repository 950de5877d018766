"""`linnet settings`: every setting, its value, and where that comes from."""

from __future__ import annotations

import typer


def settings(as_json: bool = typer.Option(False, "--json", help="Print one JSON line.")) -> None:
    """Print every setting with its value, its source and what it means."""
    from dataclasses import asdict

    from linnet.cli.printing import print_json
    from linnet.core.settings import table

    rows = table()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    width = max(len(row.name) for row in rows) + 2
    for row in rows:
        print(f"{row.name:<{width}}{row.value or '(unset)'}  [{row.source}]")
        print(f"{'':<{width}}{row.meaning}")
