"""Which type each tensor gets so that a model of a given size predicts as the unchanged one: measured, then solved.

The divergence of a whole mixture is about the sum over its tensors (second order in the rounding errors), and in each
tensor it grows with the weighted squared error. So: measure tensors or groups of them one at a time in the engine,
fill in what was not measured from the errors, solve a knapsack; then measure again around that choice, where the
tensors' errors meet, and solve once more.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from linnet.core.errors import InputError
from linnet.engines.quantization.knapsack import Solution, solve
from linnet.engines.quantization.mixtures import role_of
from linnet.engines.quantization.sensitivity import Bench, Tensor

WORK = 2e13  # weights times tokens of all measurements: about ten minutes of two cores
MOST = 600  # measurements
ROUNDS = 3  # of measuring around a choice
NEIGHBOURS = 1  # types of either side that are measured around a choice
SPREAD = 3  # types of a tensor that are measured alone

Types = dict[str, str]
Losses = dict[str, dict[str, float]]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """predicted: the divergence that the additive model says; measured: of all tensors replaced together, in nats.

    gap: how far the choice may be from the best under the additive model, as a share of its loss.
    """

    types: Types
    size: int
    predicted: float
    measured: float
    gap: float


def measurements(weights: int, tokens: int) -> int:
    """How many measurements a model of so many weights is worth."""
    return max(4, min(MOST, int(WORK / max(1, 2 * weights * tokens))))


def groups(names: Sequence[str], most: int) -> list[list[str]]:
    """At most `most` groups of tensors that play the same role in neighbouring blocks, each alone if it may be."""
    roles: dict[str, list[str]] = {}
    for name in names:
        role = role_of(name)
        roles.setdefault(name.partition(".")[2].partition(".")[2] if role == "other" else role, []).append(name)
    for length in range(1, len(names) + 1):
        found = [part[at : at + length] for part in roles.values() for at in range(0, len(part), length)]
        if len(found) <= max(most, len(roles)):
            return found
    return list(roles.values())


class Search:
    """The measured losses of a model's tensors, from which choices for any budget are made."""

    def __init__(self, bench: Bench, allowed: int, on_progress: OnProgress | None = None) -> None:
        self.bench, self.allowed, self._tell = bench, allowed, on_progress
        self.tensors: Mapping[str, Tensor] = bench.tensors
        free = {name: one for name, one in self.tensors.items() if len(one.sizes) > 1}
        self.groups = groups(list(free), max(1, allowed // 4))
        self.losses: Losses = self._alone()

    def _measure(self, types: Types) -> float:
        if self._tell:
            self._tell(self.bench.done, self.allowed)
        return self.bench.divergence(types)

    def _alone(self) -> Losses:
        """The divergence of each tensor in each type, the others unchanged: some measured, the rest from the errors."""
        found: Losses = {name: dict.fromkeys(one.sizes, 0.0) for name, one in self.tensors.items()}
        each = max(1, min(SPREAD, self.allowed // 2 // max(1, len(self.groups))))
        for group in self.groups:
            first, *others = [self.tensors[name].sizes for name in group]
            common = [kind for kind in first if all(kind in sizes for sizes in others)]
            measured = {kind: self._measure(dict.fromkeys(group, kind)) for kind in _spread(common, each)}
            for name in group:
                for kind in self.tensors[name].sizes:
                    found[name][kind] = self._share(group, name, kind, measured)
        return found

    def _share(self, group: Sequence[str], name: str, kind: str, measured: Mapping[str, float]) -> float:
        """A tensor's part of what its group was measured to lose in this type, or in the one that rounds most alike."""
        error = self.tensors[name].errors[kind]
        if not measured:
            return error
        near = min(measured, key=lambda other: abs(_log(self.tensors[name].errors[other]) - _log(error)))
        whole = sum(self.tensors[one].errors[near] for one in group)
        return max(0.0, measured[near]) * error / whole if whole else 0.0

    def choose(self, budget: int, enough: float = float("-inf")) -> Choice:
        """The best choice found within a budget of bytes; with `enough`, the smallest that diverges no more.

        Raises InputError where no choice fits.
        """
        best = self._solved(self.losses, budget, enough)
        for _ in range(ROUNDS):
            if self.bench.done >= self.allowed:
                break
            found = self._solved(self._around(best), budget, enough, best)
            if enough > float("-inf"):
                fits = found.measured <= enough
                better = fits and (found.size < best.size or best.measured > enough)
                better = better or (not fits and found.measured < best.measured and best.measured > enough)
            else:
                better = found.measured < best.measured
            if not better:
                break
            best = found
        return best

    def _solved(self, losses: Losses, budget: int, enough: float, around: Choice | None = None) -> Choice:
        names = list(self.tensors)
        items = [[(size, losses[name][kind]) for kind, size in self.tensors[name].sizes.items()] for name in names]
        base = around.measured if around else 0.0
        found: Solution | None = solve(items, budget, enough - base)
        if found is None:
            least = sum(min(one.sizes.values()) for one in self.tensors.values())
            raise InputError(
                f"the matrices of this model take {least:,} bytes in the smallest types that fit; {budget:,} are left.",
                "Ask for a larger size. Small types need an importance matrix, and rows that 256 divides.",
            )
        types = {name: list(self.tensors[name].sizes)[pick] for name, pick in zip(names, found.picks, strict=True)}
        predicted, slack = base + found.loss, found.loss - found.bound
        measured = around.measured if around and types == around.types else self._measure(types)
        return Choice(types, found.size, predicted, measured, slack / predicted if predicted > 0 else 0.0)

    def _around(self, choice: Choice) -> Losses:
        """What changing one tensor of the choice adds to its divergence; unmeasured changes by the first losses,
        scaled as the measured ones turned out."""
        found: Losses = {}
        ratios: list[float] = []
        left = max(0, self.allowed - self.bench.done) // max(1, 2 * len(self.groups))
        for group in self.groups:
            for side in (-1, 1):
                for step in range(1, min(NEIGHBOURS, left) + 1):
                    moved = {name: self._neighbour(name, choice.types[name], side * step) for name in group}
                    if any(kind is None for kind in moved.values()):
                        break
                    self._moved(choice, {n: k for n, k in moved.items() if k}, found, ratios)
        scale = statistics.median(ratios) if ratios else 1.0
        for name, one in self.tensors.items():
            there, losses = choice.types[name], found.setdefault(name, {})
            for kind in one.sizes:
                losses.setdefault(kind, scale * (self.losses[name][kind] - self.losses[name][there]))
            losses[there] = 0.0
        return found

    def _moved(self, choice: Choice, moved: Types, found: Losses, ratios: list[float]) -> None:
        """Measure one group in its neighbours' types, and share the difference among its tensors."""
        difference = self._measure(choice.types | moved) - choice.measured
        before = {name: self.losses[name][choice.types[name]] for name in moved}
        expected = {name: self.losses[name][kind] - before[name] for name, kind in moved.items()}
        total = sum(expected.values())
        for name, kind in moved.items():
            part = expected[name] / total if total else 1 / len(moved)
            found.setdefault(name, {})[kind] = difference * part
        if total:
            ratios.append(difference / total)

    def _neighbour(self, name: str, kind: str, step: int) -> str | None:
        kinds = list(self.tensors[name].sizes)
        place = kinds.index(kind) + step
        return kinds[place] if 0 <= place < len(kinds) else None


def _spread(kinds: Sequence[str], count: int) -> list[str]:
    """`count` of them at even distances, both ends among them; one is from the middle."""
    if count >= len(kinds):
        return list(kinds)
    if count == 1:
        return [kinds[len(kinds) // 2]]
    return [kinds[round(i * (len(kinds) - 1) / (count - 1))] for i in range(count)]


def _log(value: float) -> float:
    from math import log

    return log(max(value, 1e-300))
