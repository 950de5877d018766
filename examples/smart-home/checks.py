"""What must hold for the written rows: their form, their schema, copied words, and a test apart from the training.

Knows rows and a schema; knows nothing of phrasings. `Near` finds the most alike command by character 5-grams.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import calls

NEAR = 0.6  # Jaccard of character 5-grams above which two commands count as near-duplicates
TYPES: dict[str, type | tuple[type, ...]] = {"object": dict, "array": list, "string": str, "integer": int,
                                             "number": (int, float)}  # fmt: skip


def normal(text: str) -> str:
    return " ".join(re.sub(r"[^\w%]+", " ", text.lower()).split())


def grams(text: str) -> set[str]:
    padded = f"  {normal(text)}  "
    return {padded[at : at + 5] for at in range(len(padded) - 4)}


class Near:
    """The highest 5-gram Jaccard of a command to a fixed set of commands."""

    def __init__(self, commands: Iterable[str]) -> None:
        self.commands = list(commands)
        self.sizes: list[int] = []
        self.holders: dict[str, list[int]] = defaultdict(list)
        for index, command in enumerate(self.commands):
            found = grams(command)
            self.sizes.append(len(found))
            for gram in found:
                self.holders[gram].append(index)

    def best(self, command: str) -> tuple[float, str]:
        found = grams(command)
        shared = Counter(index for gram in found for index in self.holders.get(gram, ()))
        scores = ((count / (len(found) + self.sizes[index] - count), index) for index, count in shared.items())
        score, index = max(scores, default=(0.0, 0))
        return score, self.commands[index]

    def score(self, command: str) -> float:
        return self.best(command)[0]


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """JSON Schema, as far as ours uses it."""
    if "anyOf" in schema:
        return any(fits(value, option) for option in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool):
        return False
    if isinstance(value, dict):
        known = schema["properties"]
        return set(schema["required"]) <= set(value) <= set(known) and all(
            fits(value[key], known[key]) for key in value
        )
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(fits(one, schema["items"]) for one in value)
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and bool(re.search(schema.get("pattern", ""), value))
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def in_order(value: Any, schema: dict[str, Any]) -> bool:
    """Keys come in the order of the schema's properties; `value` fits the schema."""
    if "anyOf" in schema:
        schema = next(option for option in schema["anyOf"] if fits(value, option))
    if not isinstance(value, dict):
        return True
    places = [list(schema["properties"]).index(key) for key in value]
    return places == sorted(places) and all(in_order(value[key], schema["properties"][key]) for key in value)


def faults(row: dict[str, str], schema: dict[str, Any]) -> Iterable[str]:
    if list(row) != ["command", "call", "speaker"] or not all(row.values()):
        yield "columns are not command, call, speaker"
        return
    call = json.loads(row["call"])
    if row["call"] != calls.as_text(call):
        yield "the call is not in the one compact form"
    if not fits(call, schema):
        yield "the call does not fit the schema"
    elif not in_order(call, schema):
        yield "keys are out of order"
    elif call["tool"] != "none" and not call["arguments"]:
        yield "no argument"
    yield from (f"{text!r} is not in the command" for text in calls.copied_texts(call) if text not in row["command"])
    if row["command"] != row["command"].strip() or "{" in row["command"]:
        yield "spaces or braces left in the command"


def tool(row: dict[str, str]) -> str:
    call = json.loads(row["call"])
    return f"none ({call['reason']})" if call["tool"] == "none" else str(call["tool"])


def new_texts(train: list[dict[str, str]], test: list[dict[str, str]]) -> tuple[int, int]:
    """(test rows whose copied texts never occur as such in training, test rows that copy at all)"""
    seen = {text.lower() for row in train for text in calls.copied_texts(json.loads(row["call"]))}
    copying = [texts for row in test if (texts := calls.copied_texts(json.loads(row["call"])))]
    return sum(all(text.lower() not in seen for text in texts) for texts in copying), len(copying)


def report(train: list[dict[str, str]], test: list[dict[str, str]], schema: dict[str, Any]) -> int:
    """Print the counts and every fault; 0 where there is none."""
    found = [f"{name} {at}: {fault}: {row}" for name, rows in (("train", train), ("test", test))
             for at, row in enumerate(rows, 1) for fault in faults(row, schema)]  # fmt: skip
    for name, rows in (("train", train), ("test", test)):
        twice = [text for text, count in Counter(normal(row["command"]) for row in rows).items() if count > 1]
        found += [f"{name}: twice: {text}" for text in twice]
    near = Near(row["command"] for row in train)
    scores = sorted(((*near.best(row["command"]), row["command"]) for row in test), reverse=True)
    found += [
        f"test too near to train ({score:.2f}): {said!r} ~ {other!r}" for score, other, said in scores if score > NEAR
    ]
    if overlap := {row["speaker"] for row in train} & {row["speaker"] for row in test}:
        found.append(f"speakers in both: {overlap}")
    print(*found, sep="\n")
    counts = [Counter(map(tool, rows)) for rows in (train, test)]
    for name in sorted(set().union(*counts)):
        print(f"{name:22} train {counts[0][name]:5}  test {counts[1][name]:4}")
    new, copying = new_texts(train, test)
    middle = scores[len(scores) // 2][0] if scores else 0.0
    print(f"rows: train {len(train)}, test {len(test)}; speakers {dict(Counter(row['speaker'] for row in test))}")
    print(f"copying test rows with only new texts: {new} of {copying}")
    print(f"nearest training command: highest {scores[0][0] if scores else 0:.2f}, median {middle:.2f}, above {NEAR}: "
          f"{sum(score > NEAR for score, _, _ in scores)}")  # fmt: skip
    size = len(json.dumps(schema).encode())
    print(f"schema: {size} bytes; faults: {len(found)}")
    return 1 if found else 0
