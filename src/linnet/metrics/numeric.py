"""The number that an answer gives, and whether it is the right one. Knows English conventions of writing numbers.

A comma between groups of three digits separates thousands; a point begins the decimals. Currency signs, percent signs
and units are passed over: 50 % is 50, $1,200.50 is 1200.5, 12km is 12, 3/4 is three quarters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

VERSION = "1"
_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?![0-9])"
_NUMBER = re.compile(
    rf"""
    (?<![\w.])(?<!\d,)                              # not inside a word or another number
    (?:(?P<sign>(?<![\w)\]%])[-\u2212+])\s?)?           # a minus after a word or a bracket is a dash
    (?:[$\u20ac\u00a3\u00a5\u20b9]\s?)?
    (?P<late>[-\u2212])?
    (?:(?P<mixed>[0-9]+)[ ](?=[0-9]+/[0-9]))?
    (?:(?P<over>[0-9]+)/(?P<under>0*[1-9][0-9]*)(?![0-9/])
      |(?:(?P<whole>{_WHOLE})(?P<decimals>\.[0-9]+)?|(?P<point>\.[0-9]+))(?P<power>[eE][-+]?[0-9]{{1,3}}(?![\w]))?)
    """,
    re.VERBOSE,
)
_MARKS = (
    re.compile(r"####\s*(.*)"),
    re.compile(r"\\boxed\{([^{}]*)\}"),
    re.compile(r"(?:final\s+)?answer\s*(?:is|:|=)\s*(.*)", re.IGNORECASE),
)
_GSM8K = re.compile(r"#### (-?[0-9.,]+)")
MAX_CHARACTERS = 100_000
MAX_DIGITS = 400  # longer is no number that anybody meant


def numbers(text: str) -> list[Fraction]:
    """Every number in the text, in order, exactly. Of more than 100,000 characters the last ones are read."""
    found = _NUMBER.finditer(text[-MAX_CHARACTERS:])
    return [_value(match) for match in found if match.end() - match.start() <= MAX_DIGITS]


def _value(match: re.Match[str]) -> Fraction:
    part = match.groupdict(default="")
    if part["over"]:
        value = Fraction(int(part["over"]), int(part["under"])) + int(part["mixed"] or 0)
    else:
        whole = part["whole"].replace(",", "") or "0"
        value = Fraction(whole + (part["decimals"] or part["point"]) + part["power"])
    return -value if {part["sign"], part["late"]} & {"-", "\u2212"} else value


def numeric_answer(text: str) -> Fraction | None:
    """The number a text ends with as its answer, or None.

    In this order: the first number after the last "####", in the last \\boxed{}, after the last "answer is" or
    "answer:"; else the last number of the text.
    """
    for mark in _MARKS:
        if (shown := mark.findall(text[-MAX_CHARACTERS:])) and (given := numbers(shown[-1])):
            return given[0]
    every = numbers(text)
    return every[-1] if every else None


def numeric_match(prediction: str, references: Sequence[str], tolerance: float = 0.0) -> float:
    """1 when the prediction's number is one of the references', else 0.

    `tolerance` is relative to the reference, and absolute where that is zero. Raises ValueError when a reference holds
    no number.
    """
    wanted = [numeric_answer(reference) for reference in references]
    if None in wanted:
        raise ValueError("a reference holds no number")
    answer, slack = numeric_answer(prediction), Fraction(tolerance)
    if answer is None:
        return 0.0
    return float(any(abs(answer - w) <= slack * (abs(w) or 1) for w in wanted if w is not None))


def gsm8k_match(prediction: str, references: Sequence[str]) -> float:
    """The rule of GSM8K's own scorer (Cobbe et al. 2021): 1 when what follows the first "#### " is the same text.

    Commas do not count; 5 and 5.0 differ; a prediction without the mark is wrong. For numbers comparable with others'.
    Raises ValueError when a reference has no mark.
    """
    wanted = [_marked(reference) for reference in references]
    if None in wanted:
        raise ValueError("a reference has no '#### ' before its answer")
    answer = _marked(prediction)
    return float(answer is not None and answer in wanted)


def _marked(text: str) -> str | None:
    found = _GSM8K.search(text)
    return found[1].strip().replace(",", "") if found else None
