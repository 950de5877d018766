"""What a document is to the extraction tasks: its text, the facts it states, and the lines that may pad it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import made
from .core import Draw
from .kinds import ordinal
from .meanings import MEANINGS, flag, implied

GAP = "\x00"  # where sentences from books may stand


@dataclass(frozen=True)
class Fact:
    """One field a document can fill. The value None means that the text does not say."""

    names: tuple[str, ...]
    value: Any
    hint: str = "string"
    labels: tuple[str, ...] = ()


@dataclass
class Doc:
    text: str
    facts: list[Fact]
    wrap: Callable[[Draw, str], str] = field(default=lambda _, s: s)
    today: str = ""


def fact(names: str, value: Any, hint: str = "string") -> Fact:
    return Fact(tuple(names.split()), value, hint)


def meant(d: Draw, name: str) -> tuple[str, Fact]:
    """A sentence that implies a label, and the fact."""
    said, label, labels = implied(d, name)
    return said, Fact(MEANINGS[name].names, label, "string", labels)


def flagged(d: Draw, name: str) -> tuple[str, Fact]:
    said, truth = flag(d, name)
    return said, Fact((name,), truth, "boolean")


def maybe(d: Draw, text: str, made_fact: Fact, share: float = 0.75) -> tuple[str, Fact]:
    """The text and its fact, or an empty text and a fact without a value."""
    if d.chance(share):
        return text, made_fact
    return "", Fact(made_fact.names, None, made_fact.hint, made_fact.labels)


def pad(d: Draw, doc: Doc, long: bool) -> str:
    """The text with its gaps filled: at times by a sentence, in long documents up to 1,000 to 1,600 characters."""
    pieces = doc.text.split(GAP)
    room = d.num(1000, 1550) - len(doc.text) if long else (d.num(30, 160) if d.chance(0.3) else 0)
    while room > 25 and len(pieces) > 1:
        line = doc.wrap(d, d.sentence(20, min(200, max(room, 40))))
        at = d.num(0, len(pieces) - 2)
        pieces[at] = pieces[at].rstrip(" ") + ("" if pieces[at].endswith("\n") or not pieces[at] else " ") + line
        room -= len(line) + 1
    text = "".join(pieces)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return "\n".join(line.strip() for line in text.replace("  ", " ").split("\n")).strip()


def lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


# Dates relative to a stated day -------------------------------------------------------------------------------------


def today(d: Draw) -> dt.date:
    return dt.date(d.num(2022, 2030), d.num(1, 12), d.num(1, 28))


def near(d: Draw, day: dt.date, ahead: bool = True) -> tuple[str, str]:
    """A day near the given one as people say it (tomorrow, on Friday, in three days), and its ISO form."""
    n = d.num(1, 6)
    other = day + dt.timedelta(n if ahead else -n)
    name = made.DAYS[other.weekday()]
    roll = d.roll()
    if roll < 0.2:
        return "today", day.isoformat()
    if roll < 0.4:
        return ("tomorrow" if ahead else "yesterday"), (day + dt.timedelta(1 if ahead else -1)).isoformat()
    if roll < 0.6:
        return (f"this coming {name}" if ahead else f"last {name}"), other.isoformat()
    if roll < 0.75:
        two = d.chance(0.4)
        other = day + dt.timedelta((14 if two else 7) * (1 if ahead else -1))
        weeks = "two weeks" if two else "a week"
        return (f"in {weeks}" if ahead else f"{weeks} ago"), other.isoformat()
    if roll < 0.9:
        n = d.num(2, 9)
        other = day + dt.timedelta(n if ahead else -n)
        return (f"in {n} days" if ahead else f"{n} days ago"), other.isoformat()
    return f"on {spelled(d, other)}", other.isoformat()


def spelled(d: Draw, day: dt.date, year: bool = True) -> str:
    month = made.MONTHS[day.month - 1]
    tail = f" {day.year}" if year else ""
    return d.of(
        (
            f"{day.day} {month}{tail}",
            f"{month} {day.day}" + (f", {day.year}" if year else ""),
            f"the {ordinal(day.day)} of {month}{tail}",
        )
    )


def stated(d: Draw, day: dt.date) -> str:
    """The reference day, as a prompt gives it."""
    name = made.DAYS[day.weekday()]
    return d.of((f"{day.isoformat()} ({name})", f"{name}, {day.isoformat()}", f"{name}, {spelled(d, day)}"))


# Amounts ------------------------------------------------------------------------------------------------------------

SIGNS = (("€", "EUR"), ("$", "USD"), ("£", "GBP"), ("CHF ", "CHF"), ("zł", "PLN"), ("¥", "JPY"))


def amount(d: Draw, value: float, sign: str, code: str) -> str:
    shown = f"{value:.2f}" if value != int(value) or d.chance(0.5) else str(int(value))
    if code in ("PLN", "CHF") or d.chance(0.3):
        return f"{shown} {code}"
    return f"{sign}{shown}"


def number(value: float) -> float | int:
    value = round(value, 2)
    return int(value) if value == int(value) else value
