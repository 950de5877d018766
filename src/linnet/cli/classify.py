"""`linnet classify`: label texts from a file, a pipe or the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.printing import plain, print_json
from linnet.core.errors import InputError, did_you_mean, os_errors

if TYPE_CHECKING:
    from linnet.formats.lines import Lines
    from linnet.stages.serve import Specialists

BATCH = 256
TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Row:
    """One text, and where it came from, for messages."""

    place: str
    text: str


def classify(
    name: Annotated[str, typer.Argument(help="Specialist: name (its newest version) or name:version.")],
    file: Annotated[str, typer.Argument(help="One text a line, or a table; - is standard input.")] = "-",
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given again.")] = None,
    column: Annotated[str | None, typer.Option(help='Column of a table, or a template: "{subject} {body}".')] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Read only the start of texts that are too long.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with every probability.")] = False,
) -> None:
    """Print the label, its probability and the text, one line each.

    An empty line, and a text that is too long, end the run with the number of its line.
    """
    from linnet.core.store import Store
    from linnet.stages.serve import Specialists

    if text and file != "-":
        raise InputError("Both --text and a file were given.", "Give one of them.")
    specialists = Specialists(Store())
    model = specialists.find(name).full_name  # one version for the whole run, whatever is built meanwhile
    rows = _given(text) if text else _read(file, column)
    found = 0
    for batch in _batches(rows):
        _print_batch(specialists, model, batch, truncate=truncate, as_json=as_json)
        found += len(batch)
    if not found:
        raise InputError(f"{_shown(file)} holds no text.", "Write one text a line.")


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file


def _given(texts: list[str]) -> Iterator[Row]:
    for number, text in enumerate(texts, 1):
        yield _checked(f"--text number {number}", text)


def _read(file: str, column: str | None) -> Iterator[Row]:
    if Path(file).suffix.lower() in TABLES:
        yield from _read_table(Path(file), column)
        return
    if column is not None:
        raise InputError(f"--column needs a table ({', '.join(TABLES)}); {_shown(file)} is read line by line.")
    from linnet.formats.lines import Lines

    if file == "-":
        if sys.stdin.isatty():
            print("reading standard input, one text a line; Ctrl-D ends it", file=sys.stderr)
        yield from _lines(Lines(Path(_shown(file)), sys.stdin.buffer))
        return
    with os_errors(Path(file), "Reading"), Path(file).open("rb") as handle:
        yield from _lines(Lines(Path(file), handle))


def _lines(lines: Lines) -> Iterator[Row]:
    for line in lines:
        yield _checked(f"{lines.path}, line {lines.number}", line.rstrip("\r\n"))


def _read_table(path: Path, column: str | None) -> Iterator[Row]:
    from linnet.core.task import fill_template, template_columns
    from linnet.formats.tables import read_table

    table = read_table(path)
    if column is None and len(table.columns) > 1:
        raise InputError(f"{path} has several columns: {', '.join(table.columns)}.", "Name one with --column.")
    chosen = column or table.columns[0]
    for wanted in template_columns(chosen):
        if wanted not in table.columns:
            near = did_you_mean(wanted, table.columns)
            raise InputError(f"{path} has no column {wanted!r}.{near}", f"It has: {', '.join(table.columns)}.")
    for number, row in zip(table.row_numbers, table.rows, strict=True):
        yield _checked(f"{path}, line {number}", fill_template(chosen, row))


def _checked(place: str, text: str) -> Row:
    from linnet.stages.serve import MAX_CHARACTERS

    if not text.strip():
        raise InputError(f"{place}: the text is empty.", "Remove it: there is nothing to classify.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{place}: the text has {len(text)} characters; the limit is {MAX_CHARACTERS}.")
    return Row(place, text)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Rows by the batch. What was read before a wrong row is still handed over, then the error goes on."""
    batch: list[Row] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except InputError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _print_batch(specialists: Specialists, model: str, batch: list[Row], *, truncate: bool, as_json: bool) -> None:
    from linnet.stages.serve import TextTooLong

    try:
        found = specialists.classify(model, [row.text for row in batch], truncate=truncate)
    except TextTooLong as error:
        if error.index:  # the texts before it are answered first, as they are when a row cannot be read
            _print_batch(specialists, model, batch[: error.index], truncate=truncate, as_json=as_json)
        raise InputError(
            f"{batch[error.index].place}: the text has {error.tokens} tokens; {model} reads at most {error.limit}.",
            "Shorten it, or use --truncate: then only its start is read.",
        ) from error
    cut = set(found.truncated)
    for index, (row, answer) in enumerate(zip(batch, found.answers, strict=True)):
        if as_json:
            line = {"text": row.text, "label": answer.label, "probability": answer.probability}
            print_json({**line, "probabilities": answer.probabilities, "truncated": index in cut})
        else:
            label = _one_line(answer.label).replace("\t", "\\t")
            print(f"{label}\t{answer.probability:.4f}\t{_one_line(row.text)}")
    sys.stdout.flush()
    for index in found.truncated:
        print(f"note: {batch[index].place}: longer than {model} reads; cut", file=sys.stderr)


def _one_line(text: str) -> str:
    return plain(text).replace("\n", "\\n")
