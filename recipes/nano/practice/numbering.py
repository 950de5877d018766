"""Practice with numbers: words and digits, small sums, units, money, comparing, rounding, counting."""

from __future__ import annotations

from fractions import Fraction

from . import made
from .core import Draw, Message, Pool
from .kinds import in_words, ordinal
from .layout import talk
from .words import things

DIGITS = Pool("""
[Write|Give] the number in digits.
[Convert|Turn] [the words|this] into digits.
Digits, please.
As a figure:
Which number is [this|meant]? Digits only.
Numeral for the words:
Change the number words to digits.
How is it written with figures?
""")
WORDS = Pool("""
[Write|Give] the number in words.
[Convert|Turn] [the digits|this number] into words.
Spell [out |]the number.
In words, please.
How is this number read aloud?
Number words for the figure:
Change digits to words.
""")
ORDINALS = Pool("""
[Write|Give] the ordinal of {n}.
{n} as an ordinal[ number|]?
Ordinal form of {n}, with digits:
What comes after "the", for position {n}?
Position {n} is called the what?
""")
SUM = Pool("""
[What is|How much is|Work out|Calculate|Compute] {a} + {b}?
{a} plus {b}?
[Add|Sum] {a} and {b}.
{a} + {b} =
The sum of {a} and {b}?
I had {a} {x} and got {b} more. How many now?
{b} {x} join {a} others. Total?
There are {a} {x} here and {b} there. How many in all?
""")
DIFF = Pool("""
[What is|How much is|Work out|Calculate|Compute] {a} - {b}?
{a} minus {b}?
[Take|Subtract] {b} from {a}.
{a} - {b} =
The difference between {a} and {b}?
I had {a} {x} and gave away {b}. How many are left?
From {a} {x}, {b} are sold. What remains?
""")
TIMES = Pool(
    """
[What is|How much is|Calculate] {a} x {b}?
{a} times {b}?
[Multiply] {a} by {b}.
{a} * {b} =
{a} boxes with {b} {x} each. How many {x}?
{b} {x} in each of {a} rows: total?
""".replace("[Multiply]", "Multiply")
)
PERCENT = Pool("""
[What is|How much is|Calculate] {p}% of {a}?
{p} percent of {a}?
{p} per cent of {a} is
Take {p}% of {a}.
A price of {a}, {p}% off: how much is saved?
""")
UNITS = [
    ("km", "m", 1000),
    ("m", "cm", 100),
    ("cm", "mm", 10),
    ("kg", "g", 1000),
    ("l", "ml", 1000),
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("dozen", "pieces", 12),
    ("t", "kg", 1000),
    ("euros", "cents", 100),
    ("feet", "inches", 12),
    ("yards", "feet", 3),
    ("pounds", "pence", 100),
    ("litres", "centilitres", 100),
    ("metres", "millimetres", 1000),
]
UNIT = Pool("""
[Convert|Change|Turn] {a} {u} [to|into] {v}.
{a} {u} in {v}?
How many {v} are {a} {u}?
{a} {u} = ? {v}
Write {a} {u} in {v}.
Express {a} {u} as {v}.
{a} {u} makes how many {v}?
""")
COMPARE = Pool("""
[Which|What] [number |]is {w}: {a} or {b}?
{a} or {b}: the {w} one?
Give the {w} of {a} and {b}.
Of {a} and {b}, which is {w}?
Choose the {w} number, {a} or {b}.
""")
EXTREME = Pool("""
[Which|What] [number |]is the {w}?
[Give|Find|Pick] the {w} number.
The {w} of these:
Only the {w} number, please.
Look through the list and write the {w}.
""")
ROUND = Pool("""
Round {a} to {to}.
{a}, rounded to {to}?
[Give|Write] {a} to {to}.
What is {a} to {to}?
Bring {a} to {to} by rounding.
""")
MONEY = Pool("""
[Write|Give] the amount as {f}.
Format [the price|it] as {f}.
[Change|Turn] it into the form {f}.
Amount in the form {f}:
The same price, written {f}.
""")
COUNT = Pool("""
How many [items|entries|things] are [listed|there|in the list]?
Count the [items|entries].
[Give|Write] the number of [items|entries].
Length of the list?
The number of things, in digits:
""")
COUNT_ONE = Pool("""
How many times does "{x}" [occur|appear|stand] [here|in the list]?
Count "{x}".
Number of "{x}"?
How often is "{x}" there?
[Give|Write] how many "{x}" there are.
""")


def make(d: Draw) -> tuple[Message, ...]:
    return d.of((_words, _words, _sum, _sum, _unit, _compare, _round, _money, _count))(d)


def _number(d: Draw) -> int:
    return d.of((d.num(0, 20), d.num(20, 99), d.num(100, 999), d.num(1000, 99999)))


def _words(d: Draw) -> tuple[Message, ...]:
    n = _number(d)
    roll = d.roll()
    if roll < 0.15:
        n = d.num(1, 120)
        return talk(d, d.say(ORDINALS, n=n), None, ordinal(n))
    words = in_words(n)
    if roll < 0.55:
        return talk(d, d.say(DIGITS), words.capitalize() if d.chance(0.2) else words, str(n))
    return talk(d, d.say(WORDS), str(n), words)


