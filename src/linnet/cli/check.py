"""`linnet check`: what a model file is, and whether it is safe to open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linnet.formats.model_report import ModelReport


def check(
    file: Path = typer.Argument(..., help="A .gguf file (the first part of a set), .safetensors file, or folder."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Read a model file's header, compare it with the rules of its format, and show what it holds.

    Exit code 1: the file breaks a rule, or its chat template may not be used.
    """
    from linnet.cli.printing import plain, print_json
    from linnet.formats.model_check import check_model, require_template

    report = check_model(file)
    if as_json:
        print_json(report.to_json())
    else:
        for name, value in _lines(report):
            print(plain(f"{name:<13}{value}".rstrip()))
    require_template(report, str(file))


def _lines(report: ModelReport) -> Iterator[tuple[str, str]]:
    """A name of at most twelve letters and its value; what the file does not state has no line."""
    kind = "" if report.kind == "model" else f" ({report.kind})"
    yield "format", report.format + kind
    yield "architecture", report.architecture or "not stated"
    yield "name", report.name or "not stated"
    yield "licence", report.licence or "not stated"
    yield "size", f"{report.file_bytes / 1e6:,.1f} MB in {_count(len(report.parts), 'file')}"
    yield "parameters", f"{report.parameters:,}"
    mix = ", ".join(
        f"{share.tensors} {name} ({share.bytes / 1e6:,.1f} MB)" for name, share in report.quantisation.items()
    )
    yield "weights", f"{report.quantisation_name}: {mix}" if mix else "none"
    sizes = {
        name.replace("_", " "): value for name, value in report.hyper_parameters.to_json().items() if value is not None
    }
    for number, (name, value) in enumerate(sizes.items()):
        yield "" if number else "sizes", f"{name} {value:,.6g}" if isinstance(value, float) else f"{name} {value:,}"
    if report.tokenizer:
        kinds = " ".join(filter(None, (report.tokenizer.model, report.tokenizer.pre)))
        special = ", ".join(f"{name} {number}" for name, number in report.tokenizer.special_ids.items())
        yield (
            "tokenizer",
            f"{kinds or 'unnamed'}, {report.tokenizer.size:,} tokens" + (f"; {special}" if special else ""),
        )
    if report.template:
        yield "template", f"{report.template.length:,} bytes, " + ("may be used" if report.template.ok else "refused")
    for name, value in report.hashes.items():
        yield "sha256", f"{value} {name}"
    for number, sentence in enumerate(report.suspicious):
        yield "" if number else "note", sentence
    if report.ignored:
        yield "ignored", ", ".join(report.ignored)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
