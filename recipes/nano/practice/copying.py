"""Practice in copying: whole texts, quoted parts, first and last words, case changes, what follows a mark."""

from __future__ import annotations

from . import made
from .core import Draw, Message, Pool, dumps
from .layout import talk
from .words import things

REPEAT = Pool("""
Repeat [this|the following|the text] [exactly|word for word|as it is|without changes].
[Please |]copy [this|the text] [exactly|letter by letter|unchanged].
Say [this|that] back to me.
Echo [the input|this line|the message].
Write [the same text|exactly the same] again.
Return the text [unchanged|as is].
Type [this|out] [again|once more|exactly as shown].
Give [me |]back what I wrote.
Reproduce [the passage|this text|the line below].
Your answer must be identical to the input.
Parrot this.
What did I [write|say|type]? Repeat it.
I want to see the same words [again|once more].
Mirror my message.
Output the text verbatim.
Duplicate the line.
Quote this in full.
[Now |]say: the same.
Do nothing but repeat.
Copy everything, [change nothing|leave nothing out].
""")
WRAP = {
    "quotes": Pool("""
Repeat the text in [double |]quotes.
Put the text in quotation marks.
Give it back between double quotes.
Quote [it|this], with "marks".
Surround it with double quotes.
    """),
    "square": Pool("""
Put [the text|this|it] in square brackets.
Repeat it inside square brackets.
Square brackets around it, please.
    """),
    "round": Pool("""
Put [the text|this|it] in [round brackets|parentheses].
Wrap it in parentheses.
Repeat this inside round brackets.
Parentheses around the text, please.
    """),
    "json": Pool("""
Write [the text|it|this] as a JSON string.
Give the text as a JSON string [value|literal].
Encode [it|the text] as a string in JSON.
JSON string of this text, please.
    """),
    "upper": Pool("""
[Write|Repeat|Copy] it in [capitals|capital letters|upper case].
Make [everything|all letters|the text] upper case.
UPPERCASE this.
Shout it: all capitals.
Repeat after me, but in capital letters.
    """),
    "lower": Pool("""
[Write|Repeat|Copy] it in [lower case|small letters].
Make [everything|all letters|the text] lower case.
lowercase this.
No capitals: write it again in small letters.
    """),
    "object": Pool(
        """
Return JSON with one key, "text", holding the text.
Put it in a JSON object under the key "text".
Answer as {"text": ...} with the text copied.
JSON object, key "text", value the exact text.
    """.replace("{", "<").replace("}", ">")
    ),
    "twice": Pool("""
[Write|Say|Repeat] it twice, [with a comma between|comma between].
Two copies, parted by a comma.
Repeat it two times, a comma between them.
Double it, using a comma.
    """),
}
_WRAP_DO = {
    "quotes": lambda s: f'"{s}"',
    "square": lambda s: f"[{s}]",
    "round": lambda s: f"({s})",
    "json": dumps,
    "upper": str.upper,
    "lower": str.lower,
    "object": lambda s: dumps({"text": s}),
    "twice": lambda s: f"{s}, {s}",
}
WORDS = {
    "first": Pool("""
[Give|Write|Copy|Repeat] the first {n} [words|words of it].
Only the first {n} words[, please|].
What are the first {n} words?
Start of the text: {n} words.
Cut it down to its first {n} words.
    """),
    "last": Pool("""
[Give|Write|Copy|Repeat] the last {n} words.
Only the last {n} words[, please|].
What are the last {n} words?
How does it end? Give {n} words.
Keep the final {n} words.
    """),
    "drop": Pool("""
Copy [all|everything] but the first word.
Repeat it without the first word.
Leave out the first word.
Drop the opening word, keep the rest.
Skip word one.
    """),
    "dropend": Pool("""
Copy [all|everything] but the last word.
Repeat it without the last word.
Leave out the final word.
Drop the closing word, keep the rest.
Stop one word before the end.
    """),
    "nth": Pool("""
[What is|Give|Write|Copy] word number {n}.
Which word stands at place {n}?
Word {n}, please.
Count to word {n} and write it.
Only word no. {n}.
    """),
}
AFTER = Pool("""
[Give|Copy|Write|Repeat] [the text|everything|what comes] after the [colon|mark ":"].
What [stands|comes] after the colon?
Only the part [behind|following] the colon.
Drop everything up to the colon.
Keep what follows ":".
""")
AFTER_HEADS = Pool("""
Note
To do
Message for {p}
{p} wrote
On the card
Title
Subject
The sign says
Written on the box
Reminder for {p}
Line {n}
Item {n}
Answer
Please remember
Quote of the day
Next step
Entry {n}
""")
DIRECT = Pool("""
[Repeat|Copy|Echo|Write|Say] [after me|this|exactly|the following]: {x}
[Please |]say "{x}"
[Can you|Could you|Would you] [repeat|copy|write] "{x}"?
Repeat: {x}
Write {x} and nothing else.
[Type|Print|Output] `{x}`
[Repeat|Give back] what is in brackets: ({x})
The word is {x}. What is the word?
Remember {x}. Now write it.
If I say {x}, you say {x}. So: {x}
Answer with "{x}" exactly.
Your only answer: {x}
[My|The] [code|entry|text] is {x}. [Say it back|Repeat it|Write it].
""")


def words_of(d: Draw) -> str:
    pools = (things.OBJECT, things.FOOD, things.ANIMAL, things.COLOUR, things.JOB)
    listed = [made.pseudo(d) if d.chance(0.1) else d.pick(d.of(pools)) for _ in range(d.num(3, 8))]
    return d.of((", ", " ", "; ", " | ", " - ", ",")).join(listed)


def text(d: Draw) -> str:
    roll = d.roll()
    if roll < 0.4:
        return d.sentence(15, 200)
    if roll < 0.5:
        return words_of(d)
    if roll < 0.75:
        return made.phrase(d)
    if roll < 0.85:
        return " ".join(made.code(d) for _ in range(d.num(1, 4)))
    kind = d.of((made.email, made.phone, made.url, made.address, made.person, made.company, made.product, made.path))
    return kind(d)


def make(d: Draw) -> tuple[Message, ...]:
    roll = d.roll()
    if roll < 0.22:
        body = text(d)
        return talk(d, d.say(REPEAT), body, body)
    if roll < 0.42:
        x = text(d) if d.chance(0.5) else made.phrase(d)
        return talk(d, d.say(DIRECT, x=x), None, x)
    if roll < 0.7:
        how = d.of(tuple(WRAP))
        ask = d.say(WRAP[how]).replace("<", "{").replace(">", "}")
        body = text(d)
        return talk(d, ask, body, _WRAP_DO[how](body))
    if roll < 0.88:
        return _words(d)
    body = made.phrase(d) if d.chance(0.6) else d.sentence(15, 120)
    head = d.say(AFTER_HEADS, p=made.first(d), n=d.num(1, 40))
    return talk(d, d.say(AFTER), f"{head}: {body}", body)


def _words(d: Draw) -> tuple[Message, ...]:
    body = d.sentence(25, 160) if d.chance(0.7) else " ".join(made.phrase(d) for _ in range(2))
    words = body.split()
    how = d.of(tuple(WORDS))
    n = d.num(1, max(1, min(5, len(words) - 1)))
    if how in ("first", "last"):
        n = max(2, n)
    parts = {"first": words[:n], "last": words[-n:], "drop": words[1:], "dropend": words[:-1], "nth": words[n - 1 : n]}
    return talk(d, d.say(WORDS[how], n=n), body, " ".join(parts[how] or words))
