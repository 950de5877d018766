"""Texts that say the same: exactly, after normalising, or nearly, by the 5-character pieces they share.

Near duplicates: MinHash signatures in banded buckets propose pairs (Broder 1997; Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3), and the true Jaccard similarity of the pieces decides. No randomness:
the permutations have a fixed seed and pieces are hashed with CRC-32. Knows nothing of files and labels' meaning.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linnet.core.errors import require
from linnet.text.normalize import normalize

SIMILARITY = 0.85
SHINGLE = 5
PERMUTATIONS = 64
# 12 bands of 5: a pair of similarity 0.85 meets in at least one band with probability 0.999, one of 0.5 with 0.32.
_BANDS, _ROWS = 12, 5
_MANY = 256  # candidates, from which on they are counted at once


@dataclass(frozen=True, slots=True)
class Match:
    """Text `index` says nearly the same as text `other`."""

    index: int
    other: int
    similarity: float


def exact_duplicates(texts: Sequence[str]) -> list[list[int]]:
    """Groups, of two or more positions each, whose texts are equal after normalising; in order of first position."""
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(normalize(text), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def exact_matches(texts: Sequence[str], others: Sequence[str]) -> list[Match]:
    """For each text that is also among `others`, after normalising, a match with the first such one."""
    first: dict[str, int] = {}
    for index, text in enumerate(others):
        first.setdefault(normalize(text), index)
    found = ((index, first.get(normalize(text))) for index, text in enumerate(texts))
    return [Match(index, other, 1.0) for index, other in found if other is not None]


def shingles(text: str) -> frozenset[str]:
    """The pieces of 5 characters of a normalised text; a shorter text is one piece."""
    folded = normalize(text)
    return frozenset(folded[start : start + SHINGLE] for start in range(max(1, len(folded) - SHINGLE + 1)))


def similarity(left: frozenset[str], right: frozenset[str]) -> float:
    """Jaccard similarity: shared pieces over all pieces."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def near_duplicates(texts: Sequence[str], labels: Sequence[str] | None = None) -> list[Match]:
    """Each text compared with the earlier ones; a match is a similarity of at least 0.85.

    A text that matches an earlier one of the same label gives one match, with the earliest such text. It counts as
    removed: later texts are not compared with it. A text that matches only texts of other labels gives a match with
    each of them, and stays. Without `labels` every text has the same one. Raises ResourceMissing without datasketch.
    """
    index = _Index(texts)
    found: list[Match] = []
    for position in range(len(texts)):
        matches = index.find(index.signatures[position], index.pieces[position])
        same = [m for m in matches if labels is None or labels[m[0]] == labels[position]]
        if same:
            found.append(Match(position, *same[0]))
            continue
        found.extend(Match(position, other, share) for other, share in matches)
        index.add(position)
    return found


def near_matches(texts: Sequence[str], others: Sequence[str]) -> list[Match]:
    """For each text that is nearly one of `others` (similarity of at least 0.85), a match with the nearest.

    Equal texts are matches too. Raises ResourceMissing without datasketch.
    """
    index = _Index(others)
    for position in range(len(others)):
        index.add(position)
    found = []
    pieces = [shingles(text) for text in texts]
    for position, signature in enumerate(_signatures(pieces)):
        if matches := index.find(signature, pieces[position]):
            other, share = max(matches, key=lambda match: match[1])
            found.append(Match(position, other, share))
    return found


class _Index:
    """Signatures of some texts, and buckets of those that were added."""

    def __init__(self, texts: Sequence[str]) -> None:
        require("datasketch", "train")
        import numpy
        from datasketch import MinHashLSH

        self.pieces = [shingles(text) for text in texts]
        self.signatures = _signatures(self.pieces)
        self._buckets = MinHashLSH(num_perm=PERMUTATIONS, params=(_BANDS, _ROWS))
        # Every piece has a number, and the pieces of all texts lie end to end.
        self._numbers: dict[str, int] = {}
        flat = [self._numbers.setdefault(piece, len(self._numbers)) for pieces in self.pieces for piece in pieces]
        self._flat = numpy.array(flat, dtype=numpy.int32)
        self._sizes = numpy.array([len(pieces) for pieces in self.pieces], dtype=numpy.int64)
        self._starts = numpy.cumsum(self._sizes) - self._sizes

    def add(self, position: int) -> None:
        self._buckets.insert(position, self.signatures[position])

    def find(self, signature: Any, pieces: frozenset[str]) -> list[tuple[int, float]]:
        """Added positions with their similarity, where it is at least 0.85; in order of position."""
        near = sorted(self._buckets.query(signature))
        if len(near) > _MANY:
            return self._count_at_once(near, pieces)
        shares = ((position, similarity(pieces, self.pieces[position])) for position in near)
        return [(position, share) for position, share in shares if share >= SIMILARITY]

    def _count_at_once(self, near: list[int], pieces: frozenset[str]) -> list[tuple[int, float]]:
        """The same for texts made from one template, which are all a little alike: set by set would take minutes."""
        import numpy

        here = numpy.zeros(len(self._numbers), dtype=numpy.uint8)
        here[[self._numbers[piece] for piece in pieces if piece in self._numbers]] = 1
        shared = numpy.add.reduceat(here[self._flat], self._starts, dtype=numpy.int64)[near]
        shares = shared / (len(pieces) + self._sizes[near] - shared)
        return [(position, float(share)) for position, share in zip(near, shares, strict=True) if share >= SIMILARITY]


def _signatures(pieces: Sequence[frozenset[str]]) -> list[Any]:
    from datasketch import MinHash

    hashes: dict[str, int] = {}

    def hashed(piece: str) -> int:
        # Most pieces of a data set occur many times: each is hashed once.
        value = hashes.get(piece)
        if value is None:
            value = hashes[piece] = zlib.crc32(piece.encode())
        return value

    return list(MinHash.bulk(pieces, num_perm=PERMUTATIONS, seed=1, hashfunc=hashed))
