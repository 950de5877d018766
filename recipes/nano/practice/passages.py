"""Practice in questions on a passage of made-up facts, a log or a table; at times the answer is not there."""

from __future__ import annotations

from collections.abc import Callable

from . import made
from .core import Draw, Message, Pool
from .kinds import KINDS
from .layout import SYSTEM
from .words import places, things

Maker = Callable[[Draw], str]
# Attribute of a person: its statements, its questions, its value.
FACTS: list[tuple[Pool, Pool, Maker]] = [
    (Pool("""
{p} lives in {v}
{p} has a flat in {v}
home for {p} is {v}
{p} moved to {v} [years ago|last spring|as a child]
you will find {p} in {v}
{v} is where {p} lives
    """), Pool("""
Where does {p} live?
In which [city|town] does {p} live?
What is {p}'s home town?
Which place is {p}'s home?
{p} lives where?
    """), lambda d: d.pick(places.CITY)),
    (Pool("""
{p} works as a {v}
{p} is a {v} by trade
{p} earns a living as a {v}
by day {p} is a {v}
{p} trained as a {v} and stayed with it
{p}, the {v}, is well known here
    """), Pool("""
What is {p}'s job?
What does {p} do for a living?
What work does {p} do?
{p}'s profession?
As what does {p} work?
    """), lambda d: d.pick(things.JOB)),
    (Pool("""
{p} [owns|has] a {v}
there is a {v} at {p}'s house
{p} keeps a {v}
a {v} belongs to {p}
{p}'s {v} sleeps by the stove
    """), Pool("""
[What|Which] animal does {p} [have|own|keep]?
What pet belongs to {p}?
{p}'s animal?
Which creature lives with {p}?
    """), lambda d: d.pick(things.ANIMAL)),
    (Pool("""
{p} [bought|got] a {v}
{p} came home with a {v}
{p} was given a {v}
{p} carried a {v} [under one arm|all day]
a {v} went to {p}
    """), Pool("""
What did {p} [get|come by]?
Which thing went to {p}?
What does {p} have now?
Name {p}'s new possession.
    """), made.thing),
    (Pool("""
{p} has a meeting on {v}
{p} is expected on {v}
on {v} {p} comes by
{p} chose {v} for the visit
for {p}, {v} is the day
    """), Pool("""
[On which|Which] day [is|was] named for {p}?
When is {p} [due|expected]?
What day belongs to {p}?
Which day of the week goes with {p}?
    """), lambda d: d.of(made.DAYS)),
    (Pool("""
{p} paid {v}
{p} spent {v} [in all|that day]
the bill for {p} was {v}
{p} owes {v}
{v} came from {p}
    """), Pool("""
How much [was it for|is named for] {p}?
What sum goes with {p}?
Which amount of money concerns {p}?
How much money, in {p}'s case?
    """), lambda d: KINDS["money"](d)[0]),
    (Pool("""
{p}'s phone number is {v}
you reach {p} on {v}
{p} answers at {v}
to call {p}, dial {v}
    """), Pool("""
What is {p}'s [phone |]number?
How can one call {p}?
Which number reaches {p}?
{p}'s telephone?
    """), made.phone),
    (Pool("""
{p} left the keys in the {v}
{p} waits in the {v}
{p} was last seen in the {v}
the {v} is where {p} sat
{p} sleeps in the {v}
    """), Pool("""
[In which|Which] room [is linked to|goes with] {p}?
Where in the house was {p}?
What room is named with {p}?
Which part of the house concerns {p}?
    """), lambda d: d.pick(places.ROOM)),
    (Pool("""
{p} ordered {v}
{p} ate {v} [for lunch|at noon]
the {v} was for {p}
{p} likes {v} best
on {p}'s plate there was {v}
    """), Pool("""
What did {p} eat?
Which food goes with {p}?
What food is named for {p}?
{p}'s food?
    """), lambda d: d.pick(things.FOOD)),
    (Pool("""
{p} is with {v}
{p} works for {v}
{v} employs {p}
{p} signed with {v} [last year|]
at {v} they all know {p}
    """), Pool("""
Who employs {p}?
Which company does {p} work for?
What is the name of {p}'s company?
{p} is with which firm?
    """), made.company),
]  # fmt: skip
NOT = (
    "not stated",
    "null",
    "unknown",
    "none",
    "not given",
    "n/a",
    "no answer",
    "?",
    "missing",
    "not in the text",
    "I don't know",
)
ELSE = Pool("""
If [it is not there|the text does not say], [answer|write|say] {no}.
If the answer is not in the text, reply {no}.
When the text is silent: {no}.
Answer {no} if it is not [stated|mentioned].
No answer in the text? Then {no}.
Otherwise {no}.
Unknown things: {no}.
""")
ASK = Pool("""
{q}
{q}
{q}
Question: {q}
[Answer|Reply] [briefly|shortly|in a few words]: {q}
[Using|From] the text[ only|]: {q}
{q} [Short answer.|A few words.|Only the answer.]
According to the [text|notes|passage]: {q}
Q: {q}
Tell me: {q}
""")
TABLE_ASK = Pool("""
What is the {c} of {p}?
{p}: {c}?
[Which|What] {c} does {p} have?
[Give|Read] the {c} for {p}.
Find {p}'s {c}.
""")
REVERSE = Pool("""
Who has the {c} {v}?
Which name goes with the {c} {v}?
[Find|Name] the one whose {c} is {v}.
{v} is the {c} of whom?
""")
COLUMNS: dict[str, Maker] = {
    "city": lambda d: d.pick(places.CITY),
    "job": lambda d: d.pick(things.JOB),
    "code": made.code,
    "price": lambda d: f"{made.price(d):.2f}",
    "colour": lambda d: d.pick(things.COLOUR),
    "room": lambda d: d.pick(places.ROOM),
    "day": lambda d: d.of(made.DAYS),
    "score": lambda d: str(d.num(1, 100)),
    "phone": made.phone,
    "item": made.thing,
}
EVENTS = Pool("""
{p} logged in
{p} opened {x}
{p} [deleted|removed] {x}
error in {x}
{x} [restarted|stopped]
{p} uploaded {x}
backup of {x} [done|failed]
door {n} opened by {p}
{p} changed {x}
timeout while reading {x}
""")
LOG_ASK = Pool("""
At what time: {e}?
When does the log say "{e}"?
Give the time of "{e}".
Time of the entry {e}?
""")


