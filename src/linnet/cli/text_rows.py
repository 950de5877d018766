"""Texts as commands take them: from the command line, one a line, or a column of a table; each with its place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.cli.printing import plain
from linnet.core.errors import InputError, did_you_mean, os_errors

if TYPE_CHECKING:
    from linnet.formats.lines import Lines

BATCH = 256
TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Row:
    """One text, and where it came from, for messages."""

    place: str
    text: str


def text_batches(text: list[str] | None, file: str, column: str | None) -> Iterator[list[Row]]:
    """The rows, by the batch, of texts that were given or of a file. Raises InputError for both, and for no text."""
    if text and file != "-":
        raise InputError("Both --text and a file were given.", "Give one of them.")
    found = 0
    for batch in _batches(_given(text) if text else _read(file, column)):
        yield batch
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
        raise InputError(f"{place}: the text is empty.", "Remove it: there is nothing to read.")
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


def one_line(text: str) -> str:
    return plain(text).replace("\n", "\\n")
