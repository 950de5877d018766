"""Values said loosely and written strictly: spoken numbers and phones, codes read aloud, measures with units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import made
from .core import Draw, Message, Pool, dumps
from .kinds import in_words
from .layout import talk
from .papers import spoken_digits
from .words import places, things

ASK = Pool("""
[Normalise|Standardise] into JSON:\\n{fields}
Write the strict form as JSON:\\n{fields}
JSON with clean values:\\n{fields}
The text was dictated. Record it as JSON:\\n{fields}
[Make|Build] a tidy JSON object of what was said.\\n{fields}
Loose words in, strict JSON out:\\n{fields}
""")
FRAME = Pool("""
{k} {v}
the {k}, {v}
{k}: {v}
{v} for the {k}
as {k}, {v}
{k} would be {v}
for {k} put down {v}
""")
_SPELLING = """
alpha bravo charlie delta echo foxtrot golf hotel juliett kilo lima mike november papa quebec romeo sierra
tango uniform victor whiskey xray yankee zulu
"""
NATO = {word[0].upper(): word for word in _SPELLING.split()}
Normal = tuple[str, Any, str]


def _number(d: Draw) -> Normal:
    n = d.of((d.num(10, 99), d.num(100, 999), d.num(1000, 9999)))
    return in_words(n).replace("-", d.of(("-", " "))), n, "integer"


def _decimal(d: Draw) -> Normal:
    a, b = d.num(0, 99), made.digits(d, d.num(1, 2)).rstrip("0") or "5"
    return f"{in_words(a)} point {' '.join(in_words(int(c)) for c in b)}", float(f"{a}.{b}"), "number"


def _phone(d: Draw) -> Normal:
    digits = made.digits(d, d.num(7, 11))
    plus = d.chance(0.3)
    return ("plus " if plus else "") + spoken_digits(d, digits), ("+" if plus else "") + digits, "string of digits"


def _code(d: Draw) -> Normal:
    letters = "".join(d.of(made.LETTERS) for _ in range(d.num(2, 3)))
    digits = made.digits(d, d.num(2, 4))
    nato = d.chance(0.6)
    said = " ".join(NATO[c] if nato else c for c in letters) + " dash " + spoken_digits(d, digits)
    return said, f"{letters}-{digits}", "code like AB-123"


def _measure(d: Draw) -> Normal:
    unit, words = d.of(
        (("kg", "kilos"), ("g", "grams"), ("km", "kilometres"), ("cm", "centimetres"), ("l", "litres"), ("m", "metres"))
    )
    n = d.num(2, 90)
    if d.chance(0.3):
        return f"{in_words(n)} and a half {words}", {"value": n + 0.5, "unit": unit}, "{value, unit}"
    said = d.of((str(n), in_words(n)))
    return f"{said} {d.of((words, unit))}", {"value": n, "unit": unit}, "{value, unit}"


def _address(d: Draw) -> Normal:
    n, street, city = d.num(1, 240), d.pick(places.STREET), d.pick(places.CITY)
    said = d.of(
        (f"{in_words(n)} {street} in {city}", f"number {n}, {street}, {city}", f"{street} {in_words(n)}, {city}")
    )
    return said, {"street": street, "number": n, "city": city}, "{street, number, city}"


def _price(d: Draw) -> Normal:
    whole, cents = d.num(1, 200), d.of((5, 20, 50, 75, 99))
    word, code = d.of((("euros", "EUR"), ("dollars", "USD"), ("pounds", "GBP")))
    said = f"{in_words(whole)} {word} {in_words(cents)}"
    value = round(whole + cents / 100, 2)
    return said, {"amount": value, "currency": code}, "{amount, currency}"


def _mail(d: Draw) -> Normal:
    name, last, host, top = made.first(d).lower(), made.pseudo(d), made.pseudo(d), d.of(("com", "org", "net", "eu"))
    return f"{name} dot {last} at {host} dot {top}", f"{name}.{last}@{host}.{top}", "e-mail address"


def _dozen(d: Draw) -> Normal:
    said, n = d.of(
        (("a dozen", 12), ("half a dozen", 6), ("two dozen", 24), ("a couple", 2), ("a pair", 2), ("a score", 20))
    )
    return f"{said} of {d.pick(things.FOOD)}", n, "integer"


MAKERS: dict[str, Callable[[Draw], Normal]] = {
    "number": _number,
    "reading": _decimal,
    "phone": _phone,
    "code": _code,
    "weight": _measure,
    "size": _measure,
    "address": _address,
    "price": _price,
    "email": _mail,
    "count": _dozen,
    "total": _number,
}


def make(d: Draw) -> tuple[Message, ...]:
    keys = d.rng.sample(sorted(MAKERS), d.num(2, 4))
    made_values = {k: MAKERS[k](d) for k in keys}
    fields = d.of(("\n", "\n", ", ")).join(f"{k} ({made_values[k][2]})" for k in keys)
    told = [d.say(FRAME, k=k, v=made_values[k][0]) for k in d.shuffled(keys)]
    text = d.of((", ", ", um, ", "; ", " and ", "\n")).join(told)
    ask = d.say(ASK, fields=fields).replace("\\n", "\n")
    return talk(d, ask, text, dumps({k: v[1] for k, v in made_values.items()}), system=0.6)
