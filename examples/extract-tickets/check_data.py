"""Checks the written data: form, schema, copied values, repeats, and that no test message is near one of training."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import marks

NEAR = 0.6
SUM = re.compile(r"\d+(?:[.,' ]\d+)*")


def schema_faults(value: Any, schema: dict[str, Any], where: str = "record") -> list[str]:
    """Faults of `value` under the few JSON Schema words that ticket.schema.json uses."""
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "number": (int, float)}
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where}: {value!r} is none of the enum"]
    if not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool):
        return [f"{where}: {value!r} is no {schema['type']}"]
    faults = []
    if isinstance(value, dict):
        faults += [f"{where}: no {key}" for key in schema.get("required", []) if key not in value]
        for key, inner in value.items():
            known = schema["properties"].get(key)
            faults += schema_faults(inner, known, f"{where}.{key}") if known else [f"{where}: {key} is unknown"]
    elif isinstance(value, list):
        faults += [f"{where}: too short"] if len(value) < schema.get("minItems", 0) else []
        for inner in value:
            faults += schema_faults(inner, schema["items"], where)
    elif isinstance(value, str):
        faults += [f"{where}: empty"] if len(value) < schema.get("minLength", 0) else []
    elif value <= schema.get("exclusiveMinimum", float("-inf")):
        faults.append(f"{where}: {value} is too small")
    return faults


def copy_faults(message: str, record: dict[str, Any]) -> list[str]:
    """Values that do not stand in the message, or stand there only as a part of a longer word."""
    faults = []
    texts = [("items", text) for text in record.get("items", [])]
    texts += [(key, record[key]) for key in ("product", "order_id", "order_date", "contact") if key in record]
    for key, text in texts:
        whole = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", message)
        if not whole and not (key == "order_date" and text in marks.full_dates(message)):
            faults.append(f"{key}: {text!r} does not stand in the message")
        if text != text.strip():
            faults.append(f"{key}: {text!r} has space around it")
    if "amount" in record:
        numerals = {marks.number(part) for part in SUM.findall(message)}
        numerals |= {marks.number(part) for part in re.findall(r"\d+(?:[.,']\d+)*", message)}
        signs = [sign.lower() for sign, code in marks.CURRENCIES.items() if code == record["amount"]["currency"]]
        if record["amount"]["value"] not in numerals or not any(sign in message.lower() for sign in signs):
            faults.append(f"amount: {record['amount']} does not stand in the message")
    return faults


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|0", re.sub(r"\d+", "0", text.lower().replace("'", "")))


def grams(text: str) -> frozenset[tuple[str, ...]]:
    """Word 5-grams after normalising: lower case, numbers alike, no signs; a shorter text is one gram."""
    all_words = words(text)
    return frozenset(tuple(all_words[start : start + 5]) for start in range(max(1, len(all_words) - 4)))


def sentences(text: str) -> set[str]:
    """Normalised sentences of five words or more."""
    parts = (words(part) for part in re.split(r"[.!?\n]+", text))
    return {" ".join(part) for part in parts if len(part) >= 5}


def read(path: Path, schema: dict[str, Any]) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    rows, faults = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        record = json.loads(row["record"])
        found = [] if list(row) == ["message", "record"] else ["row: not message, record"]
        found += schema_faults(record, schema) + copy_faults(row["message"], record)
        if list(record) != [key for key in marks.KEYS if key in record]:
            found.append("record: keys out of order")
        if row["record"] != json.dumps(record, ensure_ascii=False, separators=(",", ":")):
            found.append("record: not compact")
        if re.search(r"[\[\]{}]", row["message"]):
            found.append("message: a mark or a slot is left")
        faults += [f"{path.name}:{number}: {fault}" for fault in found]
        rows.append((row["message"], record))
    return rows, faults


def check(folder: Path) -> int:
    """Prints faults and frequencies; 0 when there is no fault."""
    schema = json.loads((folder / "ticket.schema.json").read_text(encoding="utf-8"))
    train, faults = read(folder / "train.jsonl", schema)
    test, test_faults = read(folder / "test.jsonl", schema)
    faults += test_faults
    repeats = Counter(" ".join(words(message)) for message, _ in (*train, *test))
    faults += [f"repeated: {text}" for text, count in repeats.items() if count > 1]
    train_grams = [grams(message) for message, _ in train]
    train_sentences = set().union(*(sentences(message) for message, _ in train))
    nearest = 0.0
    for message, _ in test:
        mine = grams(message)
        near = max(len(mine & other) / len(mine | other) for other in train_grams)
        nearest = max(nearest, near)
        faults += [f"near a training message ({near:.2f}): {message}"] if near > NEAR else []
        faults += [f"sentence of training: {text}" for text in sentences(message) & train_sentences]
    for key in ("product", "order_id", "contact"):
        shared = {r[key].lower() for _, r in train if key in r} & {r[key].lower() for _, r in test if key in r}
        faults += [f"{key} of both train and test: {value}" for value in sorted(shared)]
    for name, rows in (("train", train), ("test", test)):
        print(f"{name}: {len(rows)} messages, {sum(len(m.split()) for m, _ in rows) / len(rows):.1f} words each")
        for key in marks.KEYS:
            values = [record[key] for _, record in rows if key in record]
            detail = ""
            if "enum" in schema["properties"][key]:
                detail = "  " + ", ".join(f"{value} {count}" for value, count in Counter(values).most_common())
            elif key == "order_date":
                detail = f"  ISO {sum(bool(re.fullmatch(r'[0-9]{4}-[0-9]{2}-[0-9]{2}', v)) for v in values)}"
            elif key == "items":
                detail = f"  two or more {sum(len(value) > 1 for value in values)}"
            print(f"  {key:<11}{len(values):>5} {100 * len(values) / len(rows):5.1f} %{detail}")
    print(f"nearest test message to training: 5-gram Jaccard {nearest:.2f} (limit {NEAR})")
    print("\n".join(faults[:60]) or "no faults")
    return 1 if faults else 0
