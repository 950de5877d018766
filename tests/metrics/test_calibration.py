"""Calibration on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.metrics.calibration import expected_calibration_error, fit_temperature, fit_threshold, reliability

FOUR = np.array([[0.95, 0.05], [0.85, 0.15], [0.35, 0.65], [0.45, 0.55]], dtype=np.float32)
TRUE = np.array([0, 1, 1, 1])  # right, wrong, right, right


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, (20_000, 5))
    true = (honest + generator.gumbel(size=honest.shape)).argmax(axis=1)  # a draw from softmax(honest)
    found = fit_temperature((honest * temperature).astype(np.float32), true)
    assert found == pytest.approx(temperature, rel=0.05)


def test_temperature_stays_finite_where_there_is_no_optimum() -> None:
    sure = np.eye(3, dtype=np.float32)
    assert 0.04 < fit_temperature(sure, np.array([0, 1, 2])) < 0.06
    assert 19 < fit_temperature(sure * 1e6, np.array([1, 2, 0])) < 21


def test_calibration_error_of_four_by_hand() -> None:
    gaps = [0.95 - 1, 0.85 - 0, 0.65 - 1, 0.55 - 1]
    assert expected_calibration_error(FOUR, TRUE) == pytest.approx(sum(map(abs, gaps)) / 4, abs=1e-6)
    # In one bin the gaps meet: mean confidence 0.75, three of four right.
    assert expected_calibration_error(FOUR, TRUE, bins=1) == pytest.approx(0, abs=1e-6)


def test_bins_hold_every_example_once() -> None:
    rows = reliability(FOUR, TRUE)
    assert [row["count"] for row in rows] == [0, 0, 0, 0, 0, 1, 1, 0, 1, 1]
    assert (rows[8]["low"], rows[8]["high"], rows[8]["accuracy"]) == (0.8, 0.9, 0.0)
    assert rows[9]["confidence"] == pytest.approx(0.95)
    certain = reliability(np.array([[1.0, 0.0]], dtype=np.float32), np.array([0]))
    assert certain[9]["count"] == 1


def test_honest_probabilities_have_no_error() -> None:
    generator = np.random.default_rng(0)
    shares = generator.dirichlet(np.ones(4), 50_000)
    true = (np.log(shares) + generator.gumbel(size=shares.shape)).argmax(axis=1)
    assert expected_calibration_error(shares.astype(np.float32), true) < 0.01


def test_the_threshold_is_the_middle_of_the_plateau() -> None:
    inside = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]] * 20
    outside = [[0.3, 0.28, 0.42]] * 20
    shares = np.array(inside + outside, dtype=np.float32)
    true = np.array([0, 1] * 20 + [2] * 20)
    assert fit_threshold(shares, true, outside=2) == pytest.approx(0.6, abs=0.011)


def test_the_threshold_ignores_the_probability_of_outside_itself() -> None:
    # The outside label is the most probable one, yet in-scope 0.4 is right and in-scope 0.1 is not.
    shares = np.array([[0.4, 0.05, 0.55], [0.05, 0.4, 0.55], [0.1, 0.1, 0.8]] * 10, dtype=np.float32)
    true = np.array([0, 1, 2] * 10)
    assert 0.1 < fit_threshold(shares, true, outside=2) < 0.4


def test_the_widest_plateau_wins() -> None:
    # Perfect between 0.1 and 0.15 or between 0.15 and 0.9 but for one example: the wide one is within 0.002.
    shares = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]] * 400 + [[0.1, 0.05, 0.85]] * 400, dtype=np.float32)
    true = np.array([0, 1] * 400 + [2] * 400)
    shares[0] = [0.15, 0.05, 0.8]
    assert fit_threshold(shares, true, outside=2) > 0.4
