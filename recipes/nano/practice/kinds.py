"""Kinds of values as people say them and as records hold them.

A kind gives `(said, verbatim, normal)`: the words in the text, the value copied as said, and the normalised value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import made
from .core import Draw
from .words import places, things

Value = tuple[str, Any, Any]
Kind = Callable[[Draw], Value]
ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(n: int) -> str:
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {in_words(n % 100)}" if n % 100 else "")
    if n < 1_000_000:
        rest = n % 1000
        join = " and " if rest and rest < 100 else " "
        return f"{in_words(n // 1000)} thousand" + (join + in_words(rest) if rest else "")
    return str(n)


def ordinal(n: int) -> str:
    end = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{end}"


def clock(d: Draw) -> tuple[str, str]:
    """A time of day as said, and as HH:MM."""
    hour, minute = d.num(0, 23), d.of((0, 0, 0, 15, 30, 30, 45, 5, 10, 20, 40, 50, d.num(1, 59)))
    exact = f"{hour:02d}:{minute:02d}"
    twelve = hour % 12 or 12
    half = "am" if hour < 12 else "pm"
    roll = d.roll()
    if roll < 0.3:
        return exact, exact
    if roll < 0.65:
        short = str(twelve) if minute == 0 else f"{twelve}:{minute:02d}"
        return f"{short}{d.of(('', ' '))}{d.of((half, half, half[0] + '.m.'))}", exact
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    after = (twelve % 12) + 1
    if minute == 0:
        if hour in (0, 12) and d.chance(0.7):
            return ("midnight" if hour == 0 else "noon"), exact
        return f"{d.of((str(twelve), ONES[twelve]))} o'clock {part}", exact
    said = {
        15: f"quarter past {ONES[twelve]}",
        30: f"half past {ONES[twelve]}",
        45: f"quarter to {ONES[after]}",
        5: f"five past {ONES[twelve]}",
        10: f"ten past {ONES[twelve]}",
        20: f"twenty past {ONES[twelve]}",
        40: f"twenty to {ONES[after]}",
        50: f"ten to {ONES[after]}",
    }.get(minute)
    if said is None or (minute > 30 and after in (12, 1) and hour % 12 == 11):
        return exact, exact
    return f"{said} {part}", exact


def time(d: Draw) -> Value:
    said, exact = clock(d)
    return said, said, exact


def day(d: Draw) -> Value:
    name = d.of(made.DAYS)
    said = name if d.chance(0.8) else d.of(("today", "tomorrow"))
    return said, said, said.lower()


def date(d: Draw) -> Value:
    year, month, number = d.num(2019, 2031), d.num(1, 12), d.num(1, 28)
    name = made.MONTHS[month - 1]
    iso = f"{year}-{month:02d}-{number:02d}"
    said = d.of(
        (
            f"{number} {name} {year}",
            f"{name} {number}, {year}",
            iso,
            f"the {ordinal(number)} of {name} {year}",
            f"{number:02d}.{month:02d}.{year}",
            f"{name[:3]} {number} {year}",
        )
    )
    return said, said, iso


def minutes(d: Draw) -> Value:
    n = d.of((1, 2, 3, 5, 10, 15, 20, 25, 30, 40, 45, 60, 90, d.num(2, 180)))
    said = d.of((f"{n} minutes", f"{n} min", f"{in_words(n)} minutes")) if n != 1 else "one minute"
    if n == 30 and d.chance(0.5):
        said = "half an hour"
    if n == 60 and d.chance(0.7):
        said = "an hour"
    return said, said, n


def seconds(d: Draw) -> Value:
    n, unit, size = d.of(
        (
            (d.num(2, 90), "second", 1),
            (d.num(1, 59), "minute", 60),
            (d.num(1, 12), "hour", 3600),
            (d.num(1, 6), "day", 86400),
        )
    )
    said = f"{d.of((str(n), in_words(n)))} {unit}{'' if n == 1 else 's'}"
    return said, said, n * size


def count(d: Draw) -> Value:
    n = d.of((d.num(1, 12), d.num(2, 60), d.num(2, 400)))
    return (in_words(n) if n < 100 and d.chance(0.4) else str(n)), n, n


def small(d: Draw) -> Value:
    n = d.num(2, 10)
    return (in_words(n) if d.chance(0.5) else str(n)), n, n


def big(d: Draw) -> Value:
    n = d.num(100, 99999)
    return (f"{n:,}" if d.chance(0.3) else str(n)), n, n


def percent(d: Draw) -> Value:
    n = d.num(1, 100)
    return d.of((f"{n}%", f"{n} percent", f"{n} per cent")), n, n


def money(d: Draw) -> Value:
    n = made.price(d) if d.chance(0.5) else float(d.num(2, 900))
    value: Any = int(n) if n == int(n) else n
    shown = f"{n:.2f}" if value != int(n) else str(int(n))
    word = d.of(("euros", "dollars", "pounds", "francs"))
    said = d.of((f"{shown} {word}", f"${shown}", f"€{shown}", f"£{shown}", f"{shown} EUR", f"{shown} USD"))
    return said, value, value


def decimal(d: Draw) -> Value:
    n = round(d.num(1, 99) + d.num(1, 9) / 10, 1)
    return str(n), n, n


def celsius(d: Draw) -> Value:
    n = d.num(-15, 240)
    return d.of((f"{n} degrees", f"{n}°C", f"{n} C")), n, n


def _plain(make: Callable[[Draw], str]) -> Kind:
    def kind(d: Draw) -> Value:
        said = make(d)
        return said, said, said

    return kind


def weekly(d: Draw) -> Value:
    said = d.of(("every day", "every week", "every month", "every Monday", "every weekday", "every year"))
    return said, said, said


def foods(d: Draw) -> Value:
    items = d.some(things.FOOD, d.num(2, 4))
    return listed(items), items, items


def people(d: Draw) -> Value:
    found = list(dict.fromkeys(made.first(d) for _ in range(d.num(2, 3))))
    return listed(found), found, found


def listed(items: list[str]) -> str:
    return ", ".join(items[:-1]) + " and " + items[-1] if len(items) > 1 else items[0]


_LANGUAGES = [
    "French",
    "German",
    "Spanish",
    "Italian",
    "Dutch",
    "Greek",
    "Turkish",
    "Polish",
    "Swedish",
    "Hindi",
    "Arabic",
    "Japanese",
    "Welsh",
    "Finnish",
]
KINDS: dict[str, Kind] = {
    "text": _plain(made.phrase),
    "task": _plain(made.action),
    "quote": _plain(lambda d: d.piece(3, 9)),
    "person": _plain(made.someone),
    "full": _plain(made.person),
    "item": _plain(made.thing),
    "food": _plain(lambda d: d.pick(things.FOOD)),
    "plant": _plain(lambda d: d.pick(things.PLANT)),
    "animal": _plain(lambda d: d.pick(things.ANIMAL)),
    "pet": _plain(made.first),
    "city": _plain(lambda d: d.pick(places.CITY)),
    "venue": _plain(lambda d: d.pick(places.VENUE)),
    "room": _plain(lambda d: d.pick(places.ROOM)),
    "address": _plain(made.address),
    "company": _plain(made.company),
    "product": _plain(made.product),
    "email": _plain(made.email),
    "phone": _plain(made.phone),
    "url": _plain(made.url),
    "code": _plain(made.code),
    "path": _plain(made.path),
    "colour": _plain(lambda d: d.pick(things.COLOUR)),
    "genre": _plain(lambda d: d.pick(things.GENRE)),
    "subject": _plain(lambda d: d.pick(things.SUBJECT)),
    "job": _plain(lambda d: d.pick(things.JOB)),
    "language": _plain(lambda d: d.of(_LANGUAGES)),
    "currency": _plain(lambda d: d.of(("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "PLN", "INR"))),
    "title": _plain(
        lambda d: (
            d.piece(2, 5).title() if d.chance(0.5) else f"The {d.pick(things.QUALITY)} {d.pick(things.JOB)}".title()
        )
    ),
    "name": _plain(
        lambda d: d.of((made.thing, lambda d: d.pick(things.SUBJECT), made.pseudo, lambda d: d.piece(1, 3)))(d)
    ),
    "month": _plain(lambda d: d.of(made.MONTHS)),
    "repeat": weekly,
    "time": time,
    "day": day,
    "date": date,
    "minutes": minutes,
    "seconds": seconds,
    "count": count,
    "small": small,
    "big": big,
    "percent": percent,
    "money": money,
    "decimal": decimal,
    "celsius": celsius,
    "foods": foods,
    "people": people,
}
# What a typed description of an argument says; a kind not named here is a plain string.
HINTS = {
    "time": "HH:MM",
    "day": "weekday in small letters",
    "date": "YYYY-MM-DD",
    "minutes": "integer, minutes",
    "seconds": "integer, seconds",
    "count": "integer",
    "small": "integer",
    "big": "integer",
    "percent": "integer",
    "money": "number",
    "decimal": "number",
    "celsius": "integer",
    "foods": "array of strings",
    "people": "array of strings",
}
