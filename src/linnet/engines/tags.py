"""From texts to words, windows of tokens and tags, and back to spans. Knows no library that runs models.

Tags are BIO: index 0 is O, 1 + 2k begins a span of label k, 2 + 2k goes on with it. A word carries its tag on its first
token, as in Devlin et al. 2018 (arXiv:1810.04805, section 5.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from linnet.core.errors import EngineError
from linnet.engines.base import Array, softmax

OVERLAP = 4  # a window shares the fourth part of its tokens with the one before it
NEVER = -1e9


class Word(NamedTuple):
    """A word: its first token, counted without special tokens, and where it stands in the text."""

    token: int
    start: int
    end: int


class Entity(NamedTuple):
    """A span that was found. `probability` is that of its label at its least sure word."""

    label: str
    start: int
    end: int
    text: str
    probability: float


class Tagged(NamedTuple):
    """The spans of one text, in its order, and how many tokens were read for it."""

    spans: list[Entity]
    tokens: int


class Tagger(Protocol):
    """What finds spans in texts of any length. Raises EngineError when it cannot."""

    labels: list[str]

    @property
    def worker_bytes(self) -> int:
        """What it holds outside of this process."""

    def tag(self, texts: Sequence[str]) -> list[Tagged]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids as a model reads them: `lead` special ones, then `count` of the text from `begin` on, then others."""

    ids: list[int]
    begin: int
    lead: int
    count: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A text cut into words, and into windows that a model can read."""

    text: str
    words: list[Word]
    windows: list[Window]

    @property
    def tokens(self) -> int:
        """How many the text has, special tokens left out."""
        return self.windows[-1].begin + self.windows[-1].count

    def owner(self, word: Word) -> int:
        """The window in which the word has the most tokens around it."""
        inner = [min(word.token - one.begin, one.begin + one.count - word.token - 1) for one in self.windows]
        return int(np.argmax(inner))


class Reader:
    """The tokenizer of a tagger. Raises EngineError when its file cannot be loaded."""

    def __init__(self, tokenizer_file: Path, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises bare Exception
            raise EngineError(
                f"{tokenizer_file} could not be loaded: {error}.", "Build the specialist again."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.max_tokens = max_tokens

    def read(self, texts: Sequence[str]) -> list[Reading]:
        return [
            Reading(text, _words(text, one), self._windows(one))
            for text, one in zip(texts, self._tokenizer.encode_batch(list(texts)), strict=True)
        ]

    def _windows(self, encoding: Any) -> list[Window]:
        mask = encoding.special_tokens_mask
        lead = next((place for place, special in enumerate(mask) if not special), len(mask))
        tail = next((place for place, special in enumerate(reversed(mask)) if not special), 0)
        ids, end = encoding.ids, len(mask) - tail
        room = self.max_tokens - lead - tail
        step, content = max(1, room - room // OVERLAP), ids[lead:end]
        begins = [0, *range(step, max(1, len(content) - room + step), step)] if len(content) > room else [0]
        head, foot = ids[:lead], ids[end:] if tail else []
        return [
            Window([*head, *content[begin : begin + room], *foot], begin, lead, len(content[begin : begin + room]))
            for begin in begins
        ]


def _words(text: str, encoding: Any) -> list[Word]:
    """Words in the sense of the tokenizer, without blanks around them."""
    found: list[Word] = []
    lead = next((place for place, special in enumerate(encoding.special_tokens_mask) if not special), 0)
    last: int | None = None
    for place, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if encoding.special_tokens_mask[place] or word is None or start >= end:
            continue
        inside = text[start:end]
        start, end = start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())
        if word == last and found:
            found[-1] = Word(found[-1].token, found[-1].start, max(found[-1].end, end))
        elif start < end:
            found.append(Word(place - lead, start, end))
            last = word
    return found


def tag_names(labels: Sequence[str]) -> list[str]:
    """BIO names of the tags, by their numbers."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


def word_tags(words: Sequence[Word], spans: Sequence[tuple[str, int, int]], labels: Sequence[str]) -> list[int]:
    """The tag of each word: that of the span it shares a character with."""
    place = {label: index for index, label in enumerate(labels)}
    tags, inside = [], ("", -1, -1)
    for word in words:
        span = next((one for one in spans if one[1] < word.end and word.start < one[2]), None)
        if span is None:
            tags.append(0)
        else:
            tags.append(1 + 2 * place[span[0]] + (span == inside))
        inside = span or ("", -1, -1)
    return tags


def best_tags(scores: Array) -> list[int]:
    """The likeliest sequence of tags that is one: nothing goes on that did not begin (Viterbi 1967).

    `scores` are logarithms of probabilities, shape (words, tags).
    """
    if not len(scores):
        return []
    total = scores[0].copy()
    total[2::2] = NEVER
    back = np.zeros(scores.shape, dtype=np.int64)
    for row in range(1, len(scores)):
        best = int(total.argmax())
        came = np.full(scores.shape[1], best)
        value = np.full(scores.shape[1], total[best])
        begun = total[1::2] >= total[2::2]
        came[2::2] = np.where(begun, np.arange(1, len(total), 2), np.arange(2, len(total), 2))
        value[2::2] = np.maximum(total[1::2], total[2::2])
        back[row], total = came, value + scores[row]
    tags = [int(total.argmax())]
    for row in range(len(scores) - 1, 0, -1):
        tags.append(int(back[row, tags[-1]]))
    return tags[::-1]


def tag_spans(tags: Sequence[int]) -> list[tuple[int, int, int]]:
    """(label, first word, word behind the last) of every span of a sequence that is one."""
    found: list[tuple[int, int, int]] = []
    for place, tag in enumerate(tags):
        if tag % 2 == 1:
            found.append(((tag - 1) // 2, place, place + 1))
        elif tag:
            found[-1] = (found[-1][0], found[-1][1], place + 1)
    return found


def of_words(readings: Sequence[Reading], windows: Iterable[Array], width: int) -> list[Array]:
    """For each text the rows of its words, shape (words, width), each from the window that shows most around it.

    `windows` are those of all texts in order, shape (tokens of the text or more, width).
    """
    given, out = iter(windows), []
    for reading in readings:
        parts = [next(given) for _ in reading.windows]
        owners = [reading.owner(word) for word in reading.words]
        rows = [
            parts[place][word.token - reading.windows[place].begin]
            for place, word in zip(owners, reading.words, strict=True)
        ]
        out.append(np.asarray(rows, dtype=np.float32).reshape(len(rows), width))
    return out


def entities(reading: Reading, logits: Array, labels: Sequence[str]) -> list[Entity]:
    """The spans of a text from the logits of its words, shape (words, tags)."""
    if not reading.words:
        return []
    shares = softmax(logits)
    found = []
    for label, first, behind in tag_spans(best_tags(np.log(np.maximum(shares, 1e-30)))):
        start, end = reading.words[first].start, reading.words[behind - 1].end
        sure = shares[first:behind, 1 + 2 * label] + shares[first:behind, 2 + 2 * label]
        found.append(Entity(labels[label], start, end, reading.text[start:end], round(float(sure.min()), 6)))
    return found
