"""Tests of differences against statsmodels, published numbers, and maximum likelihood by search."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from linnet.core.errors import DataError
from linnet.core.records import Interval
from linnet.metrics.significance import holm, mcnemar, non_inferiority, paired_share_interval, share_interval

nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: imports statsmodels, 14 s")


@nightly
@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 7), (5, 5), (0, 12), (30, 18), (400, 350), (1, 0)])
def test_mcnemar_is_statsmodels(b: int, c: int) -> None:
    reference = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    found = mcnemar(b, c)
    assert found.p_exact == pytest.approx(min(1, reference.mcnemar([[9, b], [c, 9]], exact=True).pvalue))
    assert mcnemar(c, b).p_mid == found.p_mid <= found.p_exact


def test_mcnemar_of_the_published_example() -> None:
    # Fagerland et al. 2013, table 2: airway hyper-responsiveness before and after transplantation.
    found = mcnemar(1, 7)
    assert (round(found.p_exact, 3), round(found.p_mid, 3)) == (0.070, 0.039)
    assert mcnemar(5, 5).p_mid == pytest.approx(1 - 252 / 1024 / 2)


def test_mid_p_holds_its_level_by_simulation() -> None:
    small = [mcnemar(b, 20 - b).p_mid <= 0.05 for b in np.random.default_rng(0).binomial(20, 0.5, 4000)]
    assert 0.03 < np.mean(small) < 0.06


def test_large_counts() -> None:
    assert mcnemar(50_500, 49_500).p_exact == pytest.approx(0.00158, rel=0.02)
    with pytest.raises(DataError):
        mcnemar(-1, 3)


@nightly
def test_holm_is_statsmodels() -> None:
    reference = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    for seed in range(20):
        p = np.random.default_rng(seed).random(7) ** 3
        found = holm({f"m{i}": float(value) for i, value in enumerate(p)})
        assert list(found.values()) == pytest.approx(list(reference.multipletests(p, method="holm")[1]))
    assert holm({"b": 0.02, "a": 0.01}) == {"b": 0.02, "a": 0.02}
    assert holm({}) == {}
    with pytest.raises(DataError, match="'x'"):
        holm({"x": 1.5})


@nightly
@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (3, 10), (180, 200)])
def test_the_interval_of_a_share_is_statsmodels(right: int, n: int) -> None:
    reference = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    found = share_interval(right, n)
    assert (found.low, found.high) == pytest.approx(reference.proportion_confint(right, n, method="wilson"), abs=1e-9)


def log_likelihood(q: float, shift: float, counts: tuple[int, int, int]) -> float:
    b, c, n = counts
    cells = (q + shift, b), (q, c), (1 - 2 * q - shift, n - b - c)
    return sum(count * np.log(max(p, 1e-300)) for p, count in cells if count)


@pytest.mark.parametrize(("b", "c", "n"), [(12, 4, 60), (3, 9, 40), (1, 0, 20)])
def test_tangos_limits_by_maximum_likelihood(b: int, c: int, n: int) -> None:
    found = paired_share_interval(b, c, n)
    for shift in (found.low, found.high):
        low, high = max(0.0, -shift), (1 - shift) / 2
        best = minimize_scalar(
            lambda q, shift=shift: -log_likelihood(q, shift, (b, c, n)), bounds=(low, high), method="bounded",
            options={"xatol": 1e-12},
        )  # fmt: skip
        z = (b - c - n * shift) / np.sqrt(n * (2 * best.x + shift * (1 - shift)))
        assert abs(z) == pytest.approx(1.96, abs=0.002)


def test_never_differing_on_a_few_examples_proves_little() -> None:
    few, many = paired_share_interval(0, 0, 20), paired_share_interval(0, 0, 2000)
    assert few.low == pytest.approx(-few.high, abs=1e-6)
    assert few.low < -0.1
    assert many.low > -0.005
    assert non_inferiority(few, 0.01).verdict == "undecided"
    assert non_inferiority(many, 0.01).verdict == "not inferior"


def test_coverage_of_paired_shares() -> None:
    draws = np.random.default_rng(0).multinomial(80, [0.1, 0.05, 0.85], size=1500)
    found = [paired_share_interval(int(b), int(c), 80) for b, c, _ in draws]
    assert 0.93 < np.mean([i.low <= 0.05 <= i.high for i in found]) < 0.975


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (-0.005, 0.02, 0.01, "not inferior"),
        (-0.03, 0.02, 0.01, "undecided"),
        (-0.05, -0.02, 0.01, "inferior"),
        (-0.01, 0.02, 0.01, "undecided"),
        (0.0, 0.0, 0.0, "not inferior"),
        (0.001, 0.1, 0.0, "not inferior"),
    ],
)
def test_non_inferiority(low: float, high: float, margin: float, verdict: str) -> None:
    found = non_inferiority(Interval(value=(low + high) / 2, low=low, high=high), margin)
    assert found.verdict == verdict
    assert f"{100 * margin:.1f} points" in found.reason


def test_a_margin_below_zero() -> None:
    with pytest.raises(DataError, match="at least 0"):
        non_inferiority(Interval(value=0, low=0, high=0), -0.01)
