"""Practice in short rewriting: normalising, spacing, contractions, person, replacing, polite and curt forms."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import grammar, made
from .core import Draw, Message, Pool
from .layout import talk
from .words import doing, names, places, things

TRIM = Pool("""
[Remove|Trim] [the extra|superfluous|needless] spaces.
Fix the spacing.
One space between words, none at the ends.
Clean up the blanks.
Tidy the white space.
Normalise the spaces.
Single spaces only.
""")
PUNCT = Pool("""
[Fix|Repair] [capital letters and punctuation|case and full stop].
Write it as a [proper|clean] sentence.
[Add|Put in] the capital and the full stop.
Sentence case, with a full stop.
Punctuate and capitalise the line.
Make it look like a sentence in a book.
""")
NAME = Pool("""
[Write|Give] the name as First Last.
Normalise the name[ (first name, surname)|].
[Put|Turn] the name [in|into] normal order and case.
First name first, please.
Clean up the name.
How is this name written on a letter?
""")
NAME_BACK = Pool("""
[Write|Give] the name as LAST, First.
Surname first in capitals, then a comma and the first name.
Turn it into the form DOE, Jane.
Index form of the name (SURNAME, First):
""")
PHONE = Pool("""
[Write|Give] the phone number with digits only.
Strip everything but digits.
[Normalise|Clean] the number: digits only.
Only the digits of the number.
Take out spaces, brackets and dashes.
""")
EXPAND = Pool("""
[Expand|Write out] the contractions.
No contractions, please.
Full forms instead of short ones.
[Replace|Change] short forms like "don't" by the long ones.
Write "do not" for "don't" and so on.
""")
SHORTEN = Pool("""
[Use|Write with] contractions.
Shorten "do not" to "don't" and the like.
Make it sound spoken: contract the verbs.
Contractions where possible.
""")
FIRST_PERSON = Pool("""
[Write|Put] it in the first person.
[Change|Turn] it to I, me, my.
As if the person told it: first person.
First person, please.
Let the person speak for themself with I.
""")
THIRD_PERSON = Pool("""
[Write|Put] it in the third person with {p}.
[Change|Turn] I into {p}.
Retell it about {p}.
Third person; the speaker is {p}.
Report what {p} does.
""")
REPLACE = Pool("""
[Replace|Swap|Change] "{x}" [by|with|for] "{y}".
Write "{y}" [instead of|where it says] "{x}".
"{y}" in place of "{x}", please.
Put "{y}" where "{x}" stands.
s/{x}/{y}/
[Everywhere|Wherever] you see "{x}", write "{y}".
It should say "{y}", not "{x}".
""")
DELETE = Pool("""
[Remove|Delete|Drop] [the word |]"{x}".
Leave out "{x}".
The same without "{x}".
Take "{x}" out.
Strike "{x}".
Repeat it, skipping "{x}".
""")
POLITE = Pool("""
[Make|Put] [it|this] [polite|politely].
Say it in a friendlier way.
A polite version, please.
Rewrite as a polite request.
More courteous, please.
Soften the order.
""")
CURT = Pool("""
[Make|Put] [it|this] [short|curtly].
Only the order itself.
A curt version.
Strip the polite words.
As a bare command:
Say it in the fewest words.
""")
POLITE_FORMS = Pool("""
Could you please {c}?
Would you mind helping me to {c}?
Please {c}, if you have time.
I would be grateful if you could {c}.
Would you be so kind as to {c}?
May I ask you to {c}?
""")
CASE = Pool("""
Title case.
Capitalise each word.
[Write|Put] every word with a capital.
Start each word with a capital letter.
Make it a title: Every Word Capitalised.
""")
SNAKE = Pool("""
[Write|Turn] it [as|into] snake_case.
snake_case, please.
Small letters, underscores for spaces.
Join the words by underscores, lower case.
""")
KEBAB = Pool("""
[Write|Turn] it [as|into] kebab-case.
Make a slug.
Small letters, dashes for spaces.
URL form: lower case with hyphens.
""")
_SHORT = {
    "do not": "don't",
    "does not": "doesn't",
    "did not": "didn't",
    "is not": "isn't",
    "are not": "aren't",
    "was not": "wasn't",
    "cannot": "can't",
    "will not": "won't",
    "I am": "I'm",
    "they are": "they're",
    "we are": "we're",
    "it is": "it's",
    "I will": "I'll",
    "you are": "you're",
    "we have": "we've",
    "should not": "shouldn't",
}
LONG = Pool("""
I am sure they are in the {r}.
We are late and it is dark.
They do not like {f}.
{p} does not want the {x}.
It is not mine, I am afraid.
I will bring the {x} if you are ready.
We have a {x} but it is not new.
{p} did not see the {x}.
You are right, we should not wait.
The keys are not in the {r}.
{p} cannot come and will not call.
I am tired, so I will stay in the {r}.
""")
_LINES = Pool("""
I left my {x} in the {r}.
My {x} is in the {r} and I cannot reach it.
I like {f}, but my sister prefers tea.
I lost my {x} when I crossed the bridge.
I put my {x} under my bed.
I sold my {x} and bought {f}.
My brother gave me a {x}, and I kept it.
I need my {x} for my work.
I waited in the {r} with my {x}.
I cooked {f} for my friends.
""")


def make(d: Draw) -> tuple[Message, ...]:
    tasks: tuple[Callable[[Draw], tuple[Message, ...]], ...]
    tasks = (
        _space,
        _sentence,
        _name,
        _digits,
        _contract,
        _person,
        _replace,
        _replace,
        _delete,
        _polite,
        _polite,
        _case,
    )
    return d.of(tasks)(d)


def _text(d: Draw) -> str:
    return d.sentence(20, 150) if d.chance(0.6) else made.action(d)


def _space(d: Draw) -> tuple[Message, ...]:
    clean = _text(d)
    messy = "".join(w + " " * d.of((1, 1, 2, 3, 1)) for w in clean.split())
    messy = " " * d.num(0, 3) + (
        messy if messy.strip() != messy.rstrip() or d.chance(0.5) else messy.replace(" ", "  ", 1)
    )
    return talk(d, d.say(TRIM), messy, clean)


def _sentence(d: Draw) -> tuple[Message, ...]:
    subject, single, verb, rest = grammar.clause(d)
    clean = f"{subject} {grammar.third(verb) if single else verb} {rest}."
    messy = clean.rstrip(".")
    messy = messy.upper() if d.chance(0.15) else messy[0].lower() + messy[1:]
    return talk(d, d.say(PUNCT), messy, clean)


def _name(d: Draw) -> tuple[Message, ...]:
    first, last = d.pick(names.FIRST), d.pick(names.LAST)
    if d.chance(0.25):
        return talk(d, d.say(NAME_BACK), f"{first} {last}", f"{last.upper()}, {first}")
    if last.startswith("Mc"):
        last = "Mills" if d.split == "train" else "Penn"
    messy = d.of(
        (
            f"{last.upper()}, {first}",
            f"{last}, {first}",
            f"{first.lower()} {last.lower()}",
            f"{last},{first}",
            f"{first.upper()} {last.upper()}",
        )
    )
    return talk(d, d.say(NAME), messy, f"{first} {last}")


def _digits(d: Draw) -> tuple[Message, ...]:
    number = made.phone(d)
    return talk(d, d.say(PHONE), number, re.sub(r"\D", "", number))


def _contract(d: Draw) -> tuple[Message, ...]:
    long = d.say(LONG, r=d.pick(places.ROOM), f=d.pick(things.FOOD), p=made.first(d), x=made.thing(d))
    short = long
    for whole, part in _SHORT.items():
        short = re.sub(rf"\b{whole}\b", part, short)
        short = re.sub(rf"\b{whole.capitalize()}\b", part[0].upper() + part[1:], short)
    if d.chance(0.7):
        return talk(d, d.say(EXPAND), short, long)
    return talk(d, d.say(SHORTEN), long, short)


def _person(d: Draw) -> tuple[Message, ...]:
    subject = made.first(d)
    mine = made.fix_articles(d.say(_LINES, x=made.thing(d), r=d.pick(places.ROOM), f=d.pick(things.FOOD)))
    verbs = {"I like": "likes", "I need": "needs"}
    theirs = mine
    for old, new in verbs.items():
        theirs = theirs.replace(old, f"{subject} {new}")
    theirs = re.sub(r"^I\b", subject, theirs)
    theirs = re.sub(r"^My\b", f"{subject}'s", theirs)
    theirs = re.sub(r"\bI\b", "they", theirs)
    theirs = re.sub(r"\bmy\b", "their", theirs)
    theirs = re.sub(r"\bme\b", "them" if subject not in theirs else subject, theirs)
    if d.chance(0.5):
        return talk(d, d.say(THIRD_PERSON, p=subject), mine, theirs)
    return talk(d, d.say(FIRST_PERSON), theirs, mine)


def _word_in(d: Draw, text: str) -> str:
    words = [w.strip(" ,.;:!?\"'“”‘’()—-") for w in text.split()]
    words = [w for w in words if w.isalpha() and len(re.findall(rf"\b{w}\b", text)) == 1]
    return d.of(words) if words else text.split()[0]


def _replace(d: Draw) -> tuple[Message, ...]:
    text = _text(d)
    old, new = (
        _word_in(d, text),
        d.of((made.first, made.thing, lambda d: d.pick(things.FOOD), made.pseudo, made.code))(d),
    )
    return talk(
        d, d.say(REPLACE, x=old, y=new), text, re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, text, count=1)
    )


def _delete(d: Draw) -> tuple[Message, ...]:
    words = _text(d).split()
    plain = [
        w for w in words if w.isalpha() and words.count(w) == 1 and len(re.findall(rf"\b{w}\b", " ".join(words))) == 1
    ]
    if not plain:
        return _replace(d)
    gone = d.of(plain)
    return talk(d, d.say(DELETE, x=gone), " ".join(words), " ".join(w for w in words if w != gone))


def _polite(d: Draw) -> tuple[Message, ...]:
    core = made.action(d)
    curt = core[0].upper() + core[1:] + "."
    asked = d.say(POLITE_FORMS, c=core)
    if d.chance(0.35):
        return talk(d, d.say(POLITE), curt, f"Could you please {core}?")
    return talk(d, d.say(CURT), asked, curt)


def _case(d: Draw) -> tuple[Message, ...]:
    words = (made.thing(d) + " " + d.pick(doing.TAIL)).split()
    text = " ".join(words)
    pool, answer = d.of(
        (
            (CASE, " ".join(w[0].upper() + w[1:] for w in words)),
            (SNAKE, "_".join(words).lower()),
            (KEBAB, "-".join(words).lower()),
        )
    )
    return talk(d, d.say(pool), text, answer)
