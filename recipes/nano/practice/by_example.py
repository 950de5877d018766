"""Practice in following examples: a random transformation or a random labelling is shown, then a new input."""

from __future__ import annotations

from collections.abc import Callable

from . import made
from .core import Draw, Message, Pool, dumps, lexicon
from .kinds import in_words
from .layout import SYSTEM
from .words import doing, names, places, things

POOLS = {
    "objects": things.OBJECT,
    "foods": things.FOOD,
    "animals": things.ANIMAL,
    "colours": things.COLOUR,
    "jobs": things.JOB,
    "cities": places.CITY,
    "names": names.FIRST,
    "subjects": things.SUBJECT,
    "qualities": things.QUALITY,
    "music": things.GENRE,
    "rooms": places.ROOM,
    "verbs": doing.REGULAR,
}
Step = Callable[[str], str]
STEPS: dict[str, Step] = {
    "same": lambda s: s,
    "same2": lambda s: s,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "length": lambda s: str(len(s)),
    "words": lambda s: str(len(s.split())),
    "initial": lambda s: s[0],
    "initials": lambda s: "".join(w[0] for w in s.split()),
    "last": lambda s: s[-1],
    "firstword": lambda s: s.split()[0],
    "lastword": lambda s: s.split()[-1],
    "reverse": lambda s: " ".join(reversed(s.split())),
    "under": lambda s: s.replace(" ", "_"),
    "dash": lambda s: s.replace(" ", "-"),
    "double": lambda s: f"{s} {s}",
    "quote": lambda s: f'"{s}"',
    "head3": lambda s: s[:3],
    "plain": lambda s: s.replace(" ", ""),
    "json": lambda s: dumps(s.split()),
}
PARTS = (" | ", ", ", " - ", "; ", " / ", " ~ ", " : ", " > ", " + ", "\t", " & ", " ## ")
WRAPS = ("{}", "{}", "{}", "<{}>", "[{}]", "({})", "*{}*", "{}!", "#{}", "@{}", "{}.", "--{}--", "{{{}}}")
ARROWS = (" -> ", " => ", ": ", " = ", " | ", "\n", " :: ", " becomes ", " >> ", "\nAnswer: ", "\nOut: ", " ; ")
HEADS = ("", "", "Input: ", "In: ", "Q: ", "> ", "- ", "Word: ", "Text: ", "x = ", "Example: ")
LEAD = Pool("""
Follow the examples.
[Continue|Go on] [in the same way|like this|the pattern].
Do the same for the last line.
[Find|Guess] the rule and apply it.
[Look at|Study] the examples, then [answer|complete the last one].
[Same|Like] pattern:
Complete the last line.
What comes next?
Examples:
[Learn|Take] the format from these lines.
Each line shows an input and its output.
Give the missing output.
The pattern is easy to see. Use it.
Fill in the last answer.
Work out what belongs at the end.
""")
LABELLED = Pool("""
[Label|Classify] the last line [like the others|as in the examples].
Give the right label.
[Which|What] label [belongs|goes] to the last one?
The labels have meanings only the examples show.
Examples with labels. [Add|Write] the missing label.
Sort the last entry into a group.
Use the labels as shown.
Choose the tag.
Same groups as above; which one?
""")
KEYS = lexicon("""
n, name, value, x, key, item, word, id, out, label, v, text, result, data, term, token, entry, field, w, a, b, c, q
r, tag, kind, left, right, one, two, first, second, foo, bar, unit, part, node
""")


def _value(d: Draw) -> str:
    roll = d.roll()
    if roll < 0.3:
        return made.thing(d)
    if roll < 0.45:
        return made.person(d)
    if roll < 0.65:
        return d.pick(d.of(tuple(POOLS.values())))
    if roll < 0.8:
        return made.action(d)
    if roll < 0.9:
        return made.pseudo(d)
    return made.code(d)


def _format(d: Draw) -> Step:
    """A random composition of steps, wraps and separators, or a JSON object of steps."""
    steps = [STEPS[d.of(tuple(STEPS))] for _ in range(d.num(1, 3))]
    if d.chance(0.35):
        keys = d.some(KEYS, len(steps))
        return lambda s: dumps({k: f(s) for k, f in zip(keys, steps, strict=False)})
    part, wraps = d.of(PARTS), [d.of(WRAPS) for _ in steps]
    prefix = made.pseudo(d, 1, 2) + d.of((" ", ": ", "-", "/")) if d.chance(0.2) else ""
    return lambda s: prefix + part.join(w.format(f(s)) for w, f in zip(wraps, steps, strict=False))


