"""Made-up things: people, companies, goods, codes, addresses, free text. Every word comes from the split's side."""

from __future__ import annotations

import re

from .core import Draw, Pool, lexicon
from .words import doing, names, places, things

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
HEX = "0123456789abcdef"
_STARTS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "cr",
    "dr",
    "fl",
    "gr",
    "kl",
    "pl",
    "pr",
    "sk",
    "sl",
    "sn",
    "st",
    "tr",
    "th",
    "sh",
    "ch",
]
_VOWELS = ["a", "e", "i", "o", "u", "a", "e", "o", "ai", "ea", "ou"]
_ENDS = ["", "", "", "n", "r", "l", "m", "s", "t", "x", "nd", "rk", "lt"]
CODE_SHAPES = Pool("""
AAA-0000
AA-000-00
aaa-0A0A0
aaa_000
A00000
00-AA-00
AAA0000A
aa00aa00
#00000
AA/0000/00
a0a0-a0a0
AAA.00.000
00000000
AAAA-AAAA
v0.00.0
AA0000
0A0A-0000-AA
aa-aaa-00
""")
HOSTS = lexicon(
    "mail, post, inbox, letters, office, team, home, desk, studio, hello, support, webmail, corner, parish, uni"
)
TOPS = ("com", "org", "net", "co.uk", "io", "de", "fr", "eu", "info", "nl")
PATHS = lexicon("""
about, news, shop, items, orders, docs, help, photos, team, menu, prices, events, blog, jobs, files, reports, maps
lists, guides, archive, search, user, login, contact, status
""")


def pseudo(d: Draw, low: int = 2, high: int = 3) -> str:
    return "".join(d.of(_STARTS) + d.of(_VOWELS) for _ in range(d.num(low, high))) + d.of(_ENDS)


def code(d: Draw) -> str:
    """A code-like id such as `ord-7F3K2`."""
    out = []
    for mark in d.pick(CODE_SHAPES):
        if mark == "0":
            out.append(str(d.num(0, 9)))
        elif mark == "A":
            out.append(d.of(LETTERS))
        elif mark == "a":
            out.append(d.of(LETTERS).lower())
        else:
            out.append(mark)
    return "".join(out).replace("v0.", "v1.")


def first(d: Draw) -> str:
    return d.pick(names.FIRST)


def person(d: Draw) -> str:
    return f"{d.pick(names.FIRST)} {d.pick(names.LAST)}"


def someone(d: Draw) -> str:
    """A person as people say it: a first name, a full name, or a title and surname."""
    roll = d.roll()
    if roll < 0.55:
        return first(d)
    if roll < 0.85:
        return person(d)
    return f"{d.of(('Mr', 'Mrs', 'Ms', 'Dr', 'Professor', 'Aunt', 'Uncle'))} {d.pick(names.LAST)}"


def company(d: Draw) -> str:
    head = d.pick(places.BRAND_HEAD)
    if d.chance(0.2):
        head = pseudo(d).capitalize()
    if d.chance(0.15):
        return f"{d.pick(names.LAST)} & {d.pick(names.LAST)}"
    return f"{head} {d.pick(places.BRAND_TAIL)}"


def product(d: Draw) -> str:
    head = d.pick(places.BRAND_HEAD) if d.chance(0.8) else pseudo(d).capitalize()
    tail = f" {d.of(LETTERS)}{d.num(1, 99)}" if d.chance(0.25) else ""
    return f"{head} {d.pick(places.GOODS_TAIL)}{tail}"


def thing(d: Draw) -> str:
    roll = d.roll()
    name = d.pick(things.OBJECT)
    if roll < 0.4:
        return name
    if roll < 0.7:
        return f"{d.pick(things.COLOUR)} {name}"
    if roll < 0.85:
        return f"{d.pick(things.MATERIAL)} {name}"
    return f"{d.pick(things.QUALITY)} {name}"


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun if noun in PLURALS_AS_IS else noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    return noun + "s"


PLURALS_AS_IS = {"binoculars", "scissors", "pliers", "trousers", "tweezers", "earbuds", "headphones", "boots", "shoes"}
IRREGULAR = {
    "knife": "knives",
    "shelf": "shelves",
    "mouse": "mice",
    "goose": "geese",
    "sheep": "sheep",
    "wolf": "wolves",
    "ox": "oxen",
    "deer": "deer",
    "postman": "postmen",
    "fisherman": "fishermen",
    "bison": "bison",
    "handkerchief": "handkerchiefs",
}


