"""Practice in key-value extraction: messages, forms, mails, receipts, logs, notes to a JSON object."""

from __future__ import annotations

from typing import Any

from . import made, normalising, quoting, reading
from .core import Draw, Message, Pool, by_weight, dumps
from .fields import Field, pick_fields
from .kinds import Value
from .layout import talk
from .tools import ALL_KINDS

OPEN = Pool("""
[Hello|Hi|Good day|Dear team|Good morning|Hey],
[Just|Only] a short [note|message]:
[As promised|As agreed|For your records]:
[So|Well|Right],
[Sorry for the delay|Thanks for the quick answer].
[FYI|Update|News]:
[Quick question|One thing].
[I hope you are well|Hope all is fine].
""")
CLOSE = Pool("""
[Thanks|Thank you|Many thanks|Cheers][!|.]
[Best|Kind|Warm] regards
[See you|Talk] soon.
[That is all|Nothing else for now].
[Have a nice day|Take care].
[Let me know|Tell me] if [that works|anything is unclear].
""")
ASK = Pool("""
[Extract|Pull out|Pick out|Get] {keys} [from the text|] as JSON.
[Return|Give|Write] a JSON object with [the keys|the fields|] {keys}.
JSON with {keys}.
Find {keys} and [answer|reply] in JSON.
[Turn|Convert|Change] [this|the text|the message] into JSON with the keys {keys}.
Fill [in |]this record: {keys}. [JSON only.|Answer in JSON.]
Fields: {keys}. Output: JSON.
Which {keys} [are given|stand in the text]? Answer as a JSON object.
[Read|Parse] the message and output {keys} as JSON.
Message to record. Keys: {keys}.
I need a JSON record ({keys}).
Put {keys} into a JSON object, values copied from the text.
Structured data, please: {keys}.
[Collect|Gather] the following as JSON: {keys}
You extract data. Keys in this order: {keys}. JSON, nothing else.
keys = {keys}; [make|give] the JSON
What does the text say about {keys}? JSON object.
For each message, return JSON with {keys}.
Note the {keys} in JSON form.
Make a JSON object from this. Its keys are {keys}.
""")
MISSING = {
    "null": Pool("""
Missing [values|fields] are null.
Use null [if|when] [something|a value] is [not given|missing].
If a field is not in the text, put null.
null for what is not stated.
Unknown: null.
Write null where nothing is said.
    """),
    "omit": Pool("""
Leave out [missing fields|what is missing|what is not given].
Skip keys [that have no value|the text does not give].
Only include [fields|keys] that are present.
Omit unknown fields.
Drop keys without a value.
    """),
    "empty": Pool("""
Use "" for missing [values|fields].
If something is not given, write an empty string.
Empty string where nothing is stated.
Missing means "".
    """),
}
TYPED = Pool("""
[Times as HH:MM, dates as YYYY-MM-DD|Dates YYYY-MM-DD, times HH:MM], numbers as numbers.
Normalise: dates to YYYY-MM-DD, times to HH:MM[ (24 h)|], amounts to plain numbers.
ISO dates, 24-hour times and bare numbers.
Write times as HH:MM, dates in ISO form, durations in minutes.
""")
AS_SAID = Pool("""
Copy the values as they stand.
Values word for word.
Keep the spelling of the text.
Do not change the values.
Use the exact words of the text.
""")
_TYPED_KINDS = {"date", "time", "minutes", "foods", "people", "count", "money", "percent"}
_SAFE = {"count", "money", "percent", "foods", "people"}


def keys_text(d: Draw, keys: list[str]) -> str:
    roll = d.roll()
    if roll < 0.4:
        return ", ".join(keys)
    if roll < 0.55:
        return ", ".join(f'"{k}"' for k in keys)
    if roll < 0.7 and len(keys) > 1:
        return ", ".join(keys[:-1]) + " and " + keys[-1]
    if roll < 0.8:
        return dumps(keys)
    if roll < 0.9:
        return " / ".join(keys)
    return "; ".join(keys)


