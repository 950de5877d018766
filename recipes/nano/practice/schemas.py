"""Practice in JSON under a schema: JSON-schema-like, TypeScript-like or a field list, with enums, numbers, arrays."""

from __future__ import annotations

from typing import Any

from . import made, reading
from .core import Draw, Message, Pool, dumps
from .extracting import form, prose
from .fields import Field, pick_fields
from .kinds import HINTS, Value, in_words
from .tools import ALL_KINDS
from .words import things

RULE = Pool("""
[Answer|Reply] with JSON [that fits|matching|valid under] [this|the] schema[.|, nothing else.]
[Turn|Convert] each message into JSON of this [form|shape|type].
Output must [follow|satisfy|match] the schema below.
Fill the structure from the user's text.
Produce one JSON object of this type.
Schema for your answer:
Your output is parsed by a program that expects this:
Read the message, return an object like this.
JSON only. Type:
[Extract|Take] the data from the text in this format.
Every answer is an instance of the following.
Data contract:
""")
ENUMS = [
    (
        "priority",
        ("low", "medium", "high"),
        Pool("""
it is {v} priority
the priority is {v}
treat it as {v}
{v} priority, please
importance: {v}
    """),
    ),
    (
        "status",
        ("open", "done", "waiting"),
        Pool("""
the status is {v}
it is {v}
marked as {v}
currently {v}
it counts as {v}
    """),
    ),
    (
        "size",
        ("small", "medium", "large"),
        Pool("""
we want it {v}
size {v}
a {v} one
the {v} version
we take it in {v}
    """),
    ),
    (
        "payment",
        ("cash", "card", "invoice"),
        Pool("""
paid by {v}
payment by {v}
we pay by {v}
by {v}, as always
the rest goes by {v}
    """),
    ),
    (
        "season",
        ("spring", "summer", "autumn", "winter"),
        Pool("""
it was in {v}
planned for {v}
in {v}, we think
this is for the {v}
every {v}
    """),
    ),
    (
        "transport",
        ("bus", "car", "train", "bicycle"),
        Pool("""
we come by {v}
by {v}
they take the {v}
arriving by {v}
it is easy by {v}
    """),
    ),
    (
        "level",
        ("beginner", "intermediate", "expert"),
        Pool("""
the level is {v}
{v} level
for a {v}
I would say {v}
meant for {v} people
    """),
    ),
]
FLAGS = [
    (
        "paid",
        Pool("""
it is paid
the bill is settled
payment has arrived
they paid already
nothing is owed any more
        """),
        Pool("""
it is not paid yet
payment is still missing
the bill is open
nobody has paid
the money is outstanding
        """),
    ),
    (
        "gift",
        Pool("""
it is a gift
wrap it as a present
this is a present
meant as a gift
a birthday present
        """),
        Pool("""
it is not a gift
no gift wrap
not a present
it is for myself
no present, just for us
        """),
    ),
    (
        "fragile",
        Pool("""
handle with care, it breaks
it is fragile
it breaks easily
careful, delicate
very breakable
        """),
        Pool("""
it is not fragile
it cannot break
it can take a knock
nothing breakable
quite sturdy
        """),
    ),
    (
        "vegetarian",
        Pool("""
no meat for us
we eat vegetarian
vegetarian, please
meatless
we do not eat meat
        """),
        Pool("""
with meat
meat is fine
not vegetarian
we eat meat
we like it with meat
        """),
    ),
    (
        "returning",
        Pool("""
I have been here before
a regular guest
we come every year
not my first visit
I was here last year
        """),
        Pool("""
it is my first visit
I am new here
never been here before
the first time for me
we have not been here yet
        """),
    ),
]
_TS = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "array of strings": "string[]",
    "array of objects": "object[]",
}


def _base(kind: str) -> str:
    hint = HINTS.get(kind, "string")
    return "integer" if hint.startswith("integer") else hint if hint in _TS else "string"


def _format(kind: str) -> str:
    return {"time": "HH:MM", "date": "YYYY-MM-DD", "minutes": "minutes"}.get(kind, "")


Spec = tuple[str, str, str, tuple[str, ...], bool]  # key, type, format, enum, optional


def _json_schema(d: Draw, specs: list[Spec]) -> str:
    props: dict[str, Any] = {}
    for key, kind, form_, enum, _ in specs:
        props[key] = {"enum": list(enum)} if enum else {"type": kind}
        if kind == "array of strings":
            props[key] = {"type": "array", "items": {"type": "string"}}
        if kind == "array of objects":
            props[key] = {"type": "array", "items": {"type": "object"}}
        if form_:
            props[key]["format"] = form_
    required = [key for key, *_, optional in specs if not optional]
    schema = {"type": "object", "properties": props, "required": required}
    return dumps(schema if d.chance(0.7) else {"properties": props, "required": required})


