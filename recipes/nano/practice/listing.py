"""Practice with lists: order, reverse, dedupe, filter, join, pick."""

from __future__ import annotations

from . import made
from .core import Draw, Message, Pool, dumps
from .layout import talk
from .words import names, places, things

TASKS = {
    "alpha": Pool("""
[Sort|Order|Arrange] [the list|these|the words] [alphabetically|from A to Z|in alphabetical order].
Alphabetical order, please.
Put them in order, A to Z.
Sort by first letter, A first.
ABC order:
Line them up as in a dictionary.
    """),
    "alpha_back": Pool("""
[Sort|Order] [the list|these] from Z to A.
Reverse alphabetical order.
Put them in order, Z first.
Alphabetically, but backwards.
    """),
    "up": Pool("""
[Sort|Order|Arrange] the numbers from [small to large|low to high|smallest to largest].
Ascending order[, please|].
Smallest first.
Put the numbers in rising order.
Sort upwards.
    """),
    "down": Pool("""
[Sort|Order|Arrange] the numbers from [large to small|high to low|largest to smallest].
Descending order[, please|].
Largest first.
Put the numbers in falling order.
Sort downwards.
    """),
    "reverse": Pool("""
Reverse the [list|order].
[Write|Give] [the list|it] backwards[, last item first|].
Last one first.
Turn the list around.
From back to front.
Same items, opposite order.
    """),
    "dedupe": Pool("""
Remove [duplicates|repeated items|doubles].
[Write|Give] each item [only |]once.
Drop [what is|items] listed twice.
Unique items, in their first order.
No repeats, please.
Clean the list of doubles.
    """),
    "first": Pool("""
[Write|Give] the first item.
What is on top of the list?
Only the first entry.
Which one comes first?
Item one, please.
    """),
    "last": Pool("""
[Write|Give] the last item.
What is at the end of the list?
Only the final entry.
Which one comes last?
The one at the bottom.
    """),
    "json": Pool("""
[Write|Give] [the list|it] as a JSON array.
[Turn|Convert] [this|the list] into a JSON [list|array] of strings.
JSON array, please.
As a list in JSON:
Make it an array.
    """),
    "lines": Pool("""
[Write|Put] each item on its own line.
One item per line.
Break the list into lines.
A line for each[ entry|], nothing else.
    """),
    "dashes": Pool("""
[Make|Write] a bullet list with dashes.
Turn [it|this] into bullets ("- ").
Bullet points, please, each with a dash.
As a dashed list:
    """),
    "and": Pool("""
[Join|Write] them in a sentence list with "and" before the last.
Comma list with "and" at the end.
As one would say it: a, b and c.
Join the items with commas and a last "and".
    """),
    "longest": Pool("""
[Which|What] is the longest word?
[Give|Find] the item with the most letters.
The longest one, please.
Longest entry:
    """),
}
WITH = Pool("""
[Keep|Give|Write] only [the items|those|words] that {c}.
Which [of them|items] {c}?
Filter: {c}.
[Pick|List] those that {c}.
Only what {c}, in the same order.
Drop all but those that {c}.
""")
MIXED = Pool("""
[Keep|Write] only the {g}.
Which of these are {g}?
[Pick|Pull] out the {g}.
List the {g} [among them|in it].
Only {g}, in the same order.
Filter: {g}.
""")
ADD = Pool("""
Add "{x}" to the [end of the |]list.
[Append|Put] "{x}" [at the end|last].
The list plus "{x}":
Also "{x}", at the end.
""")
DROP = Pool("""
[Remove|Delete|Drop] "{x}" from the list.
The list without "{x}":
Take out "{x}".
Everything but "{x}".
No "{x}" any more.
""")
GROUPS = {
    "foods": things.FOOD,
    "animals": things.ANIMAL,
    "colours": things.COLOUR,
    "cities": places.CITY,
    "jobs": things.JOB,
}
_POOLS = (
    things.FOOD,
    things.OBJECT,
    things.ANIMAL,
    things.COLOUR,
    names.FIRST,
    places.CITY,
    things.JOB,
    things.SUBJECT,
)


