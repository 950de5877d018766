"""Pairs the elements of two lists so that the most is in common. Knows no record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Beyond this many different elements pairing takes seconds: the rest are paired in their order.
MOST = 100


def best_pairs(
    first: Sequence[Any], second: Sequence[Any], common: Callable[[Any, Any], float]
) -> list[tuple[Any | None, Any | None]]:
    """One-to-one pairs with the greatest sum of `common`; an element without a partner has None.

    Equal elements are paired first, which loses nothing. Of each list at most MOST different ones are then paired
    at best, the others in their order.
    """
    left, right, pairs = list(first), [], []
    for other in second:
        if other in left:
            left.remove(other)
            pairs.append((other, other))
        else:
            right.append(other)
    head, tail = left[:MOST], left[MOST:]
    other_head, other_tail = right[:MOST], right[MOST:]
    worth = np.array([[common(a, b) for b in other_head] for a in head], dtype=np.float64)
    taken = assignment(worth) if worth.size else {}
    pairs += [(head[row], other_head[column]) for row, column in taken.items()]
    pairs += [(a, None) for row, a in enumerate(head) if row not in taken]
    pairs += [(None, b) for column, b in enumerate(other_head) if column not in taken.values()]
    for place in range(max(len(tail), len(other_tail))):
        pairs.append((_at(tail, place), _at(other_tail, place)))
    return pairs


def _at(values: list[Any], place: int) -> Any | None:
    return values[place] if place < len(values) else None


def assignment(worth: NDArray[np.float64]) -> dict[int, int]:
    """Row to column, each used once, with the greatest sum of worth (Kuhn 1955, by shortest augmenting paths).

    Every row of the shorter side is assigned.
    """
    if worth.shape[0] > worth.shape[1]:
        return {row: column for column, row in assignment(worth.T).items()}
    cost = worth.max() - worth
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for start in range(rows):
        distance, came_from = np.full(columns, np.inf), np.full(columns, -1)
        done = np.zeros(columns, dtype=bool)
        row, column, reached = start, -1, 0.0
        while True:  # Dijkstra over reduced costs, from `start` to a column that nobody owns
            step = reached + cost[row] - row_price[row] - column_price
            shorter = ~done & (step < distance)
            distance[shorter], came_from[shorter] = step[shorter], column
            column = int(np.where(done, np.inf, distance).argmin())
            reached = float(distance[column])
            done[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        settled = done & (distance < reached)
        row_price[start] += reached
        row_price[owner[settled]] += reached - distance[settled]
        column_price[settled] -= reached - distance[settled]
        while column >= 0:
            before = int(came_from[column])
            owner[column] = start if before < 0 else owner[before]
            column = before
    return {int(row): column for column, row in enumerate(owner) if row >= 0}
