"""Values for the slots of composed messages: ids, sums, dates, addresses, products. All chance comes from `rng`."""

from __future__ import annotations

import random
import re
from datetime import date

Weights = dict[str, int]
SUMS: Weights = {
    "€{point}": 9, "{comma} €": 9, "{comma} EUR": 7, "EUR {point}": 5, "{whole} euros": 5, "{whole} euro": 2,
    "${point}": 9, "${whole}": 5, "{point} USD": 3, "{whole} dollars": 4, "£{point}": 9, "£{whole}": 3,
    "{whole} pounds": 2, "{point} GBP": 3, "CHF {point}": 4, "{point} CHF": 2, "{comma} SEK": 3, "SEK {whole}": 2,
    "{whole} NOK": 2, "{comma} DKK": 2, "{comma} zł": 2, "PLN {point}": 2, "C${point}": 2, "{point} CAD": 2,
    "A${point}": 2, "{point} AUD": 2, "¥{whole}00": 1,
}  # fmt: skip
DATES: Weights = {  # numbers stand day first
    "{d} {month} {y}": 24, "{month} {d}, {y}": 12, "{d}{th} {month} {y}": 7, "{month} {d}{th}, {y}": 5,
    "{y}-{mm}-{dd}": 10, "{dd}.{mm}.{y}": 12, "{dd}/{mm}/{y}": 8, "{d}.{m}.{y}": 5, "{d}/{m}/{y}": 5,
    "{d} {mon} {y}": 7, "{dd}.{mm}.{yy}": 5,
}  # fmt: skip
DAYS: Weights = {"{d} {month}": 3, "{month} {d}": 2, "the {d}{th} of {month}": 1}
PAST: Weights = {  # the word before the date, then the date
    "in|{month}": 9, "in|{month} {y}": 5, "|last {weekday}": 12, "|last week": 10, "|last month": 8, "|yesterday": 5,
    "|two weeks ago": 7, "|three days ago": 5, "|a month ago": 4, "|{count} days ago": 8,
}  # fmt: skip
PHONES = (  # ranges kept free for fiction
    "07700 900{three}", "+44 7700 900{three}", "020 7946 0{three}", "0161 496 0{three}", "(555) 01{two}",
    "+1 555 01{two}", "555-01{two}", "030 23125 {three}", "+49 30 23125{three}",
)  # fmt: skip
NAMES: Weights = {
    "{brand} {noun}": 30, "{brand} {model} {noun}": 18, "{brand} {model}": 8, "{noun}": 18, "{tint} {noun}": 10,
    "{tint} {brand} {noun}": 5, "{noun} {brand} {model}": 7, '{noun} "{brand}"': 4,
}  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LETTERS = "ABCDEFGHJKLMNPRSTVWXYZ"


def draw(rng: random.Random, weights: Weights) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def money(rng: random.Random, least: int, most: int) -> str:
    """A sum in one of the ways it is written; small sums are the more likely."""
    whole = round(least * (most / least) ** rng.random())
    cents = rng.choice((0, 90, 95, 99, 50, rng.randint(1, 99)))
    point, comma = (f"{whole}.{cents:02d}", f"{whole},{cents:02d}") if cents else (str(whole), str(whole))
    if whole > 999 and rng.random() < 0.6:
        point = f"{whole // 1000},{whole % 1000:03d}.{cents:02d}"
        comma = f"{whole // 1000}.{whole % 1000:03d},{cents:02d}"
    return draw(rng, SUMS).format(whole=whole, point=point, comma=comma)


def written(day: date, pattern: str, **more: object) -> str:
    """The day in the manner of `pattern`."""
    tail = "th" if 3 < day.day < 21 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    parts = {"d": day.day, "m": day.month, "y": day.year, "dd": f"{day:%d}", "mm": f"{day:%m}", "yy": f"{day:%y}"}
    return pattern.format(**parts, th=tail, month=f"{day:%B}", mon=f"{day:%b}", **more)


def order_date(rng: random.Random, day: date) -> tuple[str, str]:
    """The word before the date of an order and the date: full in seven of ten."""
    share = rng.random()
    if share < 0.7:
        return "on", written(day, draw(rng, DATES))
    if share < 0.79:
        return "on", written(day, draw(rng, DAYS))
    pattern = draw(rng, PAST)
    lead, words = written(day, pattern, weekday=rng.choice(WEEKDAYS), count=rng.randint(4, 20)).split("|")
    return lead, words


def other_date(rng: random.Random, day: date) -> str:
    return written(day, draw(rng, DATES if rng.random() < 0.35 else DAYS))


def code(rng: random.Random, pattern: str) -> str:
    """An id after the pattern: `#` is a digit; a lone `A`, or `AB`, stands for letters."""
    digits = re.sub("#", lambda _: str(rng.randrange(10)), pattern)
    letters = re.compile(r"(?<![A-Z])AB?(?![A-Z])")
    return letters.sub(lambda match: "".join(rng.choices(LETTERS, k=len(match.group()))), digits)


def mail(rng: random.Random, first: str, last: str, host: str) -> str:
    plain = str.maketrans("öøčäü", "oocau")
    first, last = (re.sub("[^a-z]", "", name.lower().translate(plain)) for name in (first, last))
    number = rng.randint(1, 99)
    forms = (f"{first}.{last}", f"{first[0]}.{last}", f"{first}{number}", f"{last}_{first}", f"{first}{last[0]}")
    return f"{rng.choice(forms)}@{host}"


def phone(rng: random.Random) -> str:
    return rng.choice(PHONES).format(three=f"{rng.randint(0, 999):03d}", two=f"{rng.randint(0, 99):02d}")


def product(rng: random.Random, slots: dict[str, list[str]], noun: str, furniture: bool) -> str:
    """Brand, model, colour or material and kind, in one of the ways customers name a thing."""
    model = rng.choice(slots["model"])
    if rng.random() < 0.5:
        model = f"{rng.choice('ABCDEFGHKLMPRSTVX')}{rng.choice(('', '-'))}{rng.randint(2, 950)}"
    tint = rng.choice(slots["material" if furniture and rng.random() < 0.5 else "colour"])
    return draw(rng, NAMES).format(brand=rng.choice(slots["brand"]), model=model, noun=noun, tint=tint)