def make(d: Draw) -> tuple[Message, ...]:
    roll = d.roll()
    if roll < 0.65:
        return _story(d)
    return _table(d) if roll < 0.85 else _log(d)


def _talk(d: Draw, text: str, question: str, answer: str | None, must_say: bool) -> tuple[Message, ...]:
    no = d.of(NOT)
    rule = d.say(ELSE, no=d.of((f'"{no}"', no, no))) if answer is None or must_say else ""
    ask, answer = d.say(ASK, q=question), no if answer is None else answer
    head = d.of(("", "", "Text: ", "Notes:\n", "Passage:\n", "Context: "))
    if d.chance(0.4):
        system = " ".join(x for x in (d.say(SYSTEM) if d.chance(0.7) else "", rule) if x)
        user = f"{head}{text}\n\n{ask}" if d.chance(0.8) else f"{ask}\n\n{text}"
        first = (Message("system", system),) if system else ()
        return (*first, Message("user", user), Message("assistant", answer))
    if d.chance(0.25):
        return (Message("system", f"{head}{text}\n{rule}".strip()), Message("user", ask), Message("assistant", answer))
    ask = f"{ask} {rule}".strip() if d.chance(0.7) else f"{rule} {ask}".strip()
    user = f"{head}{text}\n\n{ask}" if d.chance(0.75) else f"{ask}\n\n{text}"
    return (Message("user", user), Message("assistant", answer))


def _story(d: Draw) -> tuple[Message, ...]:
    people = list(dict.fromkeys((made.first if d.chance(0.7) else made.person)(d) for _ in range(d.num(2, 4))))
    facts = d.rng.sample(FACTS, d.num(1, 3))
    told = []
    for person in people:
        for fact in facts:
            if d.chance(0.75) or not told:
                told.append((person, fact, fact[2](d)))
    lines = []
    for person, fact, value in d.shuffled(told):
        line = made.fix_articles(d.say(fact[0], p=person, v=value))
        lines.append(line[0].upper() + line[1:] + ".")
    if d.chance(0.3):
        lines.insert(d.num(0, len(lines)), d.sentence(20, 100))
    text = d.of((" ", " ", "\n")).join(lines)
    known = {(person, id(fact)) for person, fact, _ in told}
    if d.chance(0.27):
        gaps = [(p, f) for p in people for f in FACTS if (p, id(f)) not in known]
        person, fact = d.of(gaps)
        return _talk(d, text, d.say(fact[1], p=person), None, True)
    person, fact, value = d.of(told)
    return _talk(d, text, d.say(fact[1], p=person), value, d.chance(0.3))


def _table(d: Draw) -> tuple[Message, ...]:
    columns = d.rng.sample(tuple(COLUMNS), d.num(1, 3))
    rows = {made.first(d): [COLUMNS[c](d) for c in columns] for _ in range(d.num(3, 5))}
    sep = d.of((" | ", ",", "\t", "; "))
    lines = [sep.join(["name", *columns])] + [sep.join([p, *vs]) for p, vs in rows.items()]
    if sep == " | " and d.chance(0.5):
        lines.insert(1, " | ".join("---" for _ in range(len(columns) + 1)))
    at = d.num(0, len(columns) - 1)
    person = d.of(tuple(rows))
    if d.chance(0.2):
        stranger = made.first(d)
        if stranger not in rows:
            return _talk(d, "\n".join(lines), d.say(TABLE_ASK, c=columns[at], p=stranger), None, True)
    value = rows[person][at]
    if d.chance(0.3) and sum(vs[at] == value for vs in rows.values()) == 1:
        return _talk(d, "\n".join(lines), d.say(REVERSE, c=columns[at], v=value), person, d.chance(0.2))
    return _talk(d, "\n".join(lines), d.say(TABLE_ASK, c=columns[at], p=person), value, d.chance(0.2))


def _log(d: Draw) -> tuple[Message, ...]:
    hour, minute = d.num(0, 20), d.num(0, 20)
    entries: dict[str, str] = {}
    for _ in range(d.num(3, 6)):
        minute += d.num(1, 25)
        hour, minute = (hour + minute // 60) % 24, minute % 60
        entries[d.say(EVENTS, p=made.first(d).lower(), x=made.path(d), n=d.num(1, 9))] = f"{hour:02d}:{minute:02d}"
    text = "\n".join(f"{when} {what}" for what, when in entries.items())
    if d.chance(0.2):
        missing = d.say(EVENTS, p=made.first(d).lower(), x=made.path(d), n=d.num(10, 20))
        if missing not in entries:
            return _talk(d, text, d.say(LOG_ASK, e=missing), None, True)
    event = d.of(tuple(entries))
    return _talk(d, text, d.say(LOG_ASK, e=event), entries[event], d.chance(0.2))
