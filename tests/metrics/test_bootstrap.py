"""Intervals against scipy's, and by simulation: 95 % of them hold the truth, within the error of the simulation."""

from __future__ import annotations

import math
import os
from functools import partial

import numpy as np
import pytest
from scipy import stats

from linnet.core.errors import DataError
from linnet.metrics.bootstrap import (
    Drawing,
    bca_limits,
    bootstrap,
    draws,
    jackknife,
    mean_of,
    of_examples,
    paired_bootstrap,
    percentile_limits,
    ratio_of,
)
from linnet.metrics.classification import estimate

SKEWED = np.random.default_rng(0).lognormal(size=40)


@pytest.mark.parametrize(("method", "name"), [("percentile", "percentile"), ("bca", "BCa")])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_limits_are_scipys_on_its_own_resamples(method: str, name: str, level: float) -> None:
    found = stats.bootstrap(
        (SKEWED,), np.mean, method=name, confidence_level=level, n_resamples=999, rng=np.random.default_rng(1)
    )
    drawn = found.bootstrap_distribution
    left_out = jackknife(mean_of(SKEWED), 40)
    ours = (
        percentile_limits(drawn, level) if method == "percentile" else bca_limits(SKEWED.mean(), drawn, left_out, level)
    )
    assert ours == pytest.approx(tuple(found.confidence_interval), rel=1e-6)


def test_the_interval_of_accuracy_is_the_one_of_classification() -> None:
    generator = np.random.default_rng(0)
    true, predicted = generator.integers(0, 2, 100), generator.integers(0, 2, 100)
    old = estimate(true, predicted, 2, "accuracy", seed=3)
    new = bootstrap(mean_of(true == predicted), 100, Drawing(seed=3))
    assert (new.value, new.low, new.high) == pytest.approx((old.value, old.low, old.high))


def test_any_function_gives_the_same_as_sums() -> None:
    one = draws(mean_of(SKEWED), 40, Drawing(resamples=200))
    other = draws(of_examples(lambda rows: float(SKEWED[rows].mean())), 40, Drawing(resamples=200))
    np.testing.assert_allclose(one, other)
    assert bootstrap(ratio_of(SKEWED, np.full(40, 2)), 40).value == pytest.approx(SKEWED.mean() / 2)


def test_the_seed_decides_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bootstrap(mean_of(SKEWED), 40, Drawing(seed=1))
    monkeypatch.setattr("linnet.metrics.bootstrap.BLOCK", 400)
    again = bootstrap(mean_of(SKEWED), 40, Drawing(seed=1))
    assert (again.low, again.high) == pytest.approx((first.low, first.high))
    assert bootstrap(mean_of(SKEWED), 40, Drawing(seed=2)).low != first.low


def covered(make, drawing: Drawing, truth: float, rounds: int = 300) -> float:  # type: ignore[no-untyped-def]
    hits = 0
    for seed in range(rounds):
        values, groups = make(np.random.default_rng(seed))
        named = None if groups is None or drawing.groups is None else groups
        found = bootstrap(
            mean_of(values), len(values), Drawing(seed=seed, resamples=600, method=drawing.method, groups=named)
        )
        hits += found.low <= truth <= found.high
    return hits / rounds


def plain(generator: np.random.Generator) -> tuple[np.ndarray, None]:
    return generator.normal(size=100), None


def clustered(generator: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    return (generator.normal(size=60)[:, None] + 0.3 * generator.normal(size=(60, 6))).ravel(), [
        *np.repeat(range(60), 6)
    ]


# Three standard errors of a share of 300; in the tests 0.01 more, which is what resampling 60 to 100 units loses.
WITHIN = 3 * math.sqrt(0.95 * 0.05 / 300)


nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="a simulation of a minute: nightly")


@pytest.mark.parametrize("method", ["percentile", pytest.param("bca", marks=nightly)])
def test_coverage(method: str) -> None:
    assert abs(covered(plain, Drawing(method=method), 0.0) - 0.95) < WITHIN + 0.01


@nightly
def test_coverage_of_groups_drawn_whole() -> None:
    assert abs(covered(clustered, Drawing(groups=()), 0.0) - 0.95) < WITHIN + 0.01
    assert covered(clustered, Drawing(), 0.0) < 0.8  # as if examples of a group were independent


@nightly
def test_bca_covers_a_skewed_mean_better() -> None:
    def skewed(generator: np.random.Generator) -> tuple[np.ndarray, None]:
        return generator.lognormal(sigma=1.2, size=40), None

    measure = partial(covered, skewed, truth=math.exp(0.72))
    assert measure(Drawing(method="bca")) > measure(Drawing())


def test_groups_of_one_are_examples() -> None:
    grouped = bootstrap(mean_of(SKEWED), 40, Drawing(groups=list("abcdefghij") * 4))
    alone = bootstrap(mean_of(SKEWED), 40, Drawing(groups=range(40)))
    assert (grouped.units, alone.units) == (10, 40)
    assert alone.low == bootstrap(mean_of(SKEWED), 40).low


def test_paired_differences() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random(200) < 0.8, generator.random(200) < 0.6
    found = paired_bootstrap(mean_of(first), mean_of(second), 200)
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert 0 < found.low < found.high
    assert found.p_value < 0.01
    other = paired_bootstrap(mean_of(second), mean_of(first), 200)
    assert (other.value, other.low, other.p_value) == pytest.approx((-found.value, -found.high, found.p_value))
    same = paired_bootstrap(mean_of(first), mean_of(first), 200)
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_the_p_value_is_seldom_small_without_a_difference() -> None:
    small = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        pair = generator.normal(size=(2, 80))
        small += paired_bootstrap(*map(mean_of, pair), 80, Drawing(seed=seed, resamples=400)).p_value <= 0.05
    assert small / 200 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200) + 0.01


def test_no_spread_is_a_point_and_bca_says_that_it_fell_back() -> None:
    found = bootstrap(mean_of(np.ones(5)), 5, Drawing(method="bca"))
    assert (found.value, found.low, found.high, found.method) == (1, 1, 1, "percentile")


def test_bad_input() -> None:
    with pytest.raises(DataError, match="finite value"):
        mean_of([1.0, math.nan])
    with pytest.raises(DataError, match="at least one"):
        bootstrap(mean_of([]), 0)
    with pytest.raises(DataError, match="group labels"):
        bootstrap(mean_of([1.0, 2.0]), 2, Drawing(groups=["a"]))
