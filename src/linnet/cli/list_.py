"""`linnet list`: the specialists in the store."""

from __future__ import annotations

import typer


def list_(as_json: bool = typer.Option(False, "--json", help="Print one JSON line.")) -> None:
    """List the specialists in the store."""
    from linnet.cli.printing import print_json
    from linnet.core.store import Store

    store = Store()
    found = [store.find(f"{name}:{number}")[0] for name in store.names() for number in store.versions(name)]
    if as_json:
        print_json(
            [
                {
                    "name": s.full_name,
                    "kind": s.kind,
                    "metric": s.metric,
                    "size_bytes": s.footprint.size_bytes,
                    "created": s.created,
                }
                for s in found
            ]
        )
        return
    if not found:
        print("The store holds no specialist yet. Build one with: linnet build examples/support/task.toml")
        return
    width = max(len(s.full_name) for s in found) + 2
    print(f"{'name':<{width}}{'kind':<10}{'metric':<20}{'size':>9}  created")
    for s in found:
        metric = f"{s.metric['name']} {s.metric['value']:.4f}"
        print(f"{s.full_name:<{width}}{s.kind:<10}{metric:<20}{s.footprint.size_bytes / 1e6:>6.1f} MB  {s.created}")
