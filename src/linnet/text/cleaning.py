"""Repeated rows: conflicts within one file, duplicates to leave out, and rows that two files share.

Decides what goes and says which row it repeats; what is done with that is for the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from linnet.core.errors import DataError
from linnet.core.records import Example
from linnet.text.duplicates import exact_duplicates, exact_matches, near_duplicates, near_matches
from linnet.text.examples import LISTED

LeakKind = Literal["exact", "near", "group"]


@dataclass(frozen=True, slots=True)
class Removed:
    """An example that is left out. `kept_row` is the row it repeats; for a leak that is a row of the test file."""

    example: Example
    reason: str
    kept_row: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two kept examples (positions in `Cleaned.kept`) that say nearly the same under different labels."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Cleaned:
    kept: list[Example]
    removed: list[Removed]
    conflicts: list[Conflict]


@dataclass(frozen=True, slots=True)
class Leak:
    """A training example that the test set holds too."""

    train: Example
    test: Example
    kind: LeakKind


def conflicting(examples: Sequence[Example]) -> list[tuple[Example, Example]]:
    """Pairs of examples with the same text, after normalising, and different labels."""
    return [
        (examples[group[0]], examples[other])
        for group in exact_duplicates([example.text for example in examples])
        for other in group[1:]
        if examples[other].label != examples[group[0]].label
    ]


def refuse_conflicts(examples: Sequence[Example], name: str) -> None:
    """Raise DataError, with up to ten pairs of lines, when equal texts have different labels."""
    pairs = conflicting(examples)
    if not pairs:
        return
    shown = "; ".join(f"lines {a.row} ({a.label[:40]!r}) and {b.row} ({b.label[:40]!r})" for a, b in pairs[:LISTED])
    more = f"; and {len(pairs) - LISTED:,} more pairs" if len(pairs) > LISTED else ""
    count = "1 pair of rows has" if len(pairs) == 1 else f"{len(pairs):,} pairs of rows have"
    raise DataError(
        f"{name}: {count} the same text and different labels: {shown}{more}.",
        "Decide which label is right, and correct or remove the other row.",
    )


def clean(examples: Sequence[Example]) -> Cleaned:
    """Leave out exact and near duplicates of an earlier example with the same label.

    Near duplicates with different labels are kept and returned as conflicts. Equal texts must have equal labels
    (see `refuse_conflicts`). Raises ResourceMissing when datasketch is absent.
    """
    removed = []
    repeated = set()
    for group in exact_duplicates([example.text for example in examples]):
        for other in group[1:]:
            removed.append(Removed(examples[other], "exact duplicate", examples[group[0]].row))
            repeated.add(other)
    unique = [example for index, example in enumerate(examples) if index not in repeated]
    matches = near_duplicates([e.text for e in unique], [e.label for e in unique])
    near = {m.index: m.other for m in matches if unique[m.index].label == unique[m.other].label}
    removed += [Removed(unique[index], "near duplicate", unique[other].row) for index, other in near.items()]
    places: dict[int, int] = {}
    for index in range(len(unique)):
        if index not in near:
            places[index] = len(places)
    conflicts = [Conflict(places[m.other], places[m.index], m.similarity) for m in matches if m.index not in near]
    return Cleaned([unique[index] for index in places], sorted(removed, key=lambda r: r.example.row), conflicts)


def find_leaks(train: Sequence[Example], test: Sequence[Example]) -> list[Leak]:
    """The training examples whose text, nearly whose text, or whose group is in the test set; in order, each once.

    Raises ResourceMissing when datasketch is absent.
    """
    texts, test_texts = [example.text for example in train], [example.text for example in test]
    found: dict[int, Leak] = {}
    for match in exact_matches(texts, test_texts):
        found[match.index] = Leak(train[match.index], test[match.other], "exact")
    rest = [index for index in range(len(train)) if index not in found]
    for match in near_matches([texts[index] for index in rest], test_texts):
        index = rest[match.index]
        found[index] = Leak(train[index], test[match.other], "near")
    groups: dict[str, Example] = {}
    for example in test:
        if example.group:
            groups.setdefault(example.group, example)
    for index, example in enumerate(train):
        if index not in found and example.group in groups:
            found[index] = Leak(example, groups[example.group], "group")
    return [found[index] for index in sorted(found)]


def leak_counts(leaks: Sequence[Leak]) -> dict[str, int]:
    """How many training rows leak by each kind: exact, near, group."""
    counts = Counter(leak.kind for leak in leaks)
    return {kind: counts[kind] for kind in ("exact", "near", "group")}


def refuse_leaks(leaks: Sequence[Leak], train_name: str, test_name: str) -> None:
    """Raise DataError, with up to ten pairs of lines, when there is any leak."""
    if not leaks:
        return
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in leak_counts(leaks).items() if count)
    shown = "; ".join(f"{leak.train.row} and {leak.test.row} ({leak.kind})" for leak in leaks[:LISTED])
    more = f"; and {len(leaks) - LISTED:,} more" if len(leaks) > LISTED else ""
    rows = "1 row is" if len(leaks) == 1 else f"{len(leaks):,} rows are"
    raise DataError(
        f"{train_name}: {rows} also in {test_name} ({kinds}), so the test would not be a test."
        f" Lines of {train_name} and {test_name}: {shown}{more}.",
        'Remove them from one of the files, or write leakage = "drop" under [data]: then the rows of the training'
        " file that leak are left out and listed in the report.",
    )
