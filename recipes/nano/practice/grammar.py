"""Plain sentences with sound grammar, completions and corrections: agreement, articles, plural, tense."""

from __future__ import annotations

from . import made
from .core import Draw, Message, Pool
from .layout import talk
from .words import doing, names, places, things

CORRECT = Pool("""
Correct [this|the] sentence.
[Fix|Repair] the grammar.
[Write|Give] the sentence [correctly|without the mistake].
What is the right form of this sentence?
There is a mistake in it. Write it correctly.
Proofread:
[Put|Set] this right.
Grammar check, please. Return the corrected sentence.
Improve the sentence where needed.
""")
PLURAL = Pool("""
[What is|Give|Write] the plural of "{x}"?
Plural of {x}:
One {x}, two what?
{x} in the plural?
More than one {x}:
""")
SINGULAR = Pool("""
[What is|Give|Write] the singular of "{x}"?
Singular of {x}:
Many {x}, but one what?
{x} in the singular?
Just one of the {x}:
""")
ARTICLE = Pool("""
"a" or "an" before "{x}"?
Which article goes with {x}: a or an?
[Put|Write] a or an in front of {x}.
{x}: with its indefinite article, please.
Add the right article, a or an: {x}
""")
PAST = Pool("""
[What is|Give|Write] the past [tense|form] of "{x}"?
{x} - past form?
Today they {x}; yesterday they what?
Past of {x}:
The verb {x}, one day ago:
""")
THIRD = Pool("""
[What is|Give|Write] the form of "{x}" with "she"?
I {x}, he what?
{x}: third person singular?
They {x}. She?
The he-form of {x}:
""")
TENSE = Pool("""
[Put|Write|Change|Turn] [the sentence|this] [in|into] the {t}.
{t}, please.
The same sentence in the {t}:
[Rewrite|Give] it in the {t}.
Change the tense to {t}.
""")
NEGATE = Pool("""
[Make|Turn] [the sentence|this] negative.
Say the opposite, using "not".
[Negate|Deny] this.
The negative form of the sentence?
Put "not" in it.
""")
QUESTION = Pool("""
[Make|Turn] [the sentence|this] [a|into a] question.
Ask [this|it] as a yes-no question.
The question form?
Form a question from the statement.
How would one ask this?
""")
ADVERBS = Pool("""
every day
in the morning
at noon
with care
after dinner
on Sundays
before breakfast
all week
once a month
without a word
near the window
in the rain
by the river
as usual
""")


INTRANSITIVE = {
    "dance",
    "hunt",
    "jump",
    "knock",
    "laugh",
    "listen",
    "look",
    "march",
    "play",
    "rest",
    "row",
    "sail",
    "shout",
    "smile",
    "stay",
    "talk",
    "travel",
    "wait",
    "walk",
    "wave",
    "whisper",
    "wish",
    "work",
    "reply",
    "climb",
    "cross",
    "hammer",
}
OF_PEOPLE = {
    "ask",
    "answer",
    "call",
    "greet",
    "guide",
    "help",
    "hire",
    "invite",
    "kiss",
    "love",
    "phone",
    "rescue",
    "thank",
    "trust",
    "visit",
    "warn",
}


def past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    if verb in ("chat", "drop", "hug", "plan", "rob", "rub", "shop", "stop", "travel", "wrap"):
        return verb + verb[-1] + "ed"
    return verb + "ed"


