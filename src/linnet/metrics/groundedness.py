"""How much of an answer stands in its sources: a rule over words and numbers, not a proof of truth.

A sentence is supported when, in one source, at least `least` of its content words occur and every number in it does.
Content words are words of three letters or more that are no common English word; they are compared by their first six
letters, so that endings do not count. A sentence without content words and numbers claims nothing and is left out. A
sentence that twists its source in the source's own words passes: for that a judge is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from linnet.core.records import Record
from linnet.metrics.scores import ScoreOne

VERSION = "1"
LEAST = 0.7
_STEM = 6
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_COMMON_WORDS = (
    "about above after again all also although always among and another any are around because been before being"
    " below between both but can could did does doing during each either else every few for from further had has"
    " have having hence her here hers him his how however into its itself just may might more most much must neither"
    " nor not now off often once one only other our out over own per rather same shall she should since some such"
    " than that the their them then there therefore these they this those though through thus too under until upon"
    " very was were what when where whether which while who whom whose why will with within without would yet you"
    " your"
)
_COMMON = frozenset(_COMMON_WORDS.split())


class Grounding(Record):
    """share: supported sentences over those that claim something; None when none does. `unsupported` are the others."""

    share: float | None
    sentences: int
    unsupported: list[str]


def sentences(text: str) -> list[str]:
    """The text at ends of sentences and of lines. Abbreviations before a capital are split too."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _words(text: str) -> set[str]:
    return {word[:_STEM] for word in _WORD.findall(text.lower()) if word not in _COMMON}


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in _NUMBER.findall(text)}


def grounding(answer: str, sources: Sequence[str], least: float = LEAST) -> Grounding:
    """Which sentences of the answer the sources support."""
    known = [(_words(source), _numbers(source)) for source in sources]
    unsupported, claims = [], 0
    for sentence in sentences(answer):
        words, numbers = _words(sentence), _numbers(sentence)
        if not words and not numbers:
            continue
        claims += 1
        if not any(numbers <= digits and len(words & there) >= least * len(words) for there, digits in known):
            unsupported.append(sentence)
    share = (claims - len(unsupported)) / claims if claims else None
    return Grounding(share=share, sentences=claims, unsupported=unsupported)


def groundedness(least: float = LEAST) -> ScoreOne:
    """A metric for `score_each`, its references being the sources: the share; 0 for an answer that claims nothing."""
    return lambda answer, sources: grounding(answer, sources, least).share or 0.0