def _turn(d: Draw, rows: list[tuple[str, str]], lead: str | None) -> tuple[Message, ...]:
    head, arrow = d.of(HEADS), d.of(ARROWS)
    *shown, (question, answer) = rows
    if d.chance(0.25):
        messages = [Message("system", lead)] if lead and d.chance(0.7) else []
        for q, a in shown:
            messages += [Message("user", q), Message("assistant", a)]
        return (*messages, Message("user", question), Message("assistant", answer))
    gap = "\n\n" if "\n" in arrow or d.chance(0.2) else "\n"
    body = gap.join(f"{head}{q}{arrow}{a}" for q, a in shown)
    last = f"{head}{question}" if d.chance(0.3) else f"{head}{question}{arrow.rstrip()}"
    if d.chance(0.25):
        return (
            Message("system", f"{lead}\n{body}" if lead else body),
            Message("user", question),
            Message("assistant", answer),
        )
    user = (
        f"{body}{gap}{last}"
        if not lead
        else f"{lead}\n\n{body}{gap}{last}"
        if d.chance(0.7)
        else f"{body}{gap}{last}\n\n{lead}"
    )
    system = (Message("system", d.say(SYSTEM)),) if d.chance(0.12) else ()
    return (*system, Message("user", user), Message("assistant", answer))


def make(d: Draw) -> tuple[Message, ...]:
    roll = d.roll()
    if roll < 0.35:
        return _labels(d)
    lead = d.say(LEAD) if d.chance(0.6) else None
    if roll < 0.5:
        return _turn(d, _pairs(d), lead)
    apply = _format(d)
    inputs = list(dict.fromkeys(_value(d) for _ in range(d.num(3, 5))))
    return _turn(d, [(x, apply(x)) for x in inputs], lead)


def _pairs(d: Draw) -> list[tuple[str, str]]:
    """Rows of two or three values, rearranged."""
    part, sep = d.of(PARTS), d.of((", ", " ", " / ", "; "))
    kinds = [
        d.of((made.first, made.thing, lambda d: str(d.num(2, 99)), made.code, lambda d: d.pick(places.CITY)))
        for _ in range(3)
    ]
    order = d.rng.sample(range(3), d.num(1, 3))
    as_json = d.some(KEYS, 3) if d.chance(0.5) else None
    say_number = d.chance(0.3)
    rows = []
    for _ in range(d.num(3, 4)):
        values = [kind(d) for kind in kinds]
        out = [in_words(int(v)) if say_number and v.isdigit() and len(v) < 3 else v for v in values]
        answer = dumps({as_json[i]: out[i] for i in order}) if as_json else part.join(out[i] for i in order)
        rows.append((sep.join(values), answer))
    return rows


def _labels(d: Draw) -> tuple[Message, ...]:
    """In-context classification with labels made up on the spot, or with the names of the groups."""
    groups = d.rng.sample(tuple(POOLS), d.num(2, 3))
    label = d.of(
        (lambda: made.pseudo(d), lambda: d.of(made.LETTERS), lambda: d.pick(things.COLOUR), lambda: str(d.num(1, 99)))
    )
    made_up = {g: label() for g in groups}
    if len(set(made_up.values())) < len(groups) or d.chance(0.15):
        made_up = {g: g for g in groups}
    rows = []
    for group in groups:
        items = d.some(POOLS[group], 2 if len(groups) == 3 else d.num(2, 3))
        rows += [(item, made_up[group]) for item in items]
    rows = d.shuffled(rows)
    group = d.of(groups)
    seen = {q for q, _ in rows}
    fresh = next((x for x in d.some(POOLS[group], 8) if x not in seen), None)
    if fresh is None:
        return _labels(d)
    lead = d.say(LABELLED if d.chance(0.6) else LEAD) if d.chance(0.7) else None
    return _turn(d, [*rows, (fresh, made_up[group])], lead)
