"""JSON of unknown origin: one object, or a reason why not. Knows nothing of fields or routes."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from linnet.core.errors import InputError

MAX_DEPTH = 64


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object in a request's body.

    Raises InputError for bytes that are not UTF-8 or not JSON, a key given twice, NaN or a number too large to
    hold, nesting deeper than 64, half of a surrogate pair, and anything else than an object at the top. The
    message never repeats a value.
    """
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique, parse_constant=_not_a_number, parse_float=_finite_float
        )
    except UnicodeDecodeError as error:
        raise InputError(f"The body is not UTF-8: byte {error.start} is wrong.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        raise InputError(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise InputError("The body is not JSON that can be read: a number has too many digits.") from error
    if not isinstance(value, dict):
        raise InputError("The body must be a JSON object.")
    if _is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    if b"\\u" in raw:
        _refuse_half_characters(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InputError(f"The key {key[:80]!a} is given twice.")
        seen.add(key)
    raise AssertionError("unreachable: fewer keys than pairs, and none of them twice")


def _not_a_number(word: str) -> NoReturn:
    raise InputError(f"{word} is not JSON.")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InputError("A number is too large.")
    return number


def _too_deep() -> InputError:
    return InputError(f"The body is nested deeper than {MAX_DEPTH}.")


def _is_deeper(value: dict[str, Any], limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        children = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for group in children for child in group if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _refuse_half_characters(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError("A text holds half of a surrogate pair, which is no character.") from error
