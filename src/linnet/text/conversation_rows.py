"""Rows whose values may be lists and objects, as chats have them: CSV, JSON Lines, JSON, Parquet, folders that the
library `datasets` saved, and plain text.

Every row is numbered as its file counts: lines, items of an array, rows or files. Knows nothing of what a row means.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError, did_you_mean, os_errors
from linnet.core.files import sha256_file
from linnet.formats import plain_text
from linnet.formats.datasets_folder import is_dataset, read_dataset
from linnet.formats.json_rows import MAX_JSON_BYTES, parse_nested
from linnet.formats.lines import BOM, Lines, decode
from linnet.formats.parquet import read_nested_parquet
from linnet.formats.parsed import check_text
from linnet.formats.tables import read_table, table_format


class Number(float):
    """A number with a point, and how it was written."""

    written: str = ""


@dataclass(frozen=True, slots=True)
class RawRows:
    """The rows of a file. `unit` is what `numbers` count: line, item, row or file; `names` are those of the files."""

    path: Path
    format: str
    unit: str
    rows: list[dict[str, Any]]
    numbers: list[int]
    sha256: str
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def where(self, index: int) -> str:
        """'a.jsonl, line 7', for messages."""
        return f"{self.path.name}, {self.names[index] if self.names else f'{self.unit} {self.numbers[index]}'}"


def check_column(rows: RawRows, column: str) -> None:
    """Raise DataError for a column that no row has, with the nearest."""
    known = list({key: None for row in rows.rows for key in row})
    if column not in known:
        raise DataError(
            f"{rows.path.name}: there is no column {column!r}.{did_you_mean(column, known)}",
            f"Its columns are: {', '.join(map(repr, known))[:500]}.",
        )


def read_rows(path: Path, *, split: str = "", plain: str = "") -> RawRows:
    """Every row of a file, or of a folder: a saved dataset (`split` names one of several) or .txt files.

    `plain` says what a row of a .txt file is: "paragraphs", "documents", or, where empty, the first for a file and the
    second for a folder; "no" reads a .txt file as a table. Raises NotFound, or DataError that names the file and the
    row; InputError for a split that is not there; ResourceMissing.
    """
    if path.is_dir() and is_dataset(path):
        return _dataset(path, split)
    if split:
        raise InputError(f"--split {split}: {path.name} is no folder of a saved dataset.", "Leave it out.")
    if path.is_dir():
        return _documents(path, plain)
    kind = table_format(path)
    if kind == "csv" and path.suffix.lower() == plain_text.SUFFIX and plain != "no":
        return _text_file(path, plain)
    if kind in ("csv", "tsv"):
        table = read_table(path)
        return RawRows(path, table.format, "line", list(table.rows), table.row_numbers, table.sha256, table.notes)
    notes: list[str] = []
    if kind == "jsonl":
        rows, numbers = _json_lines(path, notes)
    else:
        rows = read_nested_parquet(path) if kind == "parquet" else _json_array(path, notes)
        numbers = list(range(1, len(rows) + 1))
    if not rows:
        raise DataError(f"{path}: the file holds no rows.", "Put examples into it.")
    unit = {"jsonl": "line", "json": "item"}.get(kind, "row")
    return RawRows(path, kind, unit, rows, numbers, sha256_file(path), notes)


def _dataset(path: Path, split: str) -> RawRows:
    rows, notes, sha256 = read_dataset(path, split)
    if not rows:
        raise DataError(f"{path}: the dataset holds no rows.", "Put examples into it.")
    return RawRows(path, "datasets", "row", rows, list(range(1, len(rows) + 1)), sha256, notes)


def _text_file(path: Path, plain: str) -> RawRows:
    whole = plain_text.read_text(path)
    found = [(1, whole)] if plain == "documents" else list(plain_text.paragraphs(whole))
    if not whole.strip():
        raise DataError(f"{path}: the file is empty.", "Put text into it.")
    rows: list[dict[str, Any]] = [{"text": text} for _, text in found]
    note = "one document" if plain == "documents" else "each paragraph is a row"
    return RawRows(path, "text", "line", rows, [number for number, _ in found], sha256_file(path), [note])


def _documents(path: Path, plain: str) -> RawRows:
    files, texts, notes = plain_text.read_documents(path)
    rows: list[dict[str, Any]] = []
    names = []
    for file, text in zip(files, texts, strict=True):
        found = plain_text.paragraphs(text) if plain == "paragraphs" else [(1, text)]
        for line, part in found:
            rows.append({"text": part})
            names.append(f"{file.name}, line {line}" if plain == "paragraphs" else file.name)
    unit = "paragraph" if plain == "paragraphs" else "file"
    notes = [f"{len(files)} {plain_text.SUFFIX} files; each {unit} is a row", *notes]
    return RawRows(path, "text", unit, rows, list(range(1, len(rows) + 1)), plain_text.digest(files), notes, names)


def text_of(value: Any, where: str) -> str:
    """A value as a text: as it was written; lists and objects as JSON. Raises DataError for what has no text."""
    if isinstance(value, str):
        return check_text(value, where)
    if isinstance(value, Number):
        return value.written
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {type(value).__name__} cannot be written as text.", "Write it as text.") from error


def parsed_if_text(value: Any, where: str) -> Any:
    """A list or object that a table holds as JSON text. Raises DataError for a text that is none."""
    return parse_nested(value, where) if isinstance(value, str) else value


def _number(text: str) -> Number:
    found = Number(text)
    if not math.isfinite(found):
        raise ValueError(f"the number {text[:40]} is too large")
    found.written = text
    return found


def _json_lines(path: Path, notes: list[str]) -> tuple[list[dict[str, Any]], list[int]]:
    rows, numbers, blank = [], [], 0
    with os_errors(path, "Reading"), path.open("rb") as handle:
        lines = Lines(path, handle)
        for text in lines:
            if not text.strip():
                blank += 1
                continue
            where = f"{path.name}, line {lines.number}"
            rows.append(_object(parse_nested(text, where, _number), where))
            numbers.append(lines.number)
    if blank:
        notes.append(f"{blank} blank {'line' if blank == 1 else 'lines'} passed over")
    return rows, numbers


def _json_array(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    with os_errors(path, "Reading"):
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(f"{path}: a JSON file over {MAX_JSON_BYTES >> 20} MiB.", "Write it as JSON Lines instead.")
        data = path.read_bytes()
    body = data.removeprefix(BOM)
    value = parse_nested(decode(body, path, 1, len(data) - len(body)), path.name, _number)
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        if others := [key for key in value if key != "data"]:
            notes.append(f'keys beside "data" passed over: {", ".join(others)[:200]}')
        value = value["data"]
    if not isinstance(value, list):
        raise DataError(f"{path}: the JSON is no array of objects.", "Write [{...}, {...}], or one object a line.")
    return [_object(item, f"{path.name}, item {number}") for number, item in enumerate(value, 1)]


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise DataError(f"{where}: each row must be a JSON object with keys.", "Correct the row, or remove it.")
    return value
