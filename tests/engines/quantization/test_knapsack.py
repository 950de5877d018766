"""The knapsack against every choice there is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from linnet.engines.quantization import knapsack
from linnet.engines.quantization.knapsack import solve


def some(seed: int, items: int = 6, largest: int = 60) -> list[list[tuple[int, float]]]:
    noise = np.random.default_rng(seed)
    found = []
    for _ in range(items):
        sizes = noise.integers(1, largest, size=4)
        found.append([(int(size), float(noise.random() * 100 / size)) for size in sizes])
    return found


def best(items: list[list[tuple[int, float]]], budget: int) -> float:
    """By trying all."""
    sums = ((sum(s for s, _ in one), sum(loss for _, loss in one)) for one in product(*items))
    return min((loss for size, loss in sums if size <= budget), default=np.inf)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_it_finds_the_best(seed: int, share: float) -> None:
    items = some(seed)
    budget = int(share * sum(max(s for s, _ in options) for options in items))
    found = solve(items, budget)
    if found is None:
        assert best(items, budget) == np.inf
        return
    assert found.size <= budget
    assert found.size == sum(options[i][0] for options, i in zip(items, found.picks, strict=True))
    assert found.loss == pytest.approx(best(items, budget))
    assert found.gap == 0


@pytest.mark.parametrize("seed", range(8))
def test_with_a_coarse_table_the_gap_holds_what_it_says(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(knapsack, "CELLS", 16)
    items = some(seed, largest=997)
    budget = sum(max(s for s, _ in options) for options in items) // 2
    found = solve(items, budget)
    assert found is not None
    assert found.size <= budget
    assert found.bound - 1e-9 <= best(items, budget) <= found.loss + 1e-9
    assert best(items, budget) >= found.loss * (1 - found.gap) - 1e-9


def test_the_smallest_that_is_enough() -> None:
    items = some(3)
    budget = sum(max(s for s, _ in options) for options in items)
    enough = 1.5 * best(items, budget)
    found = solve(items, budget, enough)
    assert found is not None
    assert found.loss <= enough
    assert best(items, found.size - 1) > enough


def test_what_cannot_fit() -> None:
    assert solve([[(10, 1.0)], [(5, 0.0), (7, 0.0)]], 14) is None
    found = solve([[(10, 1.0)], [(5, 0.0), (7, -1.0)]], 17)
    assert found is not None
    assert (found.picks, found.size, found.loss) == ((0, 1), 17, 0.0)
