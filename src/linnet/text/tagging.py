"""Rows with tagged spans, in the forms people keep them: offsets, the words themselves, or a tag for each token.

Everything becomes offsets in characters of one text. Knows no model.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError
from linnet.core.records import Record
from linnet.core.spans import bio_spans
from linnet.text.conversation_rows import check_column, read_rows, text_of

# Names that annotation tools give to the same things.
LABELS = ("label", "labels", "type", "entity", "entity_group", "entity_type", "tag")
TEXTS = ("text", "value", "word", "entity_value")
STARTS, ENDS = ("start", "start_position", "start_offset"), ("end", "end_position", "end_offset")
MOST_LABELS = 200


class Tagged(Record):
    """A text and its spans, as (label, start, end), in the order of the text; none overlaps another."""

    row: int
    text: str
    spans: tuple[tuple[str, int, int], ...]
    group: str = ""


@dataclass(slots=True)
class Notes:
    """What was mended in a file, to be told."""

    trimmed: int = 0
    repeated: int = 0
    located: int = 0

    def sentences(self) -> Iterator[str]:
        if self.trimmed:
            yield f"{self.trimmed:,} spans had blanks at an end, which were left out of them."
        if self.repeated:
            yield f"{self.repeated:,} spans that repeat another of their row were left out."
        if self.located:
            yield f"{self.located:,} spans without offsets were found by their words, in the order of the row."


@dataclass(frozen=True, slots=True)
class TaggedFile:
    """The rows of a file, and what was mended."""

    rows: list[Tagged]
    notes: list[str] = field(default_factory=list)

    def labels(self) -> list[str]:
        return sorted({label for row in self.rows for label, _, _ in row.spans})


def read_tagged(path: Path, text: str, spans: str, group: str = "") -> TaggedFile:
    """Every row of a file: the column `text`, and `spans` in any of these forms, also as JSON text:

    - [{"start": 0, "end": 4, "label": "NAME"}] or [[0, 4, "NAME"]]: offsets in characters, the end not included;
    - [{"text": "Anna", "label": "NAME"}]: words, found in the text in this order;
    - tags such as ["B-NAME", "O"], where `text` is a list of as many tokens: they are joined with blanks.

    Raises NotFound, or DataError that names file, row and span.
    """
    rows, notes, found = read_rows(path), Notes(), []
    for column in filter(None, (text, spans, group)):
        check_column(rows, column)
    for index, row in enumerate(rows.rows):
        where = rows.where(index)
        asked, given = row.get(text), _parsed(row.get(spans), where)
        if isinstance(asked, list):
            asked, marked = _of_tokens(asked, given, where)
        else:
            asked = text_of(asked, where)
            marked = [_span(one, asked, where, notes) for one in _located(given, asked, where, notes)]
        if not asked.strip():
            raise DataError(f"{where}: the text is empty.", "Remove the row, or fill it.")
        spans_ = _ordered(marked, asked, where, notes)
        named = text_of(row.get(group), where) if group else ""
        found.append(Tagged(row=rows.numbers[index], text=asked, spans=tuple(spans_), group=named))
    made = TaggedFile(found, [*rows.notes, *notes.sentences()])
    if not made.labels():
        raise DataError(f"{path.name}: no row has a span in {spans!r}.", "See docs/guide/tag.md for the forms.")
    if len(made.labels()) > MOST_LABELS:
        counts = Counter(label for row in found for label, _, _ in row.spans)
        least = ", ".join(repr(label) for label, _ in counts.most_common()[-3:])
        raise DataError(
            f"{path.name}: the spans have {len(counts)} labels; at most {MOST_LABELS} are read. Rare: {least}.",
            "A label is a type such as NAME, not the words.",
        )
    return made


def _parsed(value: Any, where: str) -> list[Any]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: the spans are no JSON: {value[:80]!r}.", "See docs/guide/tag.md.") from error
    if value in (None, ""):
        return []
    if not isinstance(value, list):
        raise DataError(f"{where}: the spans are no list: {str(value)[:80]!r}.", "See docs/guide/tag.md.")
    return value


def _of_tokens(tokens: list[Any], tags: list[Any], where: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The text of a row of tokens, and the spans of its BIO tags, read as conlleval does."""
    if any(not isinstance(one, str) for one in (*tokens, *tags)):
        raise DataError(
            f"{where}: tokens and tags must be texts.", 'Write the names of the tags, such as "B-NAME", not numbers.'
        )
    if len(tokens) != len(tags):
        raise DataError(f"{where}: {len(tokens)} tokens have {len(tags)} tags.", "Each token needs one.")
    try:
        found = bio_spans(tags)
    except DataError as error:
        raise DataError(f"{where}: {error.message}", error.hint) from error
    starts = list(itertools.accumulate((len(token) + 1 for token in tokens), initial=0))
    spans = [(one.kind, starts[one.start], starts[one.end] - 1) for one in found]
    return " ".join(tokens), spans