def prose(d: Draw, fields: dict[str, Field], values: dict[str, Value]) -> str:
    """The values told in sentences, with a greeting, filler from books, a farewell."""
    parts = [d.say(OPEN)] if d.chance(0.45) else []
    clauses = [d.say(field.clauses, v=values[key][0]) for key, field in fields.items() if key in values]
    clauses = d.shuffled(clauses)
    while clauses:
        take = clauses[: d.num(1, 2)]
        clauses = clauses[len(take) :]
        line = d.of((", and ", ", ", "; ", " and ")).join(take)
        parts.append((line[0].upper() + line[1:] if d.chance(0.85) else line) + ".")
    if d.chance(0.25):
        parts.insert(d.num(0, len(parts)), d.sentence(20, 110))
    if d.chance(0.3):
        parts.append(d.say(CLOSE))
    return d.of((" ", " ", " ", "\n")).join(parts)


def form(d: Draw, fields: dict[str, Field], values: dict[str, Value]) -> str:
    """The values as a form, a log line, a list."""
    shown = [(k, values[k][0]) for k in d.shuffled(fields) if k in values]
    titled = d.chance(0.5)
    pairs = [((k.replace("_", " ").capitalize() if titled else k), v) for k, v in shown]
    roll = d.roll()
    if roll < 0.35:
        return "\n".join(f"{k}: {v}" for k, v in pairs)
    if roll < 0.5:
        return "\n".join(f"- {k}: {v}" for k, v in pairs)
    if roll < 0.65:
        return f"{made.code(d)} " + " ".join(f'{k}="{v}"' for k, v in shown)
    if roll < 0.8:
        return " | ".join(f"{k}: {v}" for k, v in pairs)
    if roll < 0.9:
        return "\n".join(f"{k} ... {v}" for k, v in pairs)
    return "; ".join(f"{k} = {v}" for k, v in pairs)


def make(d: Draw) -> tuple[Message, ...]:
    return by_weight(d, [(45, reading.extract), (33, _plain), (12, normalising.make), (10, quoting.make)])(d)


def _plain(d: Draw) -> tuple[Message, ...]:
    fields = pick_fields(d)
    how = d.of(("null", "omit", "empty")) if d.chance(0.5) else ""
    keys = list(fields)
    present = [k for k in keys if not how or d.chance(0.7)] or keys[:1]
    typed = d.chance(0.4)
    values = {k: ALL_KINDS[fields[k].kind](d) for k in present}
    text = form(d, fields, values) if d.chance(0.25) else prose(d, fields, values)
    record: dict[str, Any] = {}
    for key in keys:
        if key in values:
            record[key] = values[key][2] if typed or fields[key].kind in _SAFE else values[key][1]
        elif how != "omit":
            record[key] = None if how == "null" else ""
    ask = d.say(ASK, keys=keys_text(d, keys))
    if typed and any(fields[k].kind in _TYPED_KINDS for k in present):
        ask += " " + d.say(TYPED)
    elif not typed and (d.chance(0.3) or any(fields[k].kind in {"date", "time"} for k in present)):
        ask += " " + d.say(AS_SAID)
    if how:
        ask += " " + d.say(MISSING[how])
    if d.chance(0.12) and len(keys) > 2:
        ask, record = _nested(d, ask, record)
    return talk(d, ask, text, dumps(record), system=0.5)


NEST = Pool("""
Put {inner} in an object under "{outer}".
{inner} go inside "{outer}".
Nest {inner} below the key "{outer}".
"{outer}" holds {inner}.
Group {inner} as "{outer}".
""")


def _nested(d: Draw, ask: str, record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    keys = list(record)
    inner = keys[-2:]
    if len(keys) < 3:
        return ask, record
    outer = d.of(("details", "info", "data", "more", "meta", "inner"))
    ask += " " + d.say(NEST, inner=" and ".join(inner), outer=outer)
    return ask, {k: record[k] for k in keys[:-2]} | {outer: {k: record[k] for k in inner}}
