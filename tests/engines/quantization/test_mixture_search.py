"""The search for types, on a model whose divergence is known: what it finds is compared with every choice there is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.engines.quantization.mixture_search import Search, groups, measurements

SIZES = {"Q2_K": 2, "Q4_K": 4, "Q8_0": 8}
ERRORS = {"Q2_K": 16.0, "Q4_K": 1.0, "Q8_0": 0.01}


class Known:
    """A bench whose divergence is a sum over tensors, and more where neighbours are coarse together (`meeting`)."""

    def __init__(self, count: int, meeting: float = 0.0) -> None:
        self.names = [f"blk.{i}.ffn_down.weight" for i in range(count)]
        self.tensors: Any = {name: SimpleNamespace(sizes=SIZES, errors=ERRORS) for name in self.names}
        self.meeting, self.done = meeting, 0

    def divergence(self, types: Mapping[str, str]) -> float:
        self.done += 1
        each = [ERRORS[types[name]] * (1 + i) if name in types else 0.0 for i, name in enumerate(self.names)]
        return sum(each) + self.meeting * sum((a * b) ** 0.5 for a, b in pairwise(each))

    def best(self, budget: int) -> float:
        every = (dict(zip(self.names, kinds, strict=True)) for kinds in product(SIZES, repeat=len(self.names)))
        return min(self.divergence(types) for types in every if sum(SIZES[k] for k in types.values()) <= budget)


def search(bench: Any, allowed: int = 200) -> Search:
    return Search(bench, allowed)


@pytest.mark.parametrize("budget", [12, 18, 25, 33])
def test_where_losses_add_up_the_best_choice_is_found(budget: int) -> None:
    found = search(Known(5)).choose(budget)
    assert found.size <= budget
    assert found.measured == pytest.approx(Known(5).best(budget))
    assert found.predicted == pytest.approx(found.measured)
    assert found.gap == 0


def test_where_errors_meet_measuring_around_a_choice_helps() -> None:
    first = search(Known(5, meeting=0.8), 1 * 15)
    again = search(Known(5, meeting=0.8))
    coarse, fine = first.choose(20), again.choose(20)
    assert fine.measured <= coarse.measured
    assert fine.measured <= 1.1 * Known(5, meeting=0.8).best(20)


def test_the_smallest_within_a_loss() -> None:
    found = search(Known(5)).choose(40, enough=20.0)
    assert found.measured <= 20
    assert Known(5).best(found.size - 1) > 20


def test_with_few_measurements_neighbours_are_measured_together() -> None:
    bench = Known(12)
    found = search(bench, 16).choose(48)
    assert bench.done <= 30
    assert found.size <= 48
    assert found.measured < bench.divergence(dict.fromkeys(bench.names, "Q4_K")) * 2


def test_no_room() -> None:
    with pytest.raises(InputError, match="take 10 bytes in the smallest types that fit; 9 are left"):
        search(Known(5)).choose(9)


def test_groups_are_of_one_role_and_of_neighbouring_blocks() -> None:
    names = ["output.weight", *(f"blk.{i}.{part}.weight" for i in range(6) for part in ("attn_q", "ffn_up"))]
    assert groups(names, 100) == [[name] for name in [names[0], *names[1::2], *names[2::2]]]
    merged = groups(names, 5)
    assert ["blk.0.attn_q.weight", "blk.1.attn_q.weight", "blk.2.attn_q.weight"] in merged
    assert len(merged) == 5
    assert sorted(name for group in merged for name in group) == sorted(names)


def test_large_models_get_fewer_measurements() -> None:
    assert measurements(10**6, 512) > measurements(10**9, 512) >= 4
