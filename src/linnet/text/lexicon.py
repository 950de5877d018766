"""The plainest tagger: the words that were tagged in training, found again. What a trained one must beat."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

Spans = Sequence[tuple[str, int, int]]
_WORD = re.compile(r"\w+|[^\w\s]")


class Lexicon:
    """Finds, from left to right, the longest stretch of words that training tagged more often than it left it untagged.

    Letter case does not matter. Made of (text, spans).
    """

    def __init__(self, examples: Sequence[tuple[str, Spans]]) -> None:
        labels: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text, spans in examples:
            for label, start, end in spans:
                labels[_words(text[start:end])][label] += 1
        self._longest = max(map(len, labels), default=0)
        seen: Counter[tuple[str, ...]] = Counter()
        for text, _ in examples:
            words = _words(text)
            for start in range(len(words)):
                for end in range(start + 1, min(len(words), start + self._longest) + 1):
                    seen[words[start:end]] += words[start:end] in labels
        self._label = {
            words: counts.most_common(1)[0][0]
            for words, counts in labels.items()
            if words and 2 * counts.total() > seen[words]
        }

    def spans(self, text: str) -> list[tuple[str, int, int]]:
        places = [match.span() for match in _WORD.finditer(text)]
        words = [text[start:end].casefold() for start, end in places]
        found, at = [], 0
        while at < len(words):
            for end in range(min(len(words), at + self._longest), at, -1):
                if label := self._label.get(tuple(words[at:end])):
                    found.append((label, places[at][0], places[end - 1][1]))
                    at = end - 1
                    break
            at += 1
        return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(match[0].casefold() for match in _WORD.finditer(text))
