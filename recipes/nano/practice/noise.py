"""How hurried people write: slips of the finger, small letters, no marks, fillers. Values are never touched."""

from __future__ import annotations

import re

from .core import Draw

_WORD = re.compile(r"[A-Za-z]{4,}")
_NEAR = {
    "a": "s",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "f": "dg",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "k": "jl",
    "l": "k",
    "m": "n",
    "n": "bm",
    "o": "ip",
    "p": "o",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "u": "yi",
    "v": "cb",
    "w": "qe",
    "y": "tu",
}
_FIRST = 0xE000  # a private-use character stands for each value meanwhile


def _hide(text: str, values: list[str]) -> str:
    for at, value in enumerate(values):
        text = text.replace(value, chr(_FIRST + at))
    return text


def _back(text: str, values: list[str]) -> str:
    for at, value in reversed(list(enumerate(values))):
        text = text.replace(chr(_FIRST + at), value)
    return text


def slip(d: Draw, word: str) -> str:
    """One slip: two letters swapped, one lost, doubled, or its neighbour on the keyboard."""
    at = d.num(1, len(word) - 2)
    roll = d.roll()
    if roll < 0.3:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if roll < 0.6:
        return word[:at] + word[at + 1 :]
    if roll < 0.75:
        return word[:at] + word[at] + word[at:]
    return word[:at] + d.of(_NEAR.get(word[at], word[at])) + word[at + 1 :]


def _typos(d: Draw, text: str) -> str:
    words = list(_WORD.finditer(text))
    for match in sorted(d.rng.sample(words, min(len(words), d.num(1, 2))), key=lambda m: -m.start()):
        text = text[: match.start()] + slip(d, match[0]) + text[match.end() :]
    return text


def _hesitate(d: Draw, text: str) -> str:
    gaps = [at for at, mark in enumerate(text) if mark == " "]
    if not gaps:
        return text
    at = d.of(gaps)
    return f"{text[:at]} {d.of(('um', 'uh', 'er', 'like', 'you know', 'um,', '... uh', 'erm'))}{text[at:]}"


def rough(d: Draw, text: str, values: list[str]) -> str:
    """The command as typed in a hurry or spoken; the values stay letter by letter."""
    typos, small, filler = d.chance(0.15), d.chance(0.3), d.chance(0.08)
    if not (typos or small or filler):
        return text
    held = sorted({v for v in values if v}, key=len, reverse=True)
    text = _hide(text, held)
    if typos:
        text = _typos(d, text)
    if filler:
        text = _hesitate(d, text)
    if small:
        text = re.sub(r"[.!?,;]+(?= |$)", "", text).lower()
    return _back(text, held).strip()
