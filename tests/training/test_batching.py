"""Batches: everything once, the same every time, and hardly any padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.training.batching import RANDOM, epoch_batches, padding_share


@given(st.lists(st.integers(1, 200), max_size=300), st.integers(1, 40), st.integers(0, 2**31 - 1), st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_every_index_once(lengths: list[int], batch_size: int, seed: int, epoch: int) -> None:
    batches = epoch_batches(lengths, batch_size, seed, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == -(-len(lengths) // batch_size)
    assert batches == epoch_batches(lengths, batch_size, seed, epoch)


def test_seed_and_epoch_decide_the_order() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 500).tolist()
    one = epoch_batches(lengths, 16, seed=1, epoch=0)
    assert one != epoch_batches(lengths, 16, seed=1, epoch=1)
    assert one != epoch_batches(lengths, 16, seed=2, epoch=0)


def test_the_state_of_others_is_not_touched() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    epoch_batches([1, 2, 3], 2, 0, 0)
    assert np.random.get_state()[1].tolist() == before


def test_padding_is_small_and_batches_do_not_come_by_length() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 3000).tolist()
    batches = epoch_batches(lengths, 32, seed=0, epoch=0)
    plain = [list(range(start, min(start + 32, 3000))) for start in range(0, 3000, 32)]
    assert padding_share(lengths, batches) < 0.05
    assert padding_share(lengths, plain) > 0.4
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest != sorted(longest)


def test_decoders_learn_from_rows_of_all_lengths_together() -> None:
    lengths = np.arange(1, 321).tolist()
    by_length, at_random = (epoch_batches(lengths, 16, 0, 0, pool) for pool in (50, RANDOM))
    assert max(max(batch) - min(batch) for batch in by_length) == 15
    assert min(max(batch) - min(batch) for batch in at_random) > 100


def test_padding_share_by_hand() -> None:
    assert padding_share([2, 4, 3], [[0, 1], [2]]) == pytest.approx(2 / 11)
    assert padding_share([5, 5], [[0, 1]]) == 0
    assert padding_share([], []) == 0
