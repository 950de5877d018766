"""Tables of people: CSV, TSV, JSON Lines, JSON and Parquet, each told by its content and its name.

The one door to tabular data. A row is a mapping from column to text; what a column means is not known here.
Nothing is repaired or passed over without a note; what cannot be read exactly is refused with its line.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from linnet.core.errors import DataError, os_errors
from linnet.core.files import sha256_bytes, sha256_file
from linnet.formats.delimited import DELIMITER_NAMES, read_delimited, recognise_delimiter
from linnet.formats.json_rows import MAX_JSON_BYTES, read_json, read_jsonl
from linnet.formats.lines import BOM, Lines
from linnet.formats.parquet import read_parquet
from linnet.formats.parsed import Parsed

_HEAD_BYTES = 1 << 16
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# What people hand over by mistake, told by its first bytes: (bytes, what it is, what to do).
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive or an Excel file", "Save the sheet as CSV (UTF-8)."),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", "Save the sheet as CSV (UTF-8)."),
    (b"\x1f\x8b", "compressed with gzip", "Unpack it first: gunzip FILE."),
    (b"\xfd7zXZ", "compressed with xz", "Unpack it first: unxz FILE."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it first: unzstd FILE."),
    (b"BZh", "compressed with bzip2", "Unpack it first: bunzip2 FILE."),
    (b"%PDF-", "a PDF", "Save the table as CSV (UTF-8)."),
)
# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table in memory. `row_numbers` are the lines where records start (items, from 1, in JSON and Parquet).

    `format` is csv, tsv, jsonl, json or parquet. `delimiter` is empty where there is none.
    """

    path: Path
    format: str
    encoding: str
    delimiter: str
    columns: list[str]
    rows: list[dict[str, str]]
    row_numbers: list[int]
    sha256: str
    size_bytes: int
    notes: list[str]


def read_table(path: Path) -> Table:
    """Read a table, recognising its format.

    Raises NotFound, or DataError that names the file, the line and what to do, for anything that is not a
    well-formed table of text; ResourceMissing when the library for Parquet is absent.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file.", "Name one file: CSV, TSV, JSONL, JSON or Parquet.")
    with os_errors(path, "Reading"), path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
        handle.seek(0)
        _refuse_foreign(path, head)
        kind = _recognise(path, head)
        if kind == "parquet":
            return _table(path, kind, read_parquet(path), sha256_file(path), path.stat().st_size, encoding="binary")
        if kind == "json":
            return _json_table(path, handle)
        return _lines_table(path, handle, kind, head)


def table_format(path: Path) -> str:
    """csv, tsv, jsonl, json or parquet, told as `read_table` tells it. Raises NotFound, or DataError for others."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file.", "Name one file: CSV, TSV, JSONL, JSON or Parquet.")
    with os_errors(path, "Reading"), path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    _refuse_foreign(path, head)
    return _recognise(path, head)


def _json_table(path: Path, handle: BinaryIO) -> Table:
    if os.fstat(handle.fileno()).st_size > MAX_JSON_BYTES:
        raise DataError(f"{path}: a JSON file over {MAX_JSON_BYTES >> 20} MiB.", "Write it as JSON Lines instead.")
    data = handle.read(MAX_JSON_BYTES)
    parsed = read_json(path, data)
    encoding = "utf-8-sig" if data.startswith(BOM) else "utf-8"
    return _table(path, "json", parsed, sha256_bytes(data), len(data), encoding=encoding)


def _lines_table(path: Path, handle: BinaryIO, kind: str, head: bytes) -> Table:
    lines = Lines(path, handle)
    delimiter = ""
    if kind == "jsonl":
        parsed = read_jsonl(lines)
    else:
        sample = head.removeprefix(BOM).decode(errors="replace")
        if len(head) == _HEAD_BYTES:
            sample = sample.rpartition("\n")[0]
        delimiter = recognise_delimiter(sample, "\t" if kind == "tsv" else None)
        parsed = read_delimited(lines, delimiter)
        kind = "tsv" if delimiter == "\t" else "csv"
    encoding = "utf-8-sig" if lines.bom else "utf-8"
    return _table(path, kind, parsed, lines.sha256, lines.size_bytes, encoding=encoding, delimiter=delimiter)


def _table(
    path: Path,
    kind: str,
    parsed: Parsed,
    sha256: str,
    size_bytes: int,
    *,
    encoding: str,
    delimiter: str = "",
) -> Table:
    if not parsed.rows:
        raise DataError(
            f"{path}: the file has {len(parsed.columns)} columns ({', '.join(parsed.columns)[:200]}) and no rows.",
            "Put examples under the header.",
        )
    notes = _name_note(path, kind)
    if encoding == "utf-8-sig":
        notes.append("UTF-8 byte order mark at the start passed over")
    return Table(
        path=path,
        format=kind,
        encoding=encoding,
        delimiter=delimiter,
        columns=parsed.columns,
        rows=parsed.rows,
        row_numbers=parsed.row_numbers,
        sha256=sha256,
        size_bytes=size_bytes,
        notes=notes + parsed.notes,
    )


def _refuse_foreign(path: Path, head: bytes) -> None:
    if not head:
        raise DataError(f"{path}: the file is empty.", "Put examples into it: a header line, then one row a line.")
    for mark, name in _MARKS:
        if head.startswith(mark):
            raise DataError(
                f"{path}, line 1: the file is {name} (its byte order mark says so); only UTF-8 is read.",
                f"Convert it: iconv -f {name} -t UTF-8 OLD > NEW. In a spreadsheet: save as CSV UTF-8.",
            )
    for magic, what, hint in _FOREIGN:
        if head.startswith(magic):
            raise DataError(f"{path}: the file is {what}, not a table of text.", hint)


def _recognise(path: Path, head: bytes) -> str:
    """The format by content; the name decides only between what the content leaves open."""
    named = _BY_SUFFIX.get(path.suffix.lower(), "")
    if head.startswith(b"PAR1") or named == "parquet":
        return "parquet"
    body = head.removeprefix(BOM).lstrip()
    if named == "jsonl":
        return "jsonl"
    if body.startswith(b"[") and (named == "json" or _looks_like_array(body)):
        return "json"
    if body.startswith(b"{"):
        if _first_line_is_object(body):
            return "jsonl"
        if named in ("", "json"):
            return "json"
    return named or "csv"


def _looks_like_array(body: bytes) -> bool:
    return body[1:].lstrip()[:1] in (b"{", b"]")


def _first_line_is_object(body: bytes) -> bool:
    """Whether the first line is an object by itself, which is one record of JSON Lines, not a {"data": [...]}."""
    try:
        value = json.loads(body.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and not isinstance(value.get("data"), list)


def _name_note(path: Path, kind: str) -> list[str]:
    named = _BY_SUFFIX.get(path.suffix.lower())
    if named is None or named == kind:
        return []
    return [f"the name ends in {path.suffix}, the content is {kind}; the content was followed"]


def describe_delimiter(delimiter: str) -> str:
    """'comma' for ',', and so on; empty where a format has none."""
    return DELIMITER_NAMES.get(delimiter, "")
