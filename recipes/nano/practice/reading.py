"""Records read from documents: which fields are asked for, how the prompt describes them, what is missing."""

from __future__ import annotations

from typing import Any

from . import notices, papers
from .core import Draw, Message, Pool, by_weight, dumps
from .documents import Doc, Fact, pad
from .layout import talk

MAKERS = (
    papers.mail,
    papers.receipt,
    papers.invoice,
    papers.chat,
    papers.voice,
    notices.job,
    notices.event,
    notices.parcel,
    notices.lab,
    notices.work,
    notices.lost,
    notices.sale,
)
ASK = Pool(r"""
[Extract|Take] these fields [from the document |]and answer with one JSON object:\n{fields}
Read the text, return JSON with exactly these keys:\n{fields}
[Turn|Convert] what you get into a record.\n{fields}\n[JSON only.|Nothing but JSON.]
You read [papers|messages|notes] and write JSON. Keys:\n{fields}
Fill every field:\n{fields}\nFormat: JSON, one object.
Record to produce (JSON):\n{fields}
The program needs a JSON object with\n{fields}
JSON:\n{fields}
Give me, as a JSON object, the following:\n{fields}
Your job: one JSON record per text, keys in this order.\n{fields}
""")
ABSENT = {
    "null": Pool("""
    What the text does not tell is null.
    A field without information gets null.
    Not stated -> null.
    Put null for anything absent.
    Every key must be there; use null where the text is silent.
    """),
    "omit": Pool("""
    What the text does not tell is left out.
    No information, no key.
    Leave a key out when the text is silent.
    Not stated -> omit the key.
    Only keys with a value may appear.
    """),
}
TODAY = Pool("""
Today is {t}.
[Reference|Current] date: {t}.
The text was written on {t}.
Now: {t}
Relative days count from {t}.
date of writing: {t}
""")
Spec = tuple[str, str, str, tuple[str, ...], bool]


def choose(d: Draw, doc: Doc, low: int = 5, high: int = 9) -> dict[str, Fact]:
    """Five to nine facts of the document under names that do not clash."""
    found: dict[str, Fact] = {}
    for fact in d.shuffled(doc.facts)[: d.num(low, high)]:
        key = d.of(fact.names)
        if key not in found:
            found[key] = fact
    return found


def record(facts: dict[str, Fact], absent: str) -> dict[str, Any]:
    return {k: f.value for k, f in facts.items() if f.value is not None or absent == "null"}


def _hint(d: Draw, fact: Fact) -> str:
    if fact.labels:
        return d.of(("one of ", "", "either ", "choose: ")) + d.of((", ", " | ", "/", " or ")).join(fact.labels)
    return "" if fact.hint == "string" and d.chance(0.6) else fact.hint


def _listing(d: Draw, facts: dict[str, Fact]) -> str:
    shown = [(k, _hint(d, f)) for k, f in facts.items()]
    roll = d.roll()
    if roll < 0.35:
        return "\n".join(f"- {k}: {h}" if h else f"- {k}" for k, h in shown)
    if roll < 0.6:
        return ", ".join(f"{k} ({h})" if h else k for k, h in shown)
    if roll < 0.8:
        return dumps({k: h or "string" for k, h in shown})
    return "\n".join(f"{k} = {h}" if h else k for k, h in shown)


def document(d: Draw) -> tuple[Doc, str]:
    """A document and its text; one in five is long."""
    doc = d.of(MAKERS)(d)
    return doc, pad(d, doc, long=d.chance(0.2))


def preface(d: Draw, doc: Doc, facts: dict[str, Fact], absent: str) -> str:
    """What a prompt must say besides the fields: the day to count from, and what to do with missing values."""
    parts = []
    if doc.today and any(f.hint == "YYYY-MM-DD" for f in facts.values()):
        parts.append(d.say(TODAY, t=doc.today))
    if any(f.value is None for f in facts.values()) or d.chance(0.4):
        parts.append(d.say(ABSENT[absent]))
    return " ".join(parts)


def extract(d: Draw) -> tuple[Message, ...]:
    doc, text = document(d)
    facts, absent = choose(d, doc), d.of(("null", "omit"))
    ask = d.say(ASK, fields=_listing(d, facts)).replace("\\n", "\n")
    more = preface(d, doc, facts, absent)
    ask = by_weight(d, [(2, f"{ask}\n{more}"), (1, f"{more}\n{ask}")]).strip()
    return talk(d, ask, text, dumps(record(facts, absent)), system=0.6)


_BASE = {"integer": "integer", "number": "number", "boolean": "boolean", "array of strings": "array of strings"}


def specs(d: Draw, facts: dict[str, Fact], absent: str) -> list[Spec]:
    """The chosen facts as a schema sees them: key, type, format, enum, optional."""
    found = []
    for key, fact in facts.items():
        base = "array of objects" if fact.hint.startswith("array of {") else "object" if fact.hint[0] == "{" else ""
        base = base or _BASE.get(fact.hint.split(",")[0], "string")
        form = "" if fact.hint in _BASE or fact.hint == "string" else fact.hint
        found.append((key, base, form, fact.labels, absent == "omit" and (fact.value is None or d.chance(0.3))))
    return found
