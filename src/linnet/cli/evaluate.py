"""`linnet evaluate`: a finished specialist on a file of labelled examples, through the engine that serves it."""

from __future__ import annotations

from pathlib import Path

import typer


def evaluate(
    name: str = typer.Argument(..., help="The specialist: name or name:version."),
    file: Path = typer.Argument(..., help="A table with a text and a label in each row."),
    input_column: str = typer.Option("", "--input", help="Column of the text; guessed when not given."),
    output_column: str = typer.Option("", "--output", help="Column of the label; guessed when not given."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Measure a specialist on labelled examples: metrics with 95 % intervals, by class."""
    from linnet.cli.printing import plain, print_json
    from linnet.core.store import Store
    from linnet.stages.evaluate import evaluate_file

    evaluation, truncated = evaluate_file(Store(), name, file, input_column or None, output_column or None)
    if as_json:
        print_json(evaluation.to_json() | {"truncated": truncated})
        return
    print(f"{evaluation.candidate} on {evaluation.examples} examples of {file}")
    for what in ("macro_f1", "accuracy"):
        found = getattr(evaluation, what)
        print(f"  {what:<10}{found.value:.4f}  [{found.low:.4f}, {found.high:.4f}]")
    print(f"  expected calibration error {evaluation.expected_calibration_error:.4f}")
    if truncated:
        print(f"  {truncated} texts were longer than the specialist reads; only their start was read")
    width = max(len(label) for label in evaluation.labels) + 2
    print(f"\n  {'label':<{width}}{'precision':>10}{'recall':>8}{'f1':>8}{'support':>9}")
    for label, row in evaluation.per_class.items():
        shown = f"{row['precision']:>10.3f}{row['recall']:>8.3f}{row['f1']:>8.3f}{row['support']:>9.0f}"
        print(f"  {plain(label):<{width}}{shown}")
