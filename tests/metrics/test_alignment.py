"""Pairing against scipy's assignment, and against all orders."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from linnet.metrics import alignment
from linnet.metrics.alignment import assignment, best_pairs


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 8), (8, 5), (20, 20), (40, 13)])
@pytest.mark.parametrize("kind", ["whole", "real"])
def test_as_good_as_scipy(shape: tuple[int, int], kind: str) -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        worth = generator.integers(0, 4, shape).astype(float) if kind == "whole" else generator.normal(size=shape)
        found = assignment(worth)
        rows, columns = linear_sum_assignment(worth, maximize=True)
        assert len(found) == len(set(found.values())) == min(shape)
        assert sum(worth[pair] for pair in found.items()) == pytest.approx(worth[rows, columns].sum())


def test_everything_is_in_one_pair() -> None:
    pairs = best_pairs([1, 2, 2, 5], [2, 7, 1], lambda a, b: -abs(a - b))
    assert sorted(pairs, key=str) == sorted([(2, 2), (1, 1), (5, 7), (2, None)], key=str)
    assert best_pairs([], [1], lambda a, b: 0) == [(None, 1)]
    assert best_pairs([], [], lambda a, b: 0) == []


def test_long_lists_are_paired_in_order_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "MOST", 2)
    pairs = best_pairs([1, 3, 5, 7], [2, 4, 6], lambda a, b: -abs(a - b))
    assert pairs[-2:] == [(5, 6), (7, None)]
    assert {a for a, _ in pairs} == {1, 3, 5, 7}
