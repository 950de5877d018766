"""`linnet show`: one specialist, its numbers and where it came from."""

from __future__ import annotations

import typer


def show(
    name: str = typer.Argument(..., help="The specialist: name or name:version."),
    as_json: bool = typer.Option(False, "--json", help="Print its whole record as one JSON line."),
) -> None:
    """Show a specialist: metric, cost, labels, lineage, files; every file is checked against its hash."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.store import Store, verify_files

    specialist, folder = Store().find(name)
    verify_files(folder, specialist.files)
    if as_json:
        print_json(specialist.to_json() | {"folder": str(folder)})
        return
    metric, cost = specialist.metric, specialist.footprint
    low, high = metric["ci95"]
    print(f"{specialist.full_name}  {specialist.kind}, {specialist.candidate}, built {specialist.created}")
    print(f"  {metric['name']:<10}{metric['value']:.4f}  [{low:.4f}, {high:.4f}] on the test set")
    print(f"  baseline  {specialist.baseline['value']:.4f}  {specialist.baseline['name']}")
    print(f"  size      {cost.size_bytes / 1e6:.1f} MB, peak memory {cost.peak_memory_bytes / 1e6:.0f} MB")
    print(
        f"  latency   p50 {cost.latency_ms_p50:.2f} ms, p95 {cost.latency_ms_p95:.2f} ms on the machine it was built on"
    )
    print(f"  labels    {plain(', '.join(specialist.decision.labels))}")
    print(f"  licence   {plain(specialist.licence)}")
    base = specialist.lineage["base"]
    print(f"  base      {plain(base['name'])}, sha256 {base['sha256'][:16]}")
    print(f"  dataset   {specialist.lineage['dataset'][:16]}, code {specialist.lineage['code_version']}")
    print(f"  report    {folder / 'report.html'}")
    print(f"  files     {len(specialist.files)}, all as recorded")
