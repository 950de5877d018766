"""Ranking metrics against scikit-learn, and ties against the mean over all orders."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from linnet.core.errors import DataError
from linnet.metrics.ranking import ndcg, ranking_scores, recall_at_k, reciprocal_rank


def cases(n: int = 40, ties: bool = True) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for seed in range(n):
        generator = np.random.default_rng(seed)
        scores = generator.integers(0, 4, 7).astype(float) if ties else generator.permutation(7).astype(float)
        gains = generator.integers(0, 3, 7)
        gains[generator.integers(7)] = 1
        found.append((scores, gains))
    return found


@pytest.mark.parametrize("k", [None, 1, 3, 10])
@pytest.mark.parametrize("ties", [True, False])
def test_ndcg_is_scikit_learns(k: int | None, ties: bool) -> None:
    for scores, gains in cases(ties=ties):
        assert ndcg(scores, gains, k) == pytest.approx(ndcg_score([gains], [scores], k=k))
        assert ndcg(scores, gains, k, "exponential") == pytest.approx(ndcg_score([2.0**gains - 1], [scores], k=k))


def orders(scores: np.ndarray, gains: np.ndarray) -> list[np.ndarray]:
    """The gains in every order that the scores allow, each as often as it comes about."""
    return [
        gains[list(order)]
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_ties_are_the_mean_over_all_orders(k: int) -> None:
    for scores, gains in cases(6):
        every = orders(scores, gains)
        recall = np.mean([(row[:k] > 0).sum() / (gains > 0).sum() for row in every])
        assert recall_at_k(scores, gains, k) == pytest.approx(recall)
        first = [int(np.flatnonzero(row > 0)[0]) for row in every]
        assert reciprocal_rank(scores, gains) == pytest.approx(np.mean([1 / (place + 1) for place in first]))
        cut = np.mean([1 / (place + 1) if place < k else 0 for place in first])
        assert reciprocal_rank(scores, gains, k) == pytest.approx(cut)


def test_by_hand() -> None:
    scores, gains = [9, 8, 7, 6], [0, 1, 0, 1]
    assert recall_at_k(scores, gains, 2) == 0.5
    assert recall_at_k(scores, gains, 4, relevant=5) == 0.4
    assert reciprocal_rank(scores, gains) == 0.5
    assert reciprocal_rank(scores, [0, 0, 0, 0]) == 0
    wanted = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert ndcg(scores, gains) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("scores", "gains"),
    [([1, 2], [1]), ([np.nan, 1], [1, 0]), ([1, 2], [-1, 1]), ([], []), ([1, 2], [0, 0]), ([[1]], [[1]])],
)
def test_what_is_no_ranking(scores: list[float], gains: list[float]) -> None:
    with pytest.raises(DataError):
        recall_at_k(scores, gains, 1)


def test_more_hits_than_there_are() -> None:
    with pytest.raises(DataError, match="more than the 1"):
        recall_at_k([2, 1], [1, 1], 1, relevant=1)


def test_a_query_without_relevant_documents_is_not_counted() -> None:
    found = ranking_scores("ndcg", ndcg, [[2, 1], [2, 1], [1]], [[1, 0], [0, 0], [1, 2]])
    assert (found.value, found.counted) == (1, 1)
    assert found.problems[1] == "The query has no relevant document: not counted"
    assert "one score and one gain" in found.problems[2]
