"""Practice in finding a span: its neighbours, the sentence that holds it, the quoted, named, numbered part."""

from __future__ import annotations

import re

from . import made
from .core import Draw, Message, Pool
from .layout import talk
from .words import places

NEXT = Pool("""
[Which|What] word [comes|stands|is] [right |]after "{x}"?
[Give|Write|Copy|Find] the word [following|after] "{x}".
What is the next word after "{x}"?
"{x}" is followed by which word?
One word: the one [behind|after] "{x}".
[Find|Look for] "{x}" and write the word that follows.
After "{x}" the text goes on with which word?
In this text, "{x}" comes just before what word?
""")
BEFORE = Pool("""
[Which|What] word [comes|stands|is] [right |just |]before "{x}"?
[Give|Write|Copy|Find] the word [preceding|before] "{x}".
"{x}" follows which word?
One word: the one in front of "{x}".
[Find|Look for] "{x}" and write the word ahead of it.
What precedes "{x}"?
""")
SENTENCE = Pool("""
[Which|What] sentence [mentions|contains|has|holds] "{x}"?
[Copy|Give|Write|Quote] the [sentence|line] with "{x}" [in it|].
Find the sentence [about|that mentions|containing] "{x}" and [copy|repeat] it.
Where does "{x}" [occur|stand]? Quote the sentence.
Extract the sentence that has "{x}" in it.
Only the sentence [with|holding] "{x}", [word for word|unchanged].
Return the one sentence in which "{x}" appears.
Show me the full sentence around "{x}".
""")
PLACE = Pool("""
[Copy|Give|Write|Quote] the {n} sentence.
[What|Which] is the {n} sentence?
[Repeat|Return] only the {n} sentence[.| of the text.]
The {n} sentence, please.
Sentence wanted: the {n}.
Pick out the {n} sentence.
""")
REST = Pool("""
[Copy|Give|Write] [what|everything that] [comes|stands] after "{x}".
How does the text go on after "{x}"?
Continue from "{x}" to the end[ of the text|].
[Give|Return] the rest of the text, starting after "{x}".
All words behind "{x}", to the end.
What follows "{x}", up to the end?
""")
BETWEEN = Pool("""
[Copy|Give|Write|Extract] [what|the part that|the words that] [stand|stands|come] between "{a}" and "{b}".
What is between "{a}" and "{b}"?
The [text|part|span] [from|after] "{a}" [to|up to] "{b}", without [either|these two].
Find the words after "{a}" and before "{b}".
Which words does one read between "{a}" and "{b}"?
""")
QUOTED = Pool("""
[Copy|Give|Extract] the [quoted part|words in quotes|quotation].
What [stands|is written] [in|between] [the |]quotation marks?
Find the quote.
What did they say[ exactly|]?
Only the words inside the quotes.
[Return|Write] what is quoted, without the marks.
""")
BRACKETED = Pool("""
[Copy|Give|Extract] the part in brackets.
What is [inside|in] the brackets?
Only the bracketed words.
[Return|Write] what stands in brackets, without the brackets.
Find the remark in brackets.
""")
FIND = {
    "name": Pool("""
[Which|What] [name|person] is [mentioned|named]?
[Find|Extract|Copy|Give] the [name|person's name].
Who is [mentioned|named] in [the text|this]?
Name the person.
The person's name, nothing else.
Return the name in it.
    """),
    "number": Pool("""
[Which|What] number [is mentioned|appears|stands] [here|in the text]?
[Find|Extract|Copy|Give] the number.
The number, nothing else.
Only the figure in the text.
Return the digits in it.
    """),
    "email": Pool("""
[Find|Extract|Copy|Give] the [e-mail|email] address.
What is the [mail|email] address [here|in the text]?
Which address can one write a mail to?
Only the e-mail address.
    """),
    "code": Pool("""
[Find|Extract|Copy|Give] the [code|reference|id].
Which [code|reference number|identifier] is mentioned?
The reference, nothing else.
Return the id exactly as written.
    """),
    "phone": Pool("""
[Find|Extract|Copy|Give] the [phone|telephone] number.
Which number can one call?
Only the phone number, as written.
What is the phone number?
    """),
    "url": Pool("""
[Find|Extract|Copy|Give] the [link|web address|URL].
Which [page|site] is linked?
Only the link.
What URL is in the text?
    """),
    "city": Pool("""
[Which|What] [city|town|place] is [mentioned|named]?
[Find|Extract|Give] the [city|town].
The city's name, nothing else.
Where? Give the city.
    """),
}
CARRIERS = {
    "name": Pool("""
{v} left the parcel by the door.
We met {v} on the stairs.
It was {v} who found the key.
According to {v}, nothing was missing.
Nobody had told {v} about it.
The letter came from {v}.
They asked {v} to sing again.
    """),
    "number": Pool("""
There were {v} of them in the yard.
The box held {v} pieces.
She counted {v} steps.
It cost {v} in all.
They waited {v} days.
Page {v} was torn.
    """),
    "email": Pool("""
You can write to {v} at any time.
Answers go to {v}, please.
Contact: {v}.
Send the photos to {v} before the end of the week.
My new address is {v}.
    """),
    "code": Pool("""
The reference is {v}.
Quote {v} when you call.
Your case has the number {v}.
It was filed under {v}.
Parcel {v} is on its way.
    """),
    "phone": Pool("""
Ring {v} after six.
You reach us at {v}.
The number on the card was {v}.
If in doubt, call {v}.
    """),
    "url": Pool("""
More is to be read at {v} for those who like.
See {v} for the map.
The photos are on {v} now.
They posted it at {v} last night.
    """),
    "city": Pool("""
They moved to {v} in spring.
The train for {v} was late.
She was born in {v}.
He sent a card from {v}.
Nothing like that happens in {v}.
    """),
}
_MAKE = {
    "name": made.person,
    "number": lambda d: str(d.num(11, 9999)),
    "email": made.email,
    "code": made.code,
    "phone": made.phone,
    "url": made.url,
    "city": lambda d: d.pick(places.CITY),
}
_MARKS = " ,.;:!?\"'“”‘’()[]—_*-"
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+")


