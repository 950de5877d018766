"""Four-number checks of normalisers, label probabilities, running moments and windows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linnet.metrics.likelihood import Running, label_probabilities, log_normalizers, perplexity, windows


def test_log_normalizers_survive_large_and_forbidden_logits() -> None:
    rows = np.array([[0, 0], [1000, 1000], [-np.inf, 3]], dtype=np.float32)
    np.testing.assert_allclose(log_normalizers(rows), [math.log(2), 1000 + math.log(2), 3], rtol=1e-6)


def test_label_probabilities() -> None:
    found = label_probabilities(np.log(np.array([[0.1, 0.3], [1e-300, 1e-300]])))
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5]])


@pytest.mark.parametrize("pieces", [[100], [1] * 100, [3, 0, 57, 40]])
def test_running_moments_do_not_depend_on_the_pieces(pieces: list[int]) -> None:
    values, nll = np.random.default_rng(0).normal(5, 2, 100), Running()
    for stop, size in zip(np.cumsum(pieces), pieces, strict=True):
        nll.add(values[stop - size : stop])
    assert nll.count == 100
    assert nll.mean == pytest.approx(values.mean())
    assert nll.standard_error == pytest.approx(values.std(ddof=1) / 10)


def test_perplexity_of_a_fair_coin() -> None:
    nll = Running()
    nll.add(np.full(8, math.log(2)))
    found = perplexity(nll, size_bytes=4, words=2)
    assert (found.perplexity, found.standard_error) == (pytest.approx(2), pytest.approx(0))
    assert (found.bits_per_byte, found.bits_per_word) == (pytest.approx(2), pytest.approx(4))


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize(("count", "window", "stride"), [(2, 8, 4), (9, 8, 8), (10, 8, 1), (57, 8, 3), (57, 2, 1)])
def test_every_token_is_predicted_once(count: int, window: int, stride: int, bos: bool) -> None:
    ids = list(range(100, 100 + count))
    predicted: list[int] = []
    for part, first, targets in windows(ids, window, stride, bos):
        assert len(part) <= window
        assert len(targets) == len(part) - first
        pairs = list(zip(part[first:], targets, strict=True))
        assert all(after == before + 1 for before, after in (pairs[1:] if bos and first == 0 else pairs))
        assert not bos or part[0] == 100
        predicted += targets
    assert predicted == ids[1:]
