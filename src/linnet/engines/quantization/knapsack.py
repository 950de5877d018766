"""One option for each item so that the sum of losses is least and the sum of sizes within a budget. Numbers only.

The multiple-choice knapsack problem, by dynamic programming over sizes (Kellerer, Pferschy and Pisinger 2004, ch. 11);
the bound is that of the Lagrangian relaxation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 16  # of the table; where sizes need more, they are rounded up to fewer
STEPS = 100  # of the search for the multiplier

# Of one item: (size, loss) of each option.
Options = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Solution:
    """The number of the option of each item. No choice within the budget has a loss below `bound`."""

    picks: tuple[int, ...]
    size: int
    loss: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the loss may be from the least possible, as a share of it; 0 is proven best."""
        return max(0.0, self.loss - self.bound) / abs(self.loss) if self.loss else 0.0


def solve(items: Sequence[Options], budget: int, enough: float = -math.inf) -> Solution | None:
    """The choice with the least loss within `budget`; the smallest one where a loss of `enough` is reached.

    None where even the smallest options do not fit.
    """
    least = [min(size for size, _ in options) for options in items]
    room = budget - sum(least)
    if room < 0:
        return None
    most = sum(max(size for size, _ in options) for options in items) - sum(least)
    room = min(room, most)
    steps = [size - low for options, low in zip(items, least, strict=True) for size, _ in options]
    unit = math.gcd(*steps) or 1
    exact = room // unit < CELLS
    unit = unit if exact else -(-room // (CELLS - 1))
    table, chosen = _table(items, least, unit, room // unit + 1)
    cells = np.flatnonzero(table <= enough)
    cell = int(cells[0]) if len(cells) else len(table) - 1
    picks = _picks(items, least, unit, chosen, cell)
    if not exact:
        _fill(items, picks, sum(least) + (cell + 1) * unit - 1 if len(cells) else budget)
    size = sum(options[i][0] for options, i in zip(items, picks, strict=True))
    loss = sum(options[i][1] for options, i in zip(items, picks, strict=True))
    bound = loss if exact else _bound(items, size if len(cells) else budget)
    return Solution(tuple(picks), size, loss, min(bound, loss))


def _cost(size: int, least: int, unit: int) -> int:
    return -(-(size - least) // unit)


def _table(
    items: Sequence[Options], least: Sequence[int], unit: int, cells: int
) -> tuple[NDArray[np.float64], list[NDArray[np.uint8]]]:
    """The least loss for each room, and for each item which option has it."""
    best = np.zeros(cells)
    chosen = []
    for options, low in zip(items, least, strict=True):
        new, which = np.full(cells, np.inf), np.zeros(cells, dtype=np.uint8)
        for number, (size, loss) in enumerate(options):
            cost = _cost(size, low, unit)
            if cost >= cells:
                continue
            found = best[: cells - cost] + loss
            better = found < new[cost:]
            new[cost:][better], which[cost:][better] = found[better], number
        best = new
        chosen.append(which)
    return best, chosen


def _picks(
    items: Sequence[Options], least: Sequence[int], unit: int, chosen: Sequence[NDArray[np.uint8]], cell: int
) -> list[int]:
    found = []
    for options, low, which in zip(reversed(items), reversed(least), reversed(chosen), strict=True):
        number = int(which[cell])
        found.append(number)
        cell -= _cost(options[number][0], low, unit)
    return found[::-1]


def _fill(items: Sequence[Options], picks: list[int], budget: int) -> None:
    """Spend what rounding left over, the largest gain first."""
    left = budget - sum(options[i][0] for options, i in zip(items, picks, strict=True))
    while True:
        gains = [
            (options[picks[item]][1] - loss, item, number, size - options[picks[item]][0])
            for item, options in enumerate(items)
            for number, (size, loss) in enumerate(options)
            if loss < options[picks[item]][1] and size - options[picks[item]][0] <= left
        ]
        if not gains:
            return
        _, item, number, more = max(gains)
        picks[item], left = number, left - more


def _bound(items: Sequence[Options], budget: int) -> float:
    """The largest Lagrangian bound: sum of min(loss + m * size) - m * budget, over multipliers m >= 0."""
    tables = [np.array(options, dtype=np.float64) for options in items]

    def value(multiplier: float) -> float:
        return float(sum((t[:, 1] + multiplier * t[:, 0]).min() for t in tables) - multiplier * budget)

    spread = max(float(np.ptp(t[:, 1])) for t in tables)
    low, high = 0.0, max(spread, 1e-300)  # a byte is worth no more than the largest loss
    for _ in range(STEPS):  # the function is concave
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (left, high) if value(left) < value(right) else (low, right)
    return max(value(low), value(high), value(0.0))
