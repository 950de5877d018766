"""A spoken wish turned into a short record: a text copied, times, lengths, amounts and lists put in order.

The keys that are asked for stand in the system message, so that the same sentence has many answers. Often somebody
thinks again while speaking ("at nine, no, at ten"): the last word counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import made
from .core import Draw, Message, Pool, dumps
from .kinds import ONES, clock, in_words
from .noise import rough
from .words import things

Part = tuple[str, Any]  # as said, as written

KEYS = Pool("""
Write JSON with the keys {keys}.
JSON[ only|], keys: {keys}
[Note|Take] down {keys} as JSON.
Answer with one JSON object: {keys}
Keys {keys}[; leave out what is not said|].
{keys} -> JSON
Turn what is said into JSON ({keys}).
Listen and fill in {keys}. JSON.
You write a record of each sentence: {keys}
Fields: {keys}. [No words beside the JSON.|]
""")
AGAIN = Pool("""
{a}, no, {b}
{a}, sorry, {b}
{a} - no wait, {b}
{a}, I mean {b}
{a} ... make that {b}
{a}, or rather {b}
not {a} but {b}
{a}, hang on, {b} instead
{a}, correction, {b}
{a} no {b}
{a}? No, {b}
""")
BEFORE = Pool("""
Right,
Could you
I was thinking,
It's late, but
Good, now
Before I forget:
My sister asked, so
As ever,
The post has come, and
Be so kind and
Well,
Listen,
One more thing:
The others are waiting, so
I nearly forgot,
We talked about it yesterday,
""")
AFTER = Pool("""
please
thank you
and that is all
if you can
before they come
when you have a minute
for once
I think
as I said
and be quick
that would be kind
""")
TEXT = Pool("""
[scribble down|set down] [that |]{text}
put down {text}
the note [is|says] {text}
a note called {text}
[save|keep] this: {text}
call it {text}
with the name {text}
[title it|under the title] {text}
it is about {text}
write: {text}
enter {text}
the entry reads {text}
""")
TIME = Pool("""
at {time}
[by|before] {time}
for {time}
[start|starting] at {time}
the time is {time}
from {time}
{time} would be right
[set|put] it at {time}
not before {time}
round about {time}
""")
LENGTH = Pool("""
for {seconds}
it takes {seconds}
{seconds} long
give it {seconds}
[lasting|that lasts] {seconds}
{seconds} from now
run it for {seconds}
that is {seconds}
with {seconds} on the clock
{seconds} should do
""")
DAY = Pool("""
on {day}
this {day}
{day} [then|it is]
[next|the coming] {day}
say {day}
the day is {day}
make it {day}
every {day}
""")
ITEMS = Pool("""
[bring|get|fetch] {items}
we need {items}
there should be {items}
{items} [are missing|are needed]
pack {items}
don't leave out {items}
take {items} along
buy {items}
order {items}
with {items}
""")
CHANGE = Pool("""
{change}
[set|turn] it {change}
I want it {change}
it should be {change}
go {change}
put it {change}
""")
SHARE = Pool("""
to {percent}
at {percent}
[make|let] it be {percent}
{percent} of the full amount
keep {percent}
up to {percent}
about {percent}
""")
NAMES = {
    "text": ("text", "title", "note", "name"),
    "time": ("time", "start", "at"),
    "seconds": ("seconds", "length", "duration"),
    "day": ("day", "weekday"),
    "items": ("items", "things", "list"),
    "change": ("change", "step", "by"),
    "percent": ("percent", "share", "level"),
}  # what the key of each kind is called
PARTS = (
    ("in the morning", 5, 11),
    ("in the afternoon", 13, 17),
    ("in the evening", 18, 21),
    ("tonight", 18, 23),
    ("at night", 22, 23),
)  # what is said, first hour, last hour
LENGTHS = (
    ("half an hour", 1800),
    ("a quarter of an hour", 900),
    ("an hour and a half", 5400),
    ("three quarters of an hour", 2700),
    ("half a minute", 30),
    ("an hour", 3600),
    ("a minute and a half", 90),
    ("two and a half minutes", 150),
    ("two and a half hours", 9000),
)
NUMBERED = (("up", 1), ("higher", 1), ("more", 1), ("down", -1), ("lower", -1), ("less", -1))


def _number(d: Draw, n: int) -> str:
    return in_words(n) if d.chance(0.5) else str(n)


def _text(d: Draw) -> Part:
    said = d.of((lambda: d.piece(1, 6), lambda: d.piece(2, 8), lambda: made.phrase(d), lambda: made.thing(d),
                 lambda: made.person(d), lambda: made.pseudo(d).capitalize()))()  # fmt: skip
    if d.chance(0.2):
        said = " ".join(word.capitalize() for word in said.split())
    return said, said


def _time(d: Draw) -> Part:
    if d.chance(0.5):
        return clock(d)
    part, first, last = d.of(PARTS)
    hour, minute = d.num(first, last), d.of((0, 0, 0, 30, 15, 45, 5 * d.num(1, 11)))
    twelve = hour % 12 or 12
    if minute == 0:
        said = _number(d, twelve)
    elif minute == 30 and d.chance(0.4):
        said = f"half {d.of(('past ', ''))}{ONES[twelve]}"
    else:
        said = f"{twelve}:{minute:02d}" if d.chance(0.6) else f"{ONES[twelve]} {in_words(minute)}"
    return f"{said} {part}", f"{hour:02d}:{minute:02d}"


def _seconds(d: Draw) -> Part:
    roll, joined = d.roll(), d.of(("", "and "))
    if roll < 0.12:
        return d.of(LENGTHS)
    if roll < 0.65:
        n = d.num(2, 59)
        return f"{_number(d, n)} {d.of(('minutes', 'minutes', 'min'))}", 60 * n
    if roll < 0.8:
        hours, n = d.num(1, 4), d.of((5, 10, 15, 20, 25, 30, 40, 45, 50))
        said = f"{_number(d, hours)} hour{'s' * (hours > 1)} {joined}{_number(d, n)} minutes"
        return said, 60 * (60 * hours + n)
    if roll < 0.9:
        n, extra = d.num(1, 12), d.of((10, 15, 20, 30, 40, 45, 50))
        return f"{_number(d, n)} minute{'s' * (n > 1)} {joined}{_number(d, extra)} seconds", 60 * n + extra
    n = d.num(5, 95)
    return f"{_number(d, n)} seconds", n


def _day(d: Draw) -> Part:
    name = d.of(made.DAYS)
    return name if d.chance(0.6) else name.lower(), name[:3].lower()


def _items(d: Draw) -> Part:
    found = list(dict.fromkeys(_item(d) for _ in range(d.num(1, 4))))
    said = found[0] if len(found) == 1 else ", ".join(found[:-1]) + d.of((" and ", ", ", ", and ")) + found[-1]
    if len(found) > 2 and d.chance(0.15):
        said = " and ".join(found)
    return said, found


def _item(d: Draw) -> str:
    thing = d.pick(d.of((things.FOOD, things.OBJECT, things.PLANT)))
    roll = d.roll()
    if roll < 0.25:
        return f"{d.pick(things.QUALITY)} {thing}"
    if roll < 0.4:
        return f"{_number(d, d.num(2, 12))} {made.plural(d.pick(things.OBJECT))}"
    return f"{made.pseudo(d)} {thing}" if roll < 0.55 else thing


def _change(d: Draw) -> Part:
    (word, sign), n = d.of(NUMBERED), d.of((1, 2, 3, 4, 5, 10, 15, 20))
    return f"{_number(d, n)} {word}" if d.chance(0.5) else f"{word} by {_number(d, n)}", sign * n


def _percent(d: Draw) -> Part:
    if d.chance(0.2):
        return d.of((("half", 50), ("a quarter", 25), ("three quarters", 75), ("full", 100), ("a third", 33)))
    n = d.num(1, 99) if d.chance(0.5) else 5 * d.num(1, 20)
    return f"{_number(d, n)}{d.of((' percent', ' per cent', '%' if d.chance(0.5) else ' percent'))}", n


MAKERS: dict[str, tuple[Pool, Callable[[Draw], Part]]] = {
    "text": (TEXT, _text),
    "time": (TIME, _time),
    "seconds": (LENGTH, _seconds),
    "day": (DAY, _day),
    "items": (ITEMS, _items),
    "change": (CHANGE, _change),
    "percent": (SHARE, _percent),
}


def _clause(d: Draw, kind: str) -> tuple[str, Any, list[str]]:
    """Words for one value, the value, and what no slip of the finger may touch."""
    pool, maker = MAKERS[kind]
    spoken, written = maker(d)
    values = [spoken]
    if kind not in ("text", "items") and d.chance(0.22):
        other, first = maker(d)
        if first != written:
            values.append(other)
            spoken = d.say(AGAIN, a=other, b=spoken)
    return d.say(pool, **{kind: spoken}), written, values


def _sentence(d: Draw, clauses: list[str]) -> str:
    said = d.of((" ", ", ")).join(clauses)
    if d.chance(0.3):
        said = f"{d.say(BEFORE)} {said}"
    if d.chance(0.2):
        said = f"{said}, {d.say(AFTER)}"
    return said


def make(d: Draw) -> tuple[Message, ...]:
    kinds = [kind for kind in MAKERS if kind not in ("change", "percent")] if d.chance(0.7) else list(MAKERS)
    chosen = d.rng.sample(kinds, 1 + d.chance(0.7) + d.chance(0.25))
    names = {kind: d.of(NAMES[kind]) for kind in chosen}
    made_of = {kind: _clause(d, kind) for kind in chosen}
    shown = d.shuffled([*names.values(), *(["place"] if d.chance(0.1) else [])])
    found = {names[kind]: written for kind, (_, written, _) in made_of.items()}
    sentence = _sentence(d, [words for words, _, _ in made_of.values()])
    values = [value for _, _, held in made_of.values() for value in held]
    said = rough(d, sentence, values)
    if d.chance(0.5) and not said.startswith(tuple(values)):
        said = said[0].upper() + said[1:] + d.of((".", ".", "!", ""))
    answer = dumps({key: found[key] for key in shown if key in found})
    return Message("system", d.say(KEYS, keys=", ".join(shown))), Message("user", said), Message("assistant", answer)
