"""`linnet ps`: what the running server has loaded."""

from __future__ import annotations

from typing import Annotated

import typer


def ps(
    host: Annotated[str | None, typer.Option(help="Address of the server. Default: LINNET_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the server. Default: LINNET_PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Show the models that the server on this machine has loaded, with their memory and requests."""
    from linnet.cli.printing import plain, print_json
    from linnet.cli.serve import chosen_port
    from linnet.core import settings
    from linnet.http.client import call

    rows = call(host or settings.get("LINNET_HOST"), chosen_port(port), "GET", "/v1/ps")["data"]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("No model is loaded.")
        return
    names = [plain(", ".join(row["names"])) for row in rows]
    width = max(map(len, names)) + 2
    print(f"{'model':<{width}}{'state':<9}{'planned':>11}{'measured':>11}{'requests':>10}  ends")
    for name, row in zip(names, rows, strict=True):
        sizes = "".join(f"{row[which] / 1e6:>8.1f} MB" for which in ("planned_bytes", "measured_bytes"))
        ends = "-" if row["expires_s"] is None else f"in {row['expires_s']:.0f} s"
        print(f"{name:<{width}}{plain(row['state']):<9}{sizes}{row['requests']:>10}  {ends}")
