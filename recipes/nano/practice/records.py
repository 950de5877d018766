"""Practice with small tables and records: CSV, YAML-like and key=value lines to JSON, JSON to sentences, edits."""

from __future__ import annotations

from typing import Any

from . import made
from .core import Draw, Message, Pool, dumps
from .fields import pick_fields
from .layout import talk
from .tools import ALL_KINDS

CSV = Pool("""
[Turn|Convert] the CSV [line|row] into JSON.
CSV to JSON[, please|].
[Write|Give] the row as a JSON object, keys from the header.
Header and row: make a JSON object.
The first line names the fields. Write the second as JSON.
JSON object for the row below its header.
""")
CSV_MANY = Pool("""
[Turn|Convert] the [table|CSV] into a JSON array[ of objects|].
CSV to JSON array, please.
A JSON list with one object per row.
Each row an object, all in one array.
""")
YAML = Pool("""
[Turn|Convert] [this|the YAML] into JSON.
YAML to JSON[, please|].
The same data as one JSON object.
Write the lines as a JSON object.
Make JSON from these lines.
""")
PAIRS = Pool("""
[Turn|Convert] the [log |]line into JSON.
key=value to JSON[, please|].
Parse the pairs into a JSON object.
Logfmt to JSON.
JSON object from the pairs.
""")
SET = Pool("""
[Set|Change] {k} to {v}.
{k} should be {v}.
Update the record: {k} = {v}
Make {k} {v}[ and return the JSON|].
Put {v} under {k}.
New {k}: {v}.
""")
REMOVE = Pool("""
[Remove|Delete|Drop] the key {k}.
Return the JSON without {k}.
Leave out {k}.
Take away {k}.
{k} must go.
""")
RENAME = Pool("""
Rename the key {k} to {n}.
Call {k} {n} instead.
{k} is now named {n}; keep the value.
The key {k} becomes {n}.
Use {n} as the name of {k}.
""")
ADDED = Pool("""
Add the key {k} with the value {v}[ at the end|].
Append {k}: {v}.
Put in {k} with {v}, last.
One more field: {k} = {v}
Extend it by {k} = {v}.
""")
READ = Pool("""
[What is|Give|Read] the value of {k}?
{k}?
Which value has the key {k}?
[Return|Write] {k} only.
Look up {k}.
""")
KEYS = Pool("""
[List|Give] the keys.
Which keys does the object have?
Only the names of the fields, [comma between|separated by commas].
Field names, please.
""")
LINES = Pool("""
[Write|Turn] it [as|into] "key: value" lines.
JSON to lines of key and value with a colon.
One line per field, key: value.
Plain lines instead of JSON, please.
""")
TO_CSV = Pool("""
[Write|Turn] it [as|into] one CSV line[, values only|].
Only the values, commas between, no spaces.
JSON to a CSV row.
CSV row of the values, please.
""")
SENTENCE = Pool("""
[Write|Say] [it|the record] as a sentence.
[Turn|Change] the JSON into a sentence: The <key> is <value>, and so on.
Read the record aloud in one sentence.
In a sentence, please.
Put the record into words.
""")


def _record(d: Draw, low: int = 2, high: int = 5) -> dict[str, Any]:
    fields = pick_fields(d, low, high)
    record = {k: ALL_KINDS[f.kind](d)[2] for k, f in fields.items()}
    return {k: v for k, v in record.items() if not isinstance(v, list)} or {"name": made.person(d)}


def make(d: Draw) -> tuple[Message, ...]:
    return d.of((_csv, _lines, _edit, _edit, _edit, _read, _out))(d)


def _csv(d: Draw) -> tuple[Message, ...]:
    record = {k: str(v) for k, v in _record(d).items()}
    record = {k: v.replace(",", "").replace(";", "") for k, v in record.items()}
    sep = d.of((",", ",", ";", "\t", " | "))
    rows = [record]
    if d.chance(0.25):
        rows = [
            {"name": made.first(d), "city": d.of((made.address, made.company))(d), "code": made.code(d)}
            for _ in range(d.num(2, 3))
        ]
    head = sep.join(rows[0])
    text = "\n".join([head, *(sep.join(r.values()) for r in rows)])
    return talk(d, d.say(CSV if len(rows) == 1 else CSV_MANY), text, dumps(rows[0] if len(rows) == 1 else rows))


def _lines(d: Draw) -> tuple[Message, ...]:
    record = _record(d)
    if d.chance(0.5):
        shown = [
            f'{k}="{v}"' if isinstance(v, str) and (" " in v or d.chance(0.2)) else f"{k}={v}"
            for k, v in record.items()
        ]
        return talk(d, d.say(PAIRS), " ".join(shown), dumps(record))
    lines = []
    nested = d.chance(0.3) and len(record) > 2
    keys = list(record)
    for key in keys[:-2] if nested else keys:
        lines.append(f"{key}: {record[key]}")
    if nested:
        outer = d.of(("details", "extra", "meta", "info"))
        lines += [f"{outer}:", *(f"  {k}: {record[k]}" for k in keys[-2:])]
        record = {k: record[k] for k in keys[:-2]} | {outer: {k: record[k] for k in keys[-2:]}}
    elif d.chance(0.3):
        items = [made.thing(d) for _ in range(d.num(2, 3))]
        lines += ["items:", *(f"  - {i}" for i in items)]
        record["items"] = items
    return talk(d, d.say(YAML), "\n".join(lines), dumps(record))


def _edit(d: Draw) -> tuple[Message, ...]:
    record = _record(d)
    key = d.of(tuple(record))
    mark = d.of(('"', "", ""))
    shown = f"{mark}{key}{mark}"
    roll = d.roll()
    fresh = _record(d, 1, 1)
    new_key, new = next(iter(fresh.items()))
    if roll < 0.35:
        other = made.thing(d) if isinstance(record[key], str) else d.num(1, 99)
        return talk(d, d.say(SET, k=shown, v=dumps(other)), dumps(record), dumps(record | {key: other}))
    if roll < 0.55 and len(record) > 1:
        return talk(d, d.say(REMOVE, k=shown), dumps(record), dumps({k: v for k, v in record.items() if k != key}))
    if roll < 0.75 and new_key not in record:
        renamed = {(new_key if k == key else k): v for k, v in record.items()}
        return talk(d, d.say(RENAME, k=shown, n=f"{mark}{new_key}{mark}"), dumps(record), dumps(renamed))
    record.pop(new_key, None)
    return talk(
        d, d.say(ADDED, k=f"{mark}{new_key}{mark}", v=dumps(new)), dumps(record), dumps(record | {new_key: new})
    )


def _read(d: Draw) -> tuple[Message, ...]:
    record = _record(d, 3, 6)
    if d.chance(0.2):
        return talk(d, d.say(KEYS), dumps(record), ", ".join(record))
    key = d.of(tuple(record))
    return talk(d, d.say(READ, k=key), dumps(record), str(record[key]))


def _out(d: Draw) -> tuple[Message, ...]:
    record = {k: v for k, v in _record(d).items() if "," not in str(v)} or {"code": made.code(d)}
    said = [f"the {k.replace('_', ' ')} is {v}" for k, v in record.items()]
    sentence = (", ".join(said[:-1]) + " and " + said[-1] if len(said) > 1 else said[0]) + "."
    pool, answer = d.of(
        (
            (LINES, "\n".join(f"{k}: {v}" for k, v in record.items())),
            (TO_CSV, ",".join(map(str, record.values()))),
            (SENTENCE, sentence[0].upper() + sentence[1:]),
        )
    )
    return talk(d, d.say(pool), dumps(record), answer)
