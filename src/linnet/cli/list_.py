"""`linnet list`: the specialists and the models in the store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from linnet.core.records import Manifest, Specialist


def list_(as_json: bool = typer.Option(False, "--json", help="Print one JSON line.")) -> None:
    """List the specialists and the models in the store."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.models import scan_models
    from linnet.core.store import Store

    store = Store()
    found = [store.find(f"{name}:{number}")[0] for name in store.names() for number in store.versions(name)]
    models, damaged = scan_models(store)
    if as_json:
        print_json([*map(_specialist_row, found), *map(_model_row, models)])
        return
    if not found and not models and not damaged:
        print("The store holds nothing yet. Build a specialist: linnet build examples/support/task.toml")
        print("Or fetch or import a model: linnet pull hf:org/repo, linnet import PATH")
        return
    if found:
        width = max(len(s.full_name) for s in found) + 2
        print(f"{'specialist':<{width}}{'kind':<10}{'metric':<20}{'size':>9}  created")
        for s in found:
            metric = f"{s.metric['name']} {s.metric['value']:.4f}"
            size = f"{s.footprint.size_bytes / 1e6:>6.1f} MB"
            print(f"{s.full_name:<{width}}{s.kind:<10}{metric:<20}{size}  {s.created}")
    if models:
        width = max(len(m.full_name) for m in models) + 2
        print(f"{'model':<{width}}{'kind':<10}{'format':<13}{'licence':<16}{'size':>11}  created")
        for m in models:
            size, licence = f"{m.size_bytes / 1e6:>8.1f} MB", plain(m.licence)[:14]
            print(f"{m.full_name:<{width}}{m.kind:<10}{m.format:<13}{licence:<16}{size}  {m.created}")
    for name in damaged:
        print(f"{name}: its manifest is damaged; remove it with: linnet rm {name}", file=sys.stderr)


def _specialist_row(s: Specialist) -> dict[str, Any]:
    return {
        "name": s.full_name,
        "type": "specialist",
        "kind": s.kind,
        "metric": s.metric,
        "size_bytes": s.footprint.size_bytes,
        "created": s.created,
    }


def _model_row(m: Manifest) -> dict[str, Any]:
    return {
        "name": m.full_name,
        "type": "model",
        "kind": m.kind,
        "format": m.format,
        "licence": m.licence,
        "source": m.provenance.source,
        "size_bytes": m.size_bytes,
        "created": m.created,
    }
