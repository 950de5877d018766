"""A forecast from sizes: it grows with them, and counts only the experts that are read."""

from __future__ import annotations

import pytest

from linnet.engines.llama.fit import BUFFERS, fit, memory_copy_speed, rough_memory
from linnet.formats.model_report import HyperParameters

GB = 10**9


def test_speed_is_memory_speed_by_what_is_read() -> None:
    dense = fit(4 * GB, 5 * GB, HyperParameters(), copy_speed=20e9)
    assert dense.tokens_per_second == pytest.approx(0.6 * 20 / 4)
    experts = fit(4 * GB, 5 * GB, HyperParameters(expert_count=8, expert_used_count=2), copy_speed=20e9)
    assert experts.tokens_per_second == pytest.approx(0.6 * 20 / (4 * 0.4), rel=0.1)
    assert fit(0, 0, HyperParameters(), copy_speed=1).tokens_per_second > 0
    assert memory_copy_speed() > 1e8


def test_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        total, available = 8 * GB, 4 * GB

    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    asked = [fit(1, need, HyperParameters(), 1e9) for need in (4 * GB, 4 * GB + 1, 8 * GB, 8 * GB + 1)]
    assert [(f.fits_now, f.is_possible) for f in asked] == [(True, True), (False, True), (False, True), (False, False)]


def test_rough_memory() -> None:
    sizes = HyperParameters(block_count=2, embedding_length=64, head_count=8, head_count_kv=4, context_length=100)
    assert rough_memory(1000, sizes) == 1000 + 2 * 2 * 2 * 100 * 32 + BUFFERS
    assert rough_memory(1000, HyperParameters()) == 1000 + BUFFERS
