"""`linnet show`: one specialist or model, its numbers and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from linnet.core.records import Manifest
    from linnet.core.store import Store


def show(
    name: str = typer.Argument(..., help="The specialist (name or name:version) or model (name or name:tag)."),
    as_json: bool = typer.Option(False, "--json", help="Print its whole record as one JSON line."),
) -> None:
    """Show a specialist or a model: its numbers, licence, lineage, files; every file is checked against its hash."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.store import Store, verify_files

    if name.startswith("builtin:"):
        _show_builtin(name, as_json)
        return
    store = Store()
    if means_model(store, name):
        _show_model(store, name, as_json)
        return
    specialist, folder = store.find(name)
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


def _show_builtin(name: str, as_json: bool) -> None:
    """The model card of one of ours, or what is known of another's; its files are compared with their hashes."""
    from linnet.cli.printing import plain, print_json
    from linnet.formats.builtin import OURS, card
    from linnet.formats.resolve import builtin_model

    model = builtin_model(name)
    if as_json:
        print_json(model.to_json())
    elif name.startswith(OURS):
        print(plain(card(name)))
    else:
        print(f"{model.name}  {model.kind}, {model.format}, licence {plain(model.licence)}\n  source    {model.source}")
        print("\n".join(f"  file      {n}  sha256 {f.sha256[:16]}, as published" for n, f in model.files.items()))


def means_model(store: Store, name: str) -> bool:
    """Whether a name is a model's and no specialist's. Raises NameInvalid."""
    from linnet.core.models import model_names
    from linnet.core.names import split_tag

    bare, _ = split_tag(name)
    return not store.versions(bare) and any(known.startswith(f"{bare}:") for known in model_names(store))


def _show_model(store: Store, name: str, as_json: bool) -> None:
    from linnet.cli.printing import plain, print_json
    from linnet.core.models import read_manifest
    from linnet.formats.resolve import open_manifest, verify_bytes

    manifest = read_manifest(store, name)
    verify_bytes(store, manifest)
    model = open_manifest(store, manifest)
    if as_json:
        print_json(manifest.to_json() | {"full_name": manifest.full_name, "path": model.path, "digest": model.digest})
        return
    for line in _model_lines(manifest, model.path):
        print(plain(line))


def _model_lines(manifest: Manifest, path: str) -> list[str]:
    from linnet.formats.model_report import ModelReport

    report, source = ModelReport.model_validate(manifest.report), manifest.provenance
    what = ", ".join(filter(None, [manifest.kind, report.architecture, report.quantisation_name, manifest.format]))
    lines = [f"{manifest.full_name}  {what}; since {manifest.created}"]
    lines.append(f"  size      {manifest.size_bytes / 1e6:.1f} MB, {report.parameters / 1e6:.1f} million weights")
    mix = ", ".join(f"{kind} {s.tensors} tensors, {s.bytes / 1e6:.1f} MB" for kind, s in report.quantisation.items())
    lines += [f"  types     {mix}"] if mix else []
    lines.append(f"  reads     {manifest.max_tokens or 'an unstated number of'} tokens")
    lines.append(f"  licence   {manifest.licence}")
    lines.append(f"  source    {source.source}")
    if (preset := manifest.preset) is not None:
        from linnet.formats.modelfile import parameter_lines

        made = (
            ("system", preset.system),
            ("template", "its own" if preset.template else ""),
            ("adapter", preset.adapter),
        )
        lines.append(f"  made from {preset.base}")
        lines += [f"  {word:<10}{text}" for word, text in made if text]
        lines += [f"  parameter {name} {value}" for name, value in parameter_lines(preset.parameters)]
    if source.commit:
        lines.append(f"  commit    {source.commit}" + (f" ({source.revision})" if source.revision else ""))
    lines += [f"  url       {source.url}"] if source.url else []
    if report.template:
        state = "usable" if report.template.ok else f"refused: {report.template.refusal}"
        lines.append(f"  template  sha256 {report.template.sha256[:16]}, {state}")
    lines += [f"  warning   {sentence}" for sentence in report.suspicious]
    lines.append(f"  path      {path}")
    lines += [f"  file      {n}  {f.place}, sha256 {f.sha256[:16]}, as recorded" for n, f in manifest.files.items()]
    return lines