def _bare(word: str) -> str:
    return word.strip(_MARKS)


def passage(d: Draw, low: int = 2, high: int = 4) -> list[str]:
    found = list(dict.fromkeys(d.sentence(25, 170) for _ in range(d.num(low, high))))
    return [s.replace('"', "'") for s in found]


def _single(text: str, span: str) -> bool:
    return span != "" and len(re.findall(r"(?<!\w)" + re.escape(span) + r"(?!\w)", text)) == 1


def make(d: Draw) -> tuple[Message, ...]:
    how = d.of((_neighbour, _neighbour, _mention, _mention, _nth, _rest, _between, _marked, _find, _find))
    return how(d)


def _neighbour(d: Draw) -> tuple[Message, ...]:
    text = " ".join(passage(d, 1, 2))
    words = [w for w in text.split() if _bare(w)]
    for _ in range(8):
        if len(words) < 5:
            break
        at = d.num(1, len(words) - 2)
        key = " ".join(words[at - 1 : at + 1]) if d.chance(0.35) else words[at]
        key = _bare(key)
        if not _single(text, key):
            continue
        if d.chance(0.6):
            return talk(d, d.say(NEXT, x=key), text, _bare(words[at + 1]))
        if key == _bare(words[at]):
            return talk(d, d.say(BEFORE, x=key), text, _bare(words[at - 1]))
    return _find(d)


def _mention(d: Draw) -> tuple[Message, ...]:
    lines = passage(d, 2, 5)
    if d.chance(0.4):
        kind = d.of(tuple(CARRIERS))
        lines.insert(d.num(0, len(lines)), d.say(CARRIERS[kind], v=_MAKE[kind](d)))
    target = d.of(lines)
    text = d.of((" ", " ", "\n")).join(lines)
    for _ in range(6):
        words = target.split()
        start = d.num(0, len(words) - 1)
        key = _bare(" ".join(words[start : start + d.num(1, 3)]))
        if len(key) > 3 and _single(text, key):
            return talk(d, d.say(SENTENCE, x=key), text, target)
    return _nth(d)


def _nth(d: Draw) -> tuple[Message, ...]:
    lines = passage(d, 2, 4)
    at = d.num(0, len(lines) - 1)
    name = ("first", "second", "third", "fourth", "fifth")[at]
    if at == len(lines) - 1 and d.chance(0.6):
        name = "last"
    return talk(d, d.say(PLACE, n=name), d.of((" ", "\n")).join(lines), lines[at])


def _rest(d: Draw) -> tuple[Message, ...]:
    text = passage(d, 1, 1)[0]
    words = text.split()
    for _ in range(6):
        at = d.num(1, max(1, len(words) - 2))
        key = _bare(" ".join(words[max(0, at - 2) : at]))
        rest = " ".join(words[at:])
        if rest and _single(text, key):
            return talk(d, d.say(REST, x=key), text, rest)
    return _find(d)


def _between(d: Draw) -> tuple[Message, ...]:
    text = passage(d, 1, 1)[0]
    words = text.split()
    for _ in range(8):
        if len(words) < 6:
            break
        start = d.num(0, len(words) - 4)
        end = min(len(words) - 1, start + d.num(2, 7))
        a, b = _bare(words[start]), _bare(words[end])
        inner = " ".join(words[start + 1 : end])
        if inner and _single(text, a) and _single(text, b):
            return talk(d, d.say(BETWEEN, a=a, b=b), text, inner.strip(" ,;:"))
    return _find(d)


def _marked(d: Draw) -> tuple[Message, ...]:
    words = d.sentence(30, 150).replace('"', "'").replace("(", "").replace(")", "").split()
    span = made.phrase(d).replace('"', "'").replace("(", "").replace(")", "")
    at = d.num(1, max(1, len(words) - 1))
    quoted = d.chance(0.5)
    shown = f'"{span}"' if quoted else f"({span})"
    text = " ".join([*words[:at], shown, *words[at:]])
    return talk(d, d.say(QUOTED if quoted else BRACKETED), text, span)


def _find(d: Draw) -> tuple[Message, ...]:
    kind = d.of(tuple(FIND))
    value = _MAKE[kind](d)
    carrier = d.say(CARRIERS[kind], v=value)
    around = []
    for _ in range(d.num(0, 3)):
        sentence = d.sentence(20, 140)
        clash = re.search(r"\d", sentence) if kind == "number" else re.search(r"\s[A-Z]", sentence)
        if not clash or kind not in ("number", "name", "city"):
            around.append(sentence)
    around.insert(d.num(0, len(around)), carrier)
    return talk(d, d.say(FIND[kind]), " ".join(around), value)