def make(d: Draw) -> tuple[Message, ...]:
    sep = d.of((", ", ", ", "\n", "; ", " | ", " "))
    roll = d.roll()
    if roll < 0.15:
        return _mixed(d, sep if sep != " " else ", ")
    pool = d.of(_POOLS)
    items = [x for x in d.some(pool, d.num(3, 8)) if " " not in x or sep != " "]
    if d.chance(0.1):
        items = [made.pseudo(d) for _ in range(d.num(3, 6))]
    if len(items) < 2:
        return _mixed(d, ", ")
    if roll < 0.25:
        return _with(d, items, sep)
    if roll < 0.4:
        x = d.of(items)
        if d.chance(0.5):
            rest = [i for i in items if i != x]
            return talk(d, d.say(DROP, x=x), sep.join(items), sep.join(rest))
        new = d.pick(pool) if d.chance(0.6) else made.thing(d)
        return talk(d, d.say(ADD, x=new), sep.join(items), sep.join([*items, new]))
    how = d.of(tuple(TASKS))
    if how in ("up", "down"):
        numbers = [d.num(1, d.of((20, 99, 999))) for _ in range(d.num(3, 7))]
        return talk(
            d,
            d.say(TASKS[how]),
            sep.join(map(str, numbers)),
            sep.join(map(str, sorted(numbers, reverse=how == "down"))),
        )
    if how == "dedupe":
        items = d.shuffled(items[:5] + [d.of(items[:5]) for _ in range(d.num(1, 3))])
    if how == "longest" and sum(len(i) == max(map(len, items)) for i in items) > 1:
        how = "reverse"
    return talk(d, d.say(TASKS[how]), sep.join(items), _answer(how, items, sep))


def _answer(how: str, items: list[str], sep: str) -> str:
    if how in ("alpha", "alpha_back"):
        return sep.join(sorted(items, key=str.lower, reverse=how == "alpha_back"))
    if how == "and":
        return ", ".join(items[:-1]) + " and " + items[-1]
    return {
        "reverse": lambda: sep.join(items[::-1]),
        "dedupe": lambda: sep.join(dict.fromkeys(items)),
        "first": lambda: items[0],
        "last": lambda: items[-1],
        "json": lambda: dumps(items),
        "lines": lambda: "\n".join(items),
        "dashes": lambda: "\n".join(f"- {i}" for i in items),
        "longest": lambda: max(items, key=len),
    }[how]()


def _with(d: Draw, items: list[str], sep: str) -> tuple[Message, ...]:
    pick = d.of(items)
    letter = pick[0].lower()
    if d.chance(0.5):
        kept = [i for i in items if i[0].lower() == letter]
        clause = f'[start|begin] with "{letter}"'
    elif d.chance(0.5):
        kept = [i for i in items if i[-1].lower() == pick[-1].lower()]
        clause = f'end [in|with] "{pick[-1].lower()}"'
    else:
        letter = d.of(pick.replace(" ", "")).lower()
        kept = [i for i in items if letter in i.lower()]
        clause = f'[contain|hold] the letter "{letter}"'
    return talk(d, d.say(WITH, c=d.fill(clause)), sep.join(items), sep.join(kept))


def _mixed(d: Draw, sep: str) -> tuple[Message, ...]:
    a, b = d.rng.sample(tuple(GROUPS), 2)
    wanted = d.some(GROUPS[a], d.num(1, 4))
    others = [x for x in d.some(GROUPS[b], d.num(2, 4)) if x not in GROUPS[a].train + GROUPS[a].test]
    items = d.shuffled(wanted + others)
    return talk(d, d.say(MIXED, g=a), sep.join(items), sep.join(i for i in items if i in wanted))
