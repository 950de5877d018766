"""Which rows are held out: stratified by label, whole groups only, and the same after edits of other rows.

Not a shuffle. Each row has a rank, the sha256 of seed, part and its normalised text (or its group), and the lowest
ranks of each label are held out. So an edit moves the edited row, and at most a row that stood at the border.
Knows nothing of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from linnet.core.files import sha256_bytes
from linnet.core.records import Example
from linnet.text.normalize import normalize


@dataclass(frozen=True, slots=True)
class Unit:
    """Examples that stay together, by position: one alone, or those of a group. `keys` is what its rank is made of."""

    members: tuple[int, ...]
    keys: tuple[str, ...]
    labels: dict[str, int]


@dataclass(frozen=True, slots=True)
class Held:
    """The two sides of a split; `missing` are the labels of which nothing could be held out."""

    out: list[Unit]
    rest: list[Unit]
    missing: list[str]


def rank(salt: str, key: str) -> str:
    """The place of a key in an order that only `salt` and the key itself decide."""
    return sha256_bytes(f"{salt}\n{key}".encode())


def members(units: Iterable[Unit]) -> list[int]:
    """The positions of all examples of some units, in order."""
    return sorted(member for unit in units for member in unit.members)


def make_units(examples: Sequence[Example], together: Iterable[tuple[int, int]] = ()) -> list[Unit]:
    """Units of one group each, of one example where it has no group; pairs of `together` are joined as well."""
    keys = [f"group:{e.group}" if e.group else f"text:{normalize(e.text)}" for e in examples]
    parent = list(range(len(examples)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[str, int] = {}
    same_key = [(first.setdefault(key, index), index) for index, key in enumerate(keys)]
    for left, right in [*same_key, *together]:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    joined: dict[int, list[int]] = {}
    for index in range(len(examples)):
        joined.setdefault(root(index), []).append(index)
    return [
        Unit(
            members=tuple(indexes),
            keys=tuple(sorted({keys[index] for index in indexes})),
            labels=dict(Counter(examples[index].label for index in indexes)),
        )
        for indexes in joined.values()
    ]


def hold_out(units: Sequence[Unit], percent: int, salt: str, keep_units: int) -> Held:
    """Hold out about `percent` of the rows of each label, at least one, leaving `keep_units` units of it.

    Units are offered by rank, and one is taken when it brings the labels nearer to their share. Then each label that
    got nothing takes its smallest unit. A label with too few units stays whole on the other side.
    """
    rows: Counter[str] = Counter()
    units_left: Counter[str] = Counter()
    for unit in units:
        rows.update(unit.labels)
        units_left.update(unit.labels.keys())
    share = {
        label: max(1, (count * percent + 50) // 100) if units_left[label] > keep_units else 0
        for label, count in rows.items()
    }
    ranks = {unit.keys: min(rank(salt, key) for key in unit.keys) for unit in units}
    held: Counter[str] = Counter()
    out: set[tuple[str, ...]] = set()

    def take(unit: Unit) -> None:
        out.add(unit.keys)
        held.update(unit.labels)
        units_left.subtract(unit.labels.keys())

    def spare(unit: Unit) -> bool:
        return unit.keys not in out and all(units_left[label] > keep_units for label in unit.labels)

    for unit in sorted(units, key=lambda unit: ranks[unit.keys]):
        gain = sum(abs(share[lb] - held[lb]) - abs(share[lb] - held[lb] - n) for lb, n in unit.labels.items())
        if gain > 0 and spare(unit):
            take(unit)
    for label in sorted(share):
        if share[label] and not held[label]:
            fitting = [unit for unit in units if label in unit.labels and spare(unit)]
            if fitting:
                take(min(fitting, key=lambda unit: (len(unit.members), ranks[unit.keys])))
    return Held(
        out=[unit for unit in units if unit.keys in out],
        rest=[unit for unit in units if unit.keys not in out],
        missing=sorted(label for label in share if not held[label]),
    )
