"""A JSON object from a file of unknown origin: bounded, with unique keys, and nothing that Python alone accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from linnet.core.errors import ModelFileError, os_errors
from linnet.formats.regular import open_regular

HINT = "The file was cut, patched or written wrongly: fetch it again."
# Objects and lists of an honest file hold far less; without a bound 100 MB of commas would take gigabytes.
MAX_PARTS = 4_000_000


class _Doubled(ValueError):
    pass


def read_object(path: Path, most: int) -> dict[str, Any]:
    """The object in a file of at most `most` bytes. Raises ModelFileError, NotFound, ResourceMissing."""
    with os_errors(path, "Reading"):
        handle, size = open_regular(path)
        with handle:
            if size > most:
                raise ModelFileError(path.name, f"{path}: {size} bytes, at most {most} are read.", HINT)
            data = handle.read(most + 1)
    return parse_object(data, path, path.name)


def parse_object(data: bytes, path: Path, where: str) -> dict[str, Any]:
    """The object in these bytes; `where` names them in the error."""

    def refuse(message: str) -> NoReturn:
        raise ModelFileError(where, f"{path}: {where}: {message}.", HINT)

    if sum(data.count(mark) for mark in (b",", b"[", b"{", b":")) > MAX_PARTS:
        refuse(f"holds more than {MAX_PARTS} values")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_constant)
    except UnicodeDecodeError as error:
        refuse(f"byte {error.start} is not UTF-8")
    except json.JSONDecodeError as error:
        refuse(f"not valid JSON: {error.msg}, line {error.lineno}, character {error.colno}")
    except RecursionError:
        refuse("nested too deeply")
    except ValueError as error:
        refuse(str(error)[:200] if isinstance(error, _Doubled) else "holds a number that is too long")
    if not isinstance(value, dict):
        refuse(f"need a JSON object, have {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Doubled(f"key {name[:80]!r} is there more than once")
            seen.add(name)
    return found


def _constant(name: str) -> float:
    # Python writes Infinity into configs of its own (rope scaling among them), so it is read; NaN never means a thing.
    if name == "NaN":
        raise _Doubled("NaN is no JSON value")
    return float("inf") if name == "Infinity" else float("-inf")