def article(noun: str) -> str:
    exact = noun.lower()
    silent = exact.startswith(("hour", "honest", "heir"))
    yoo = exact.startswith(("uni", "euro", "use", "ukul", "one"))
    return ("an " if (exact[0] in "aeiou" and not yoo) or silent else "a ") + noun


_OBJECTS = {
    "F": lambda d: d.pick(things.FOOD),
    "O": lambda d: "the " + thing(d),
    "P": lambda d: someone(d),
    "L": lambda d: "the " + d.pick(things.PLANT),
    "R": lambda d: "the " + d.pick(places.ROOM),
    "S": lambda d: d.pick(things.SUBJECT),
    "V": lambda d: "the " + d.pick(places.VENUE),
}


def action(d: Draw) -> str:
    """A verb with its object: water the tomatoes."""
    kind = d.of("FFOOOPPLRSV")
    text = f"{d.pick(doing.VERBS[kind])} {_OBJECTS[kind](d)}"
    if kind == "F" and d.chance(0.3):
        text += f" and {d.pick(things.FOOD)}"
    if d.chance(0.2):
        text += " " + d.pick(doing.TAIL)
    return text


def phrase(d: Draw) -> str:
    """Free text as in a note: mostly things to do, sometimes words from a book, rarely made-up words."""
    roll = d.roll()
    if roll < 0.6:
        return action(d)
    if roll < 0.8:
        return d.piece(2, 7)
    if roll < 0.92:
        return thing(d) + d.of((" for ", " from ", " and ", " with ")) + d.of((thing, first, someone))(d)
    return " ".join(pseudo(d) for _ in range(d.num(1, 3)))


def email(d: Draw) -> str:
    name = first(d).lower()
    last = d.pick(names.LAST).lower()
    user = d.of(
        (f"{name}.{last}", f"{name[0]}{last}", f"{name}{d.num(1, 99)}", f"{last}_{name}", name, f"{name}-{last[0]}")
    )
    host = d.pick(places.BRAND_HEAD).lower() if d.chance(0.6) else pseudo(d)
    tail = d.of(("", "", "-" + d.pick(HOSTS), d.pick(HOSTS)))
    return f"{user}@{host}{tail}.{d.of(TOPS)}"


def digits(d: Draw, count: int) -> str:
    return "".join(str(d.num(0, 9)) for _ in range(count))


def phone(d: Draw) -> str:
    n = digits(d, 10)
    return d.of(
        (
            f"0{n[:3]} {n[3:6]} {n[6:]}",
            f"+{d.num(1, 98)} {n[:3]} {n[3:6]} {n[6:]}",
            f"({n[:3]}) {n[3:6]}-{n[6:]}",
            f"{n[:3]}-{n[3:6]}-{n[6:]}",
            f"0{n}",
            f"+{d.num(30, 49)}{n}",
        )
    )


def url(d: Draw) -> str:
    host = (d.pick(places.BRAND_HEAD) + d.of(("", "", d.pick(places.GOODS_TAIL).replace(" ", "-")))).lower()
    path = "/".join(d.some(PATHS, d.num(0, 2)) + ([str(d.num(2, 9999))] if d.chance(0.4) else []))
    return f"{d.of(('https://', 'http://', 'https://www.', 'www.'))}{host}.{d.of(TOPS)}" + (f"/{path}" if path else "")


def address(d: Draw) -> str:
    return f"{d.num(1, 240)} {d.pick(places.STREET)}"


def path(d: Draw) -> str:
    stem = d.of((d.pick(things.OBJECT).replace(" ", "_"), pseudo(d), d.pick(PATHS), first(d).lower()))
    end = d.of(("txt", "pdf", "csv", "png", "jpg", "docx", "md", "json", "zip", "wav"))
    return f"{d.of(('', '', d.pick(PATHS) + '/'))}{stem}{d.of(('', f'_{d.num(1, 2030)}', '-final', '-v2'))}.{end}"


def price(d: Draw) -> float:
    return round(d.num(1, 400) + d.of((0.0, 0.5, 0.99, 0.25, d.num(0, 99) / 100)), 2)


_ARTICLE = re.compile(r"\b([Aa]) (?=([a-z]+))")


def fix_articles(text: str) -> str:
    """`a apple` to `an apple`, in small-letter words."""
    return _ARTICLE.sub(lambda m: f"{m[1]}n " if article(m[2]).startswith("an ") else m[0], text)
