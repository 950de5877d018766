"""Divergence against its definition, on numbers small enough to check by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linnet.metrics.divergence import divergence, kl_divergences


def logits(*probabilities: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array([probabilities], dtype=np.float32))


def test_by_hand() -> None:
    assert kl_divergences(logits(0.5, 0.5), logits(0.25, 0.75))[0] == pytest.approx(0.5 * math.log(4 / 3))
    assert kl_divergences(logits(0.5, 0.5), logits(0.5, 0.5))[0] == 0


def test_what_the_base_never_says_adds_nothing() -> None:
    assert kl_divergences(logits(1, 0), logits(0.5, 0.5))[0] == pytest.approx(math.log(2))
    assert kl_divergences(logits(1, 0), logits(1, 0))[0] == 0
    assert kl_divergences(logits(0.5, 0.5), logits(1, 0))[0] == math.inf


def test_rows_do_not_depend_on_the_chunk() -> None:
    noise = np.random.default_rng(0)
    one, other = noise.normal(size=(2, 50, 7)).astype(np.float32) * 5
    each = [kl_divergences(one[i : i + 1], other[i : i + 1])[0] for i in range(50)]
    np.testing.assert_allclose(kl_divergences(one, other), each)


def test_the_record() -> None:
    found = divergence(np.arange(101.0), np.arange(101) < 50)
    assert (found.tokens, found.mean, found.median, found.p99, found.max) == (101, 50, 50, 99, 100)
    assert found.same_top_share == pytest.approx(50 / 101)
