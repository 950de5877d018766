"""Texts that a schema wants copied from the question (`"x-copied": true`), as GBNF: a run of its words and marks.

A small model writes rare words wrong; held to this it can only choose where the run begins and ends. A list of copied
texts has its runs in the order they stand in, and none over another: so it cannot go on for ever, nor say one twice.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from linnet.core.errors import InputError
from linnet.engines.grammar.grammar_text import literal

KEYWORD = "x-copied"
MOST_UNITS = 20_000  # words, marks and stretches of white space: each is a rule of the grammar
MOST_LISTED = 2000  # of them for a list, whose items can begin at each without sharing
_UNIT = re.compile(r"\s+|\w+|[^\w\s]")


def is_copied(text: str, source: str) -> bool:
    """Whether `copied_rules` of a source allow a text."""
    return are_copied([text], source)


def are_copied(texts: Sequence[str], source: str) -> bool:
    """Whether `listed_rules` of a source allow a list of texts."""
    at = 0
    for text in texts:
        if not text or text != text.strip():
            return False
        before = r"(?<!\w)" if re.match(r"\w", text) else ""
        after = r"(?!\w)" if re.match(r"\w", text[-1]) else ""
        found = re.compile(before + re.escape(text) + after).search(source, at)
        if not found:
            return False
        at = found.end()
    return True


def without_copied(schema: Any) -> Any:
    """The schema for engines that know the standard's keywords only."""
    if isinstance(schema, list):
        return [without_copied(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # A property may have this name: then its value is a schema.
    return {k: without_copied(v) for k, v in schema.items() if k != KEYWORD or not isinstance(v, bool)}


def copied_rules(source: str) -> dict[str, str]:
    """Rules whose first, `copied`, is a JSON string that holds a run of `source`; "" where there is nothing to copy.

    A run begins and ends at a word or a mark, never inside a word or at white space. Where it begins, words with the
    same first letter share an alternative: the engine tries every alternative at every token. Raises InputError for a
    text that is too long.
    """
    units = _units(source, MOST_UNITS)
    if not units:
        return {"copied": '"\\"\\""'}
    rules = {"copied": ""}
    letters: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, unit in enumerate(units):
        said = json.dumps(unit, ensure_ascii=False)[1:-1]
        rules[f"c{at}"] = f"{literal(said)} {_after(at, units)}".rstrip()
        if not unit.isspace():
            letters[said[0]][said[1:]].append(at)
    starts = []
    for letter, rests in letters.items():
        ways = [f"{literal(rest)} {_either(places, units)}".rstrip() for rest, places in rests.items()]
        starts.append(f"{literal(letter)} ({' | '.join(ways)})")
    rules["copied"] = f'"\\"" ({" | ".join(starts)}) "\\""'
    return rules


def _units(source: str, most: int) -> list[str]:
    found = _UNIT.findall(source.strip())
    if len(found) > most:
        raise InputError(
            f"{KEYWORD}: the text has {len(found)} words, marks and spaces: at most {most} can be held to.",
            "Shorten the text, or leave the keyword out.",
        )
    return found


def listed_rules(source: str) -> dict[str, str]:
    """Rules whose first, `listed`, are one or more JSON strings with commas between: runs of `source` in their order.

    "" is the only one where there is nothing to copy. Raises InputError for a text that is too long.
    """
    units = _units(source, MOST_LISTED)
    if not units:
        return {"listed": '"\\"\\""'}
    rules = {"listed": '"\\"" from0'}
    for at, unit in enumerate(units):
        is_last = at + 1 == len(units)
        said = literal(json.dumps(unit, ensure_ascii=False)[1:-1])
        if unit.isspace():
            rules[f"run{at}"] = f"{said} run{at + 1}"
            rules[f"from{at}"] = f"from{at + 1}"
        elif is_last:
            rules[f"run{at}"] = f'{said} "\\""'
            rules[f"from{at}"] = f"run{at}"
        else:
            rules[f"run{at}"] = f'{said} ("\\"" (ws "," ws "\\"" from{at + 1})? | run{at + 1})'
            rules[f"from{at}"] = f"run{at} | from{at + 1}"
    return rules


def _after(at: int, units: list[str]) -> str:
    """What may follow a unit: the next one, and after white space it must."""
    if at + 1 == len(units):
        return ""
    return f"c{at + 1}" if units[at].isspace() else f"c{at + 1}?"


def _either(places: list[int], units: list[str]) -> str:
    followers = [f"c{at + 1}" for at in places if at + 1 < len(units)]
    return f"({' | '.join(followers)})?" if followers else ""