def _sum(d: Draw) -> tuple[Message, ...]:
    a, b = d.num(1, 99), d.num(1, 60)
    x = made.plural(d.pick(things.OBJECT))
    roll = d.roll()
    if roll < 0.4:
        return talk(d, d.say(SUM, a=a, b=b, x=x), None, str(a + b))
    if roll < 0.75:
        a, b = max(a, b), min(a, b)
        return talk(d, d.say(DIFF, a=a, b=b, x=x), None, str(a - b))
    if roll < 0.9:
        a, b = d.num(2, 12), d.num(2, 12)
        return talk(d, d.say(TIMES, a=a, b=b, x=x), None, str(a * b))
    p, a = d.of((10, 20, 25, 50, 75, 5)), d.num(1, 40) * 20
    return talk(d, d.say(PERCENT, p=p, a=a), None, str(a * p // 100))


def _exact(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.4f}".rstrip("0")


def _unit(d: Draw) -> tuple[Message, ...]:
    u, v, size = d.of(UNITS)
    if d.chance(0.6) or size % 10:
        a = Fraction(d.num(1, 40)) if size % 10 or d.chance(0.6) else Fraction(d.num(1, 99), 10)
        if d.chance(0.7) or size % 10 == 0:
            return talk(d, d.say(UNIT, a=_exact(a), u=u, v=v), None, _exact(a * size))
        return talk(d, d.say(UNIT, a=_exact(a * size), u=v, v=u), None, _exact(a))
    b = Fraction(d.num(1, 40) * size, d.of((1, 1, 2, 10)))
    return talk(d, d.say(UNIT, a=_exact(b), u=v, v=u), None, _exact(b / size))


def _compare(d: Draw) -> tuple[Message, ...]:
    decimals = d.chance(0.3)
    top = d.of((20, 99, 999, 9999))
    numbers = list(dict.fromkeys(d.num(1, top) for _ in range(2 if d.chance(0.5) else d.num(3, 6))))
    if len(numbers) < 2:
        return _words(d)
    values = [n / 10 if decimals else n for n in numbers]
    big = d.chance(0.5)
    answer = str(max(values) if big else min(values))
    if len(values) == 2:
        word = d.of(("bigger", "larger", "greater", "higher") if big else ("smaller", "lower", "lesser"))
        return talk(d, d.say(COMPARE, w=word, a=values[0], b=values[1]), None, answer)
    word = d.of(("biggest", "largest", "greatest", "highest") if big else ("smallest", "lowest", "least"))
    return talk(d, d.say(EXTREME, w=word), d.of((", ", " ", "; ")).join(map(str, values)), answer)


def _round(d: Draw) -> tuple[Message, ...]:
    cents = d.num(100, 99999)
    value = f"{cents // 100}.{cents % 100:02d}"
    if d.chance(0.5):
        ask = d.say(ROUND, a=value, to=d.of(("the nearest whole number", "a whole number", "the nearest integer")))
        return talk(d, ask, None, str((cents + 50) // 100))
    if d.chance(0.5):
        tenths = (cents + 5) // 10
        ask = d.say(ROUND, a=value, to=d.of(("one decimal", "one decimal place", "the nearest tenth")))
        return talk(d, ask, None, f"{tenths // 10}.{tenths % 10}")
    n = d.num(11, 9999)
    return talk(
        d, d.say(ROUND, a=n, to=d.of(("the nearest ten", "the next ten", "tens"))), None, str((n + 5) // 10 * 10)
    )


def _money(d: Draw) -> tuple[Message, ...]:
    whole, cents = d.num(1, 9999), d.of((0, 50, d.num(1, 99)))
    text = d.of(
        (
            f"{whole} euros" + (f" and {cents} cents" if cents else ""),
            f"{whole}.{cents:02d} euros",
            f"{whole},{cents:02d} €",
        )
    )
    shape, answer = d.of(
        (
            ("0.00", f"{whole}.{cents:02d}"),
            ("€0.00", f"€{whole}.{cents:02d}"),
            ("0.00 EUR", f"{whole}.{cents:02d} EUR"),
            ("EUR 0.00", f"EUR {whole}.{cents:02d}"),
            ("€0,000.00", f"€{whole:,}.{cents:02d}"),
            ("a number of cents", str(whole * 100 + cents)),
        )
    )
    return talk(d, d.say(MONEY, f=shape), text, answer)


def _count(d: Draw) -> tuple[Message, ...]:
    pool = d.of((things.FOOD, things.OBJECT, things.ANIMAL, things.COLOUR))
    items = d.some(pool, d.num(2, 9))
    if d.chance(0.4):
        target = items[0]
        more = d.num(0, 3)
        mixed = d.shuffled(items[: d.num(1, len(items))] + [target] * more)
        return talk(d, d.say(COUNT_ONE, x=target), ", ".join(mixed), str(mixed.count(target)))
    sep = d.of((", ", "\n", "; ", " | ", "\n- "))
    return talk(d, d.say(COUNT), ("- " if sep == "\n- " else "") + sep.join(items), str(len(items)))
