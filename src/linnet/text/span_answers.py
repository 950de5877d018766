"""Spans as a decoder writes them: a JSON list of labels and words, in the order of the text. Knows no model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

INSTRUCTION = (
    "Find every span of the text that is one of these: {labels}. Answer with a JSON list of objects with label and "
    "text, in the order of the text, each text copied exactly; [] where there is none."
)
_BETWEEN = re.compile(r"[\s,]*")
_SENTENCE = re.compile(r"(?:[.!?]\s+|\n+)")


class Said(NamedTuple):
    """A span that an answer names: where it stands in the text, and which characters of the answer say so."""

    label: str
    start: int
    end: int
    said_from: int
    said_to: int


def span_instruction(labels: Sequence[str], said: str = "") -> str:
    """What a decoder is told before each text: the task's own words, if any, and the labels."""
    named = ", ".join(labels)
    return f"{said}\nLabels: {named}" if said else INSTRUCTION.format(labels=named)


def span_schema(labels: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of an answer."""
    properties = {"label": {"enum": list(labels)}, "text": {"type": "string", "minLength": 1}}
    item = {"type": "object", "properties": properties, "required": ["label", "text"], "additionalProperties": False}
    return {"type": "array", "items": item}


def write_span_answer(text: str, spans: Sequence[tuple[str, int, int]]) -> str:
    """The answer that names `spans`, (label, start, end) in characters of the text."""
    ordered = sorted(spans, key=lambda one: one[1:])
    return json.dumps([{"label": one, "text": text[start:end]} for one, start, end in ordered], ensure_ascii=False)


def read_span_answer(answer: str, text: str) -> list[Said]:
    """The spans that an answer names, in the order of the text; none overlaps another.

    Words are looked for behind the last ones that were found, then from the start. What is not in the text, or already
    taken, is left out; so is the end of an answer that was cut.
    """
    decoder, after = json.JSONDecoder(), 0
    found: list[Said] = []
    at = answer.find("[") + 1
    while at:
        begin = _BETWEEN.match(answer, at).end()  # type: ignore[union-attr] # it matches nothing too
        try:
            item, at = decoder.raw_decode(answer, begin)
        except (ValueError, RecursionError):
            break
        if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("label", "text")):
            continue
        words = item["text"].strip()
        start = _free(words, text, found, after) if words else -1
        if start >= 0:
            after = start + len(words)
            found.append(Said(item["label"], start, after, begin, at))
    return sorted(found, key=lambda one: one.start)


def _free(words: str, text: str, taken: Sequence[Said], after: int) -> int:
    """Where the words stand and no span does, -1 for nowhere."""
    for begin in (after, 0):
        start = text.find(words, begin)
        while start >= 0:
            if all(one.end <= start or start + len(words) <= one.start for one in taken):
                return start
            start = text.find(words, start + 1)
    return -1


def parts_of(text: str, most: int) -> list[tuple[int, str]]:
    """The text in parts of at most `most` characters, each with where it begins: cut behind sentences, else at
    blanks, else anywhere."""
    parts, begin = [], 0
    while len(text) - begin > most:
        window = text[begin : begin + most]
        cut = max((one.end() for one in _SENTENCE.finditer(window)), default=0)
        cut = cut or window.rfind(" ") + 1 or most
        parts.append((begin, window[:cut]))
        begin += cut
    return [*parts, (begin, text[begin:])]