def _typescript(d: Draw, specs: list[Spec]) -> str:
    lines = []
    for key, kind, form_, enum, optional in specs:
        shown = " | ".join(f'"{e}"' for e in enum) if enum else _TS.get(kind, kind)
        lines.append(f"  {key}{'?' if optional else ''}: {shown};" + (f" // {form_}" if form_ else ""))
    name = d.of(("Record", "Answer", "Entry", "Item", "Result", "Message"))
    return d.of((f"interface {name} {{\n", f"type {name} = {{\n")) + "\n".join(lines) + "\n}"


def _fields(d: Draw, specs: list[Spec]) -> str:
    bullet, colon = d.of(("- ", "* ", "")), d.of((": ", " - ", " = "))
    lines = []
    for key, kind, form_, enum, optional in specs:
        shown = d.of(("one of ", "enum ")) + d.of((", ", "/", " | ")).join(enum) if enum else kind
        lines.append(
            bullet + key + colon + shown + (f" ({form_})" if form_ else "") + (", optional" if optional else "")
        )
    return "\n".join(lines)


def _compact(_: Draw, specs: list[Spec]) -> str:
    shape = {}
    for key, kind, form_, enum, optional in specs:
        shape[key] = ("|".join(enum) if enum else form_ or kind) + ("?" if optional else "")
    return dumps(shape)


OPTIONAL = Pool("""
Leave out optional fields without a value.
Optional fields may be missing.
Skip an optional key if the text is silent on it.
Do not invent optional values.
Absent optional values: no key.
""")


def _document(d: Draw) -> tuple[Message, ...]:
    """A record from a document, under a schema."""
    doc, text = reading.document(d)
    facts, absent = reading.choose(d, doc), d.of(("null", "omit"))
    style = d.of((_json_schema, _typescript, _fields, _compact))
    schema = style(d, reading.specs(d, facts, absent))
    rule = f"{reading.preface(d, doc, facts, absent)} {d.say(RULE)}".strip()
    system = f"{rule}\n{schema}"
    answer = dumps(reading.record(facts, absent))
    if d.chance(0.8):
        return (Message("system", system), Message("user", text), Message("assistant", answer))
    return (Message("user", f"{system}\n\n{text}"), Message("assistant", answer))


def make(d: Draw) -> tuple[Message, ...]:
    if d.chance(0.5):
        return _document(d)
    fields = pick_fields(d, 1, 4)
    values: dict[str, Value] = {k: ALL_KINDS[f.kind](d) for k, f in fields.items()}
    specs: list[Spec] = [(k, _base(f.kind), _format(f.kind), (), d.chance(0.3)) for k, f in fields.items()]
    if d.chance(0.6):
        key, options, clauses = d.of(ENUMS)
        if key not in fields:
            value = d.of(options)
            fields[key], values[key] = Field((key,), "text", clauses), (value, value, value)
            specs.append((key, "string", "", tuple(d.shuffled(options)), False))
    prosaic = d.chance(0.8)
    if d.chance(0.5) and prosaic:
        key, yes, no = d.of(FLAGS)
        truth = d.chance(0.5)
        fields[key] = Field((key,), "text", yes if truth else no)
        values[key] = ("", "", truth)
        specs.append((key, "boolean", "", (), False))
    if d.chance(0.25):
        key = d.pick(things.ANIMAL).replace(" ", "_") + "s"
        n = d.num(1, 30)
        fields[key], values[key] = Field((key,), "text", _COUNTED), (f"{d.of((str(n), in_words(n)))} {key}", n, n)
        specs.append((key, "integer", "", (), False))
    specs = d.shuffled(specs)
    present = {k for k, *_, optional in specs if not optional or d.chance(0.6)}
    shown = {k: v for k, v in values.items() if k in present}
    text = prose(d, fields, shown) if prosaic else form(d, fields, shown)
    style = d.of((_json_schema, _typescript, _fields, _compact))
    schema = style(d, specs)
    rule = d.say(RULE)
    if any(optional for *_, optional in specs) and d.chance(0.5):
        rule = f"{d.say(OPTIONAL)} {rule}"
    system = f"{rule}\n{schema}" if d.chance(0.85) or rule.endswith(":") else f"{schema}\n{rule}"
    answer = dumps({k: values[k][2] for k, *_ in specs if k in present})
    if d.chance(0.85):
        return (Message("system", system), Message("user", text), Message("assistant", answer))
    return (Message("user", f"{system}\n\n{text or made.phrase(d)}"), Message("assistant", answer))


_COUNTED = Pool("""
there were {v}
we saw {v}
we keep {v}
I counted {v}
{v} in all
""")