def _located(given: Sequence[Any], text: str, where: str, notes: Notes) -> Iterator[Any]:
    """The spans with offsets. Words alone are looked for behind the last ones that were found, then from the start."""
    after = 0
    for one in given:
        if not isinstance(one, dict) or any(name in one for name in (*STARTS, *ENDS)):
            yield one
            continue
        words = next((one[name] for name in TEXTS if isinstance(one.get(name), str) and one[name].strip()), "")
        start = text.find(words, after) if words else -1
        start = text.find(words) if words and start < 0 else start
        if start < 0:
            raise DataError(f"{where}: the span {str(one)[:80]!r} is not in the text.", "Correct the row.")
        after, notes.located = start + len(words), notes.located + 1
        yield {**one, "start": start, "end": after}


def _span(one: Any, text: str, where: str, notes: Notes) -> tuple[str, int, int]:
    """One span, checked against the text."""
    shown = str(one)[:80]
    if isinstance(one, list) and len(one) == 3:
        start, end, label = one if isinstance(one[2], str) else (one[1], one[2], one[0])
        words = None
    elif isinstance(one, dict):
        start, end, label = (_first(one, names) for names in (STARTS, ENDS, LABELS))
        words = next((one[name] for name in TEXTS if isinstance(one.get(name), str)), None)
    else:
        raise DataError(f"{where}: {shown!r} is no span.", "See docs/guide/tag.md for the forms.")
    if isinstance(label, list) and len(label) == 1:  # Label Studio
        label = label[0]
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"{where}: the span {shown!r} has no label.", f"Known names: {', '.join(LABELS)}.")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise DataError(
            f"{where}: the span {shown!r} does not lie in the text of {len(text)} characters.",
            "Offsets count characters from 0, the end is not included.",
        )
    inside = text[start:end]
    if words is not None and words.strip() != inside.strip():
        raise DataError(
            f"{where}: the span {label} {start}..{end} holds {inside[:40]!r}, and says {words[:40]!r}.",
            "Offsets count characters, not bytes.",
        )
    if not inside.strip():
        raise DataError(f"{where}: the span {label} {start}..{end} holds only blanks.", "Remove it.")
    notes.trimmed += inside != inside.strip()
    return label.strip(), start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def _first(one: dict[str, Any], names: Sequence[str]) -> Any:
    return next((one[name] for name in names if one.get(name) is not None), None)


def _ordered(spans: Sequence[tuple[str, int, int]], text: str, where: str, notes: Notes) -> list[tuple[str, int, int]]:
    """In the order of the text. Raises DataError for two that share a character."""
    kept = sorted(set(spans), key=lambda one: (one[1], one[2], one[0]))
    notes.repeated += len(spans) - len(kept)
    for before, after in itertools.pairwise(kept):
        if after[1] < before[2]:
            first, second = (f"{label} {text[start:end][:30]!r}" for label, start, end in (before, after))
            raise DataError(f"{where}: the spans {first} and {second} overlap.", "Keep one of them.")
    return kept
