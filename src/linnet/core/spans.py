"""A span: a type and a half-open stretch, in characters or in tokens; and how tags of tokens say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from linnet.core.errors import DataError


class Span(NamedTuple):
    """A type and the half-open stretch start..end."""

    kind: str
    start: int
    end: int


def bio_spans(tags: Sequence[str], *, strict: bool = False) -> list[Span]:
    """The spans of one sequence of BIO tags, in tokens.

    Not strict (the rule of conlleval and of seqeval's default): an I- tag after O, or of another type than the tag
    before, begins a span. Strict (IOB2): such a tag belongs to no span. Raises DataError for a tag that is neither O,
    B-type nor I-type.
    """
    spans: list[Span] = []
    kind, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, named = tag.partition("-")
        if (tag != "O" and prefix not in ("B", "I")) or (prefix in ("B", "I") and not named):
            raise DataError(f"Token {place}: the tag {tag!r} is not O, B-type or I-type.")
        if prefix == "I" and named == kind:
            continue
        if kind:
            spans.append(Span(kind, start, place))
        begins = prefix == "B" or (prefix == "I" and not strict)
        kind, start = (named if begins else ""), place
    return spans
