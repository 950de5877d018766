"""Small pieces of GBNF: a literal, a range of numbers, a regular expression. Pure functions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from linnet.core.errors import InputError

MAX_DIGITS = 16
_CATEGORIES = {"CATEGORY_DIGIT": "0-9", "CATEGORY_WORD": "0-9A-Za-z_", "CATEGORY_SPACE": " "}
_NOT_RAW = '"\\\\\\x7F\\x00-\\x1F'  # inside a class: what a JSON string holds only escaped


def literal(text: str) -> str:
    """A text as one terminal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for character, code in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, code)
    return f'"{escaped}"'


def integer_range(low: int | None, high: int | None) -> str:
    """The decimal forms of every whole number from `low` to `high`, both included; None: up to 16 digits."""
    bottom, top = 1 - 10**MAX_DIGITS, 10**MAX_DIGITS - 1
    low, high = bottom if low is None else low, top if high is None else high
    if low > high:
        raise InputError(f"json_schema: no whole number is from {low} to {high}.")
    parts = []
    if low < 0:
        parts += [f'"-" {part}' for part in _positive(max(1, -high), -low)]
    if high >= 0:
        parts += _positive(max(0, low), high)
    return " | ".join(parts)


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range of numbers: whole, and itself within the range or not."""

    value: int
    is_open: bool = False


def number_range(low: Bound | None, high: Bound | None) -> str:
    """The decimal forms, without an exponent, of every number between two ends; None: up to 16 digits.

    A minus stands only before what is below zero. Raises InputError where no number is between them.
    """
    parts = []
    if low is None or low.value < 0:
        least = Bound(0, True) if high is None or high.value >= 0 else Bound(-high.value, high.is_open)
        most = None if low is None else Bound(-low.value, low.is_open)
        parts += [f'"-" {part}' for part in _upwards(least, most)]
    if high is None or high.value >= 0:
        parts += _upwards(low if low is not None and low.value >= 0 else Bound(0), high)
    if not parts:
        raise InputError("json_schema: no number is between the ends of a range.")
    return " | ".join(parts)


def _upwards(low: Bound, high: Bound | None) -> list[str]:
    """Alternatives for what is not negative: fractions after every whole number below `high`, and `high` itself."""
    end = 10**MAX_DIGITS if high is None else high.value
    whole = low.value + 1 if low.is_open else low.value
    found = [f'"{low.value}" "." "0"{{0,15}} [1-9] [0-9]{{0,15}}'] if low.is_open and low.value < end else []
    if whole < end:
        found.append(f'({" | ".join(_positive(whole, end - 1))}) ("." [0-9]{{1,16}})?')
    if high is not None and not high.is_open and whole <= end:
        found.append(f'"{end}" ("." "0"{{1,16}})?')
    return found


def _positive(low: int, high: int) -> list[str]:
    """Alternatives for low..high, both not negative, split where the number of digits changes."""
    found = []
    while len(str(low)) < len(str(high)):
        end = 10 ** len(str(low)) - 1
        found += _same_length(str(low), str(end))
        low = end + 1
    return found + _same_length(str(low), str(high))


def _same_length(low: str, high: str) -> list[str]:
    if not low:
        return [""]
    if low[0] == high[0]:
        return [_join(f'"{low[0]}"', rest) for rest in _same_length(low[1:], high[1:])]
    rest = len(low) - 1
    first, last, found, tail = int(low[0]), int(high[0]), [], []
    if low[1:].strip("0"):
        found = [_join(f'"{first}"', end) for end in _same_length(low[1:], "9" * rest)]
        first += 1
    if high[1:].strip("9"):
        tail = [_join(f'"{last}"', end) for end in _same_length("0" * rest, high[1:])]
        last -= 1
    if first <= last:
        found.append(_join(f"[{first}-{last}]", f"[0-9]{{{rest}}}" if rest else ""))
    return found + tail


def _join(one: str, other: str) -> str:
    return f"{one} {other}".strip()


def pattern_rule(pattern: str) -> str:
    """The inside of a JSON string that matches a regular expression of the kind `pattern_problem` lets through."""
    return _sequence(parser.parse(pattern[1:-1]))


def _sequence(items: Any) -> str:
    return " ".join(filter(None, (_item(code, value) for code, value in items))) or '""'


def _item(code: Any, value: Any) -> str:
    if code is codes.LITERAL:
        return literal(json.dumps(chr(value), ensure_ascii=False)[1:-1])
    if code is codes.NOT_LITERAL:
        return f"[^{_escaped(value)}{_NOT_RAW}]"
    if code is codes.ANY:
        return f"[^{_NOT_RAW}]"
    if code is codes.IN:
        return _class(value)
    if code is codes.SUBPATTERN:
        return f"({_sequence(value[3])})"
    if code is codes.BRANCH:
        return f"({' | '.join(_sequence(branch) for branch in value[1])})"
    if code is codes.MAX_REPEAT:
        low, high, inner = value
        times = f"{{{low},{'' if high is codes.MAXREPEAT else high}}}"
        return f"({_sequence(inner)}){times}"
    raise InputError(f"json_schema: a pattern uses {str(code).lower()}, which cannot be enforced.")


def _class(members: Any) -> str:
    negated = bool(members) and members[0][0] is codes.NEGATE
    inside = ""
    for code, value in members:
        if code is codes.LITERAL:
            inside += "" if not negated and _is_special(value) else _escaped(value)
        elif code is codes.RANGE:
            inside += _range(value[0], value[1], negated)
        elif code is codes.CATEGORY:
            if str(value) not in _CATEGORIES:
                raise InputError("json_schema: a pattern uses \\D, \\W or \\S, which cannot be enforced.")
            inside += _CATEGORIES[str(value)]
    if negated:
        return f"[^{inside}{_NOT_RAW}]"
    if not inside:
        raise InputError("json_schema: a pattern allows only characters that JSON writes escaped.")
    return f"[{inside}]"


def _range(low: int, high: int, negated: bool) -> str:
    """A range; of an allowed one only the parts between what JSON escapes."""
    if negated:
        return f"{_escaped(low)}-{_escaped(high)}"
    cuts = [cut for cut in (0x22, 0x5C, 0x7F) if low <= cut <= high]
    found, start = "", max(low, 0x20)
    for cut in [*cuts, high + 1]:
        if start < cut:
            found += f"{_escaped(start)}-{_escaped(cut - 1)}"
        start = cut + 1
    return found


def _is_special(value: int) -> bool:
    return value < 0x20 or value in (0x22, 0x5C, 0x7F)


def _escaped(value: int) -> str:
    """One character inside a class."""
    if re.fullmatch(r"[A-Za-z0-9 _.,:;/]", chr(value)):
        return chr(value)
    return f"\\x{value:02X}" if value < 0x100 else f"\\u{value:04X}" if value < 0x10000 else f"\\U{value:08X}"
