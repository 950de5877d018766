"""Metrics against scikit-learn, intervals against theory, divergences by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from linnet.metrics.classification import (
    RESAMPLES,
    confusion_matrix,
    estimate,
    kl_divergence,
    paired_difference,
    per_class,
    point,
)

PAIRS = st.integers(1, 6).flatmap(
    lambda k: st.tuples(
        st.just(k), st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=60)
    )
)


def noisy(n: int, k: int, right: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, k, n)
    return true, np.where(generator.random(n) < right, true, generator.integers(0, k, n))


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(PAIRS)
@settings(max_examples=150, deadline=None)
def test_equal_to_scikit_learn(case: tuple[int, list[tuple[int, int]]]) -> None:
    k, pairs = case
    true, predicted = np.array(pairs).T
    labels = [f"label {i}" for i in range(k)]
    matrix = confusion_matrix(true, predicted, k)
    assert (matrix == reference.confusion_matrix(true, predicted, labels=range(k))).all()
    assert point(true, predicted, k, "accuracy") == pytest.approx(reference.accuracy_score(true, predicted))
    f1 = reference.f1_score(true, predicted, average="macro", zero_division=0)
    assert point(true, predicted, k, "macro_f1") == pytest.approx(f1)
    expected = reference.precision_recall_fscore_support(true, predicted, labels=range(k), zero_division=0)
    found = [[row[name] for row in per_class(matrix, labels).values()] for name in ("precision", "recall", "f1")]
    np.testing.assert_allclose(found, expected[:3])
    assert [row["support"] for row in per_class(matrix, labels).values()] == expected[3].tolist()


def test_by_hand() -> None:
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert confusion_matrix(true, predicted, 3).tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert point(true, predicted, 3, "accuracy") == 0.75
    # F1 of 0 is 2/3, of 1 is 4/5; class 2 does not occur and does not count.
    assert point(true, predicted, 3, "macro_f1") == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_the_interval_of_accuracy_is_the_binomial_one() -> None:
    true, predicted = noisy(1000, 4, 0.8, seed=0)
    found = estimate(true, predicted, 4, "accuracy")
    half = 1.96 * math.sqrt(found.value * (1 - found.value) / 1000)
    assert found.low == pytest.approx(found.value - half, abs=0.004)
    assert found.high == pytest.approx(found.value + half, abs=0.004)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_interval_covers_the_truth_about_95_times_in_100(metric: str) -> None:
    big = noisy(200_000, 3, 0.7, seed=0)
    truth = point(*big, 3, metric)
    found = [estimate(*noisy(200, 3, 0.7, seed=seed), 3, metric) for seed in range(1, 61)]
    # 60 draws at 0.95: fewer than 51 hits has a probability under one in ten thousand.
    assert sum(interval.low <= truth <= interval.high for interval in found) >= 51
    assert all(interval.low <= interval.value <= interval.high for interval in found)


def test_the_interval_depends_on_the_seed_alone() -> None:
    data = noisy(100, 3, 0.7, seed=1)
    assert estimate(*data, 3, "macro_f1", seed=4) == estimate(*data, 3, "macro_f1", seed=4)
    assert estimate(*data, 3, "macro_f1", seed=4) != estimate(*data, 3, "macro_f1", seed=5)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_perfect_and_hopeless(metric: str) -> None:
    true = np.array([0, 1] * 20)
    for predicted, value in ((true, 1.0), (1 - true, 0.0)):
        found = estimate(true, predicted, 2, metric)
        assert (found.value, found.low, found.high) == (value, value, value)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_paired_difference(metric: str) -> None:
    true, good = noisy(300, 4, 0.9, seed=2)
    _, bad = noisy(300, 4, 0.9, seed=3)
    same, p = paired_difference(true, good, good.copy(), 4, metric)
    assert (same.value, same.low, same.high, p) == (0, 0, 0, 1)
    better, p = paired_difference(true, good, bad, 4, metric)
    assert better.value == pytest.approx(point(true, good, 4, metric) - point(true, bad, 4, metric))
    assert better.low > 0
    assert p == 1 / RESAMPLES
    worse, q = paired_difference(true, bad, good, 4, metric)
    assert (worse.value, worse.low, worse.high, q) == pytest.approx((-better.value, -better.high, -better.low, p))


def test_one_difference_in_many_is_not_significant() -> None:
    true, first = noisy(300, 4, 0.9, seed=2)
    second = first.copy()
    wrong = int(np.flatnonzero(first == true)[0])
    second[wrong] = (true[wrong] + 1) % 4
    found, p = paired_difference(true, first, second, 4, "accuracy")
    assert found.low <= 0 < found.value
    assert p > 0.3


def test_kl_by_hand() -> None:
    p = np.array([[0.5, 0.5], [1.0, 0.0]], dtype=np.float32)
    q = np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
    first, second = 0.5 * math.log(2) + 0.5 * math.log(2 / 3), math.log(2)
    assert kl_divergence(p, q) == pytest.approx((first + second) / 2, abs=1e-6)
    assert kl_divergence(p, p) == 0
    assert math.isfinite(kl_divergence(q, p))
    assert kl_divergence(q, p) > kl_divergence(p, q) > 0
