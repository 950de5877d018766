"""Which strings of the answers are copied from the question: what the schema says of it, and what the rows show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from linnet.core.errors import DataError
from linnet.engines.grammar.copied import KEYWORD, are_copied, is_copied
from linnet.metrics.extraction import read_answer
from linnet.text.questions import Question

FEWEST = 20  # values that are all copied, before anything is said of it
_FREE = {"enum", "const", "pattern", "format", KEYWORD, "maxLength"}


def check_copied(schema: Any, rows: Sequence[Question], name: str) -> list[str]:
    """Notes on fields that could be `x-copied`. Raises DataError for a value of one that is, and is no copy."""
    declared, listed, free = _names(schema)
    found: dict[str, Counter[bool]] = defaultdict(Counter)
    for row in rows:
        said = next((turn.content for turn in reversed(row.turns) if turn.role == "user"), "")
        for reference in row.references:
            for field, texts in _texts(read_answer(reference)):
                stands = are_copied(texts, said) if field in listed else all(is_copied(text, said) for text in texts)
                found[field][stands] += 1
                if field in declared - free and not stands:
                    raise _no_copy(f"{name}, row {row.row}: {field}", texts)
    always = [f for f in sorted(free - declared) if found[f][True] >= FEWEST and not found[f][False]]
    if not always:
        return []
    counts = ", ".join(f"{field} ({found[field][True]:,})" for field in always)
    return [f'{name}: always copied from the input: {counts}. "{KEYWORD}": true in the schema holds answers to that.']


def _no_copy(where: str, texts: Sequence[str]) -> DataError:
    shown = ", ".join(repr(text[:80]) for text in texts[:5])
    are = "are no runs of words of the input, in its order" if len(texts) > 1 else "is no run of words of the input"
    return DataError(f"{where}: {shown} {are}.", f"The schema says {KEYWORD}: take that away, or mend the row.")


def _names(schema: Any) -> tuple[set[str], set[str], set[str]]:
    """Names of properties whose strings, or lists of strings, are declared copied, of such lists, and of free ones."""
    declared, listed, free = set[str](), set[str](), set[str]()
    for name, child in _properties(schema):
        inner = child.get("items", child) if child.get("type") == "array" else child
        if not isinstance(inner, dict) or inner.get("type") != "string":
            continue
        if child.get(KEYWORD) is True or inner.get(KEYWORD) is True:
            declared.add(name)
            listed |= {name} if inner is not child and child.get(KEYWORD) is True else set()
        elif not _FREE & set(inner):
            free.add(name)
    return declared, listed, free


def _properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named property anywhere in a schema."""
    if isinstance(schema, list):
        for part in schema:
            yield from _properties(part)
    elif isinstance(schema, dict):
        named = schema.get("properties")
        for name, child in named.items() if isinstance(named, dict) else ():
            if isinstance(child, dict):
                yield name, child
        for child in schema.values():
            yield from _properties(child)


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, list[str]]]:
    """The texts under each property of an answer, those of a list together."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, key)
    elif isinstance(value, list):
        if texts := [inner for inner in value if isinstance(inner, str)]:
            yield name, texts
        for inner in value:
            if not isinstance(inner, str):
                yield from _texts(inner, name)
    elif isinstance(value, str):
        yield name, [value]
