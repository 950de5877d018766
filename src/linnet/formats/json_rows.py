"""JSON Lines, and JSON files that hold one array of objects. Every object is one row of scalars.

A scalar becomes the text it was written as: 1.0 stays "1.0", true is "true", null is "".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from linnet.core.errors import DataError
from linnet.formats.lines import BOM, Lines, decode
from linnet.formats.parsed import Parsed, blank_note, check_columns, check_text

# A JSON array can only be parsed whole, unlike lines.
MAX_JSON_BYTES = 1 << 28
_NAMES = {dict: "an object", list: "an array", type(None): "null"}


class _Refused(Exception):
    """Valid JSON by the parser's rules, and not by ours."""


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is no JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"key {doubled[:80]!r} is there more than once")
    return found


def _parse(text: str) -> Any:
    # Numbers stay the text they were written as, so that no digit is lost and no huge one is computed.
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_unique)


def parse_nested(text: str, where: str, number: Callable[[str], float] = float) -> Any:
    """One JSON value of any shape; `number` reads those with a point. Raises DataError that begins with `where`."""
    try:
        return json.loads(text, parse_float=number, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not valid JSON: {error.msg}, line {error.lineno}, character {error.colno}.",
            "Correct it, or remove it.",
        ) from error
    except (_Refused, RecursionError) as error:
        raise _refusal(where, error) from error
    except ValueError as error:  # a number of too many digits
        raise DataError(f"{where}: {error}.", "Correct it, or remove it.") from error


def read_jsonl(lines: Lines) -> Parsed:
    """Every line's object. Raises DataError with the line for what is not a flat object with the first one's keys."""
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    numbers: list[int] = []
    blank: list[int] = []
    for text in lines:
        if not text.strip():
            blank.append(lines.number)
            continue
        where = f"{lines.path}, line {lines.number}"
        try:
            value = _parse(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: not valid JSON: {error.msg} at character {error.colno}.",
                "Each line must be one whole JSON object. Correct the line, or remove it.",
            ) from error
        except (_Refused, RecursionError) as error:
            raise _refusal(where, error) from error
        row = _flat(value, where)
        columns = columns or check_columns(list(row), where)
        rows.append(_same_keys(row, columns, where, f"line {numbers[0] if numbers else lines.number}"))
        numbers.append(lines.number)
    if not rows:
        raise DataError(f"{lines.path}: the file holds nothing but blank lines.", "Put examples into it.")
    return Parsed(columns, rows, numbers, blank_note(blank))


def read_json(path: Path, data: bytes) -> Parsed:
    """The objects of a JSON array, or of {"data": [...]}. Rows are numbered from 1 in the order of the array.

    Raises DataError with the line, or the item's number, for anything else.
    """
    body = data.removeprefix(BOM)
    text = decode(body, path, 1, len(data) - len(body))
    try:
        value = _parse(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: not valid JSON: {error.msg} at character {error.colno}.",
            'Write an array of objects, or one object a line under the name "....jsonl".',
        ) from error
    except (_Refused, RecursionError) as error:
        raise _refusal(str(path), error) from error
    notes: list[str] = []
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        if others := [key for key in value if key != "data"]:
            notes.append(f'keys beside "data" passed over: {", ".join(others)[:200]}')
        value = value["data"]
    if not isinstance(value, list):
        raise DataError(
            f"{path}: the JSON is {_NAMES.get(type(value), 'a single value')}, not an array of objects.",
            'Write [{"text": "...", "label": "..."}, ...], or the same array under the key "data".',
        )
    if not value:
        raise DataError(f"{path}: the array is empty.", "Put examples into it.")
    columns: list[str] = []
    rows = []
    for number, item in enumerate(value, 1):
        where = f"{path}, item {number}"
        row = _flat(item, where)
        columns = columns or check_columns(list(row), where)
        rows.append(_same_keys(row, columns, where, "item 1"))
    return Parsed(columns, rows, list(range(1, len(rows) + 1)), notes)


def _refusal(where: str, error: _Refused | RecursionError) -> DataError:
    if isinstance(error, RecursionError):
        return DataError(f"{where}: the JSON is nested too deeply.", "Each value must be a text, number or null.")
    return DataError(f"{where}: {error}.", "Correct it: write null, or a text, in place of a missing value.")


def _flat(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise DataError(
            f"{where}: {_NAMES.get(type(value), 'a single value')}, not an object.",
            'Each row must be an object such as {"text": "...", "label": "..."}.',
        )
    if not value:
        raise DataError(f"{where}: the object is empty.", "Fill it, or remove it.")
    row = {}
    for key, item in value.items():
        if isinstance(item, dict | list):
            raise DataError(
                f"{where}: key {key!r} holds {_NAMES[type(item)]}; only text, numbers, true, false and null fit.",
                "Flatten it: give each inner value a key of its own.",
            )
        if isinstance(item, bool):
            item = "true" if item else "false"
        row[check_text(key, where)] = check_text("" if item is None else item, f"{where}, key {key!r}")
    return row


def _same_keys(row: dict[str, str], columns: list[str], where: str, first: str) -> dict[str, str]:
    missing = [name for name in columns if name not in row]
    added = [name for name in row if name not in columns]
    if not missing and not added:
        return {name: row[name] for name in columns}
    problem = f"key {missing[0]!r} is missing" if missing else f"key {added[0]!r} is new"
    raise DataError(
        f"{where}: {problem}; {first} has {', '.join(map(repr, columns))[:200]}.",
        "Give every row the same keys; write null where there is no value.",
    )
