"""The least difference that is seen: against statsmodels' power, and by simulating the test."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

from linnet.core.errors import DataError
from linnet.metrics.power import detectable_mean, detectable_paired, detectable_unpaired


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="nightly: imports statsmodels, 14 s")
@pytest.mark.parametrize(("n", "share"), [(200, 0.7), (1000, 0.9), (50, 0.5), (400, 0.2)])
def test_unpaired_power_is_statsmodels(n: int, share: float) -> None:
    reference = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    found = detectable_unpaired(n, share).difference
    assert found is not None
    # In the direction of one half, as documented.
    other = share + found * (1 if share <= 0.5 else -1)
    power = reference.power_proportions_2indep(other - share, share, n, return_results=False)
    assert power == pytest.approx(0.8, abs=0.03)


def test_paired_power_by_simulation() -> None:
    n, disagreement = 300, 0.2
    found = detectable_paired(n, disagreement).difference
    assert found is not None
    shares = [(disagreement + found) / 2, (disagreement - found) / 2, 1 - disagreement]
    draws = np.random.default_rng(0).multinomial(n, shares, size=4000)
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(np.maximum(draws[:, 0] + draws[:, 1], 1))
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_paired_sees_less_than_unpaired() -> None:
    paired, unpaired = detectable_paired(200, 0.1), detectable_unpaired(200, 0.8)
    assert paired.difference is not None
    assert unpaired.difference is not None
    assert paired.difference < unpaired.difference
    assert "200 examples" in paired.sentence
    assert f"{100 * paired.difference:.1f} points" in paired.sentence


def test_more_examples_see_less() -> None:
    found = [detectable_paired(n, 0.1).difference for n in (100, 400, 1600)]
    assert found[0] > 1.8 * found[1] > 3.2 * found[2]  # type: ignore[operator]
    assert detectable_mean(100, 0.5).difference == pytest.approx((1.959964 + 0.841621) * 0.05, abs=1e-6)


def test_too_few_to_see_anything() -> None:
    found = detectable_paired(10, 0.1)
    assert found.difference is None
    assert "use more examples" in found.sentence
    assert detectable_unpaired(2, 0.5).difference is None
    assert detectable_paired(100, 0.0).difference is None


@pytest.mark.parametrize("call", [(0, 0.5), (10, 1.5), (10, math.nan)])
def test_bad_input(call: tuple[int, float]) -> None:
    for function in (detectable_paired, detectable_unpaired):
        with pytest.raises(DataError):
            function(*call)
    with pytest.raises(DataError):
        detectable_mean(10, -1.0)