def third(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    if past(verb).endswith(verb[-1] * 2 + "ed") and not verb.endswith(verb[-1] * 2):
        return verb + verb[-1] + "ing"
    return verb + "ing"


def clause(d: Draw) -> tuple[str, bool, str, str]:
    """Subject, whether it is singular, a regular verb, and the rest."""
    single = d.chance(0.55)
    name = d.pick(names.FIRST)
    job = d.pick(things.JOB)
    subject = (
        d.of((name, "The " + job, "He", "She"))
        if single
        else d.of(("They", "We", f"{name} and {d.pick(names.FIRST)}", "The " + made.plural(job)))
    )
    verb = d.pick(doing.REGULAR)
    rest = "" if verb in INTRANSITIVE else "the " + (d.pick(things.JOB) if verb in OF_PEOPLE else made.thing(d))
    if d.chance(0.25):
        rest = f"{rest} in the {d.pick(places.ROOM)}".strip()
    tail = d.pick(ADVERBS) if d.chance(0.5) or not rest else ""
    return subject, single, verb, " ".join(x for x in (rest, tail) if x)


def make(d: Draw) -> tuple[Message, ...]:
    return d.of((_correct, _correct, _form, _form, _tense, _tense, _negate, _pair))(d)


def _form(d: Draw) -> tuple[Message, ...]:
    noun, verb = d.pick(d.of((things.OBJECT, things.ANIMAL, things.JOB))), d.pick(doing.REGULAR)
    roll = d.roll()
    if roll < 0.25:
        return talk(d, d.say(PLURAL, x=noun), None, made.plural(noun))
    if roll < 0.4:
        return talk(d, d.say(SINGULAR, x=made.plural(noun)), None, noun)
    if roll < 0.6:
        return talk(d, d.say(ARTICLE, x=noun), None, made.article(noun))
    if roll < 0.8:
        return talk(d, d.say(PAST, x=verb), None, past(verb))
    return talk(d, d.say(THIRD, x=verb), None, third(verb))


def _present(subject: str, single: bool, verb: str, rest: str) -> str:
    return f"{subject} {third(verb) if single else verb} {rest}."


def _correct(d: Draw) -> tuple[Message, ...]:
    subject, single, verb, rest = clause(d)
    roll = d.roll()
    if roll < 0.35:
        return talk(d, d.say(CORRECT), _present(subject, not single, verb, rest), _present(subject, single, verb, rest))
    noun = made.thing(d)
    if roll < 0.6:
        right = made.article(noun)
        wrong = ("a " if right.startswith("an ") else "an ") + noun
        frame = d.of(
            (
                "There is {} in the hall.",
                "I saw {} today.",
                "She has {}.",
                "We need {}.",
                "It was {}.",
                "He found {} by the road.",
            )
        )
        return talk(d, d.say(CORRECT), frame.format(wrong), frame.format(right))
    if roll < 0.8:
        n = d.num(2, 30)
        noun = d.pick(things.ANIMAL)
        frame = d.of(("There were {} {} in the yard.", "We counted {} {}.", "{} {} came back.", "She keeps {} {}."))
        if made.plural(noun) != noun:
            return talk(d, d.say(CORRECT), frame.format(n, noun), frame.format(n, made.plural(noun)))
    right, wrong = ("is", "are") if single else ("are", "is")
    quality = d.pick(things.QUALITY)
    return talk(d, d.say(CORRECT), f"{subject} {wrong} {quality}.", f"{subject} {right} {quality}.")


def _tense(d: Draw) -> tuple[Message, ...]:
    subject, single, verb, rest = clause(d)
    forms = {
        "present": _present(subject, single, verb, rest),
        "past": f"{subject} {past(verb)} {rest}.",
        "future": f"{subject} will {verb} {rest}.",
        "present continuous": f"{subject} {'is' if single else 'are'} {gerund(verb)} {rest}.",
    }
    a, b = d.rng.sample(tuple(forms), 2)
    return talk(d, d.say(TENSE, t=b + d.of((" tense", ""))), forms[a], forms[b])


def _negate(d: Draw) -> tuple[Message, ...]:
    subject, single, verb, rest = clause(d)
    old = d.chance(0.4)
    plain = f"{subject} {past(verb)} {rest}." if old else _present(subject, single, verb, rest)
    helper = "did" if old else ("does" if single else "do")
    if d.chance(0.5):
        return talk(d, d.say(NEGATE), plain, f"{subject} {helper} not {verb} {rest}.")
    low = subject[0].lower() + subject[1:] if subject.split()[0] in ("The", "He", "She", "They", "We") else subject
    return talk(d, d.say(QUESTION), plain, f"{helper.capitalize()} {low} {verb} {rest}?")


def _pair(d: Draw) -> tuple[Message, ...]:
    """Plain statements: a noun or a verb in its forms, as reading material."""
    noun, verb = d.pick(things.OBJECT), d.pick(doing.REGULAR)
    text, answer = d.of(
        (
            (f"One {noun}, many", made.plural(noun)),
            (f"Yesterday they {past(verb)}; today they", verb),
            (f"I {verb}, you {verb}, she", third(verb)),
            (f"They like to {verb}. Now they are", gerund(verb)),
            (f"This is {made.article(noun)}. These are", made.plural(noun)),
            (f"We {verb} now; last year we", past(verb)),
        )
    )
    ask = d.say(COMPLETE)
    return talk(d, ask, text + d.of(("", " ...", " ___")), answer)


COMPLETE = Pool("""
[Complete|Finish|Continue] the sentence[ with one word|].
[Which|What] word is missing at the end?
Add the missing word.
Fill the gap.
One word to finish it:
Next word?
""")
