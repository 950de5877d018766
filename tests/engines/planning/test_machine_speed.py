"""The measurement of a machine: kept under its identity, made again when asked, and what it says of sizes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from linnet.core.store import Store
from linnet.engines.planning import machine_speed as speeds
from linnet.engines.planning import speed_probe
from linnet.engines.planning.advice import sizes_that_suit
from linnet.engines.planning.hardware import gpu_memory
from tests.speeds import SPEED

NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real measurement on models so small that it takes no time."""
    monkeypatch.setattr(speed_probe, "LARGE", (2, 256, 256))
    monkeypatch.setattr(speed_probe, "TINY", (2, 64, 64))
    monkeypatch.setattr(speed_probe, "TINIEST", (1, 64, 64))
    monkeypatch.setattr(speed_probe, "LOOKING", (1, 64, 64))
    monkeypatch.setattr(speed_probe, "FAR", 256)
    monkeypatch.setattr(speed_probe, "HEADS", 2)
    monkeypatch.setattr(speed_probe, "TYPES", ("Q4_K",))
    monkeypatch.setattr(speed_probe, "WIDTHS", (64,))


@pytest.mark.usefixtures("small")
def test_a_measurement_is_made_once_and_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert speeds.kept_speed(store) is None
    first = speeds.machine_speed(store)
    assert first.decode_bytes["Q4_K"] > 0
    assert first.prefill_weights["Q4_K"] > 0
    assert first.matrix_flops["64"] > 0
    assert first.attention_numbers.keys() == {"flash", "plain"}
    assert min(first.attention_numbers.values()) > 0
    assert speeds.machine_speed(store) == first == speeds.kept_speed(store)


def test_another_machine_or_engine_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, made = Store(tmp_path), iter(range(10))
    monkeypatch.setattr(
        speeds, "_measure", lambda key, *_: SPEED.model_copy(update={"key": key, "seconds": next(made)})
    )
    assert [speeds.machine_speed(store).seconds for _ in range(2)] == [0, 0]
    assert speeds.machine_speed(store, again=True).seconds == 1
    monkeypatch.setenv("LINNET_THREADS", "7")
    assert speeds.machine_speed(store).seconds == 2
    monkeypatch.delenv("LINNET_THREADS")
    assert speeds.machine_speed(store).seconds == 1
    monkeypatch.setattr(speeds, "machine_id", lambda: "another machine")
    assert speeds.kept_speed(store) is None
    assert speeds.machine_speed(store).seconds == 3


def test_a_damaged_record_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr(speeds, "_measure", lambda key, *_: SPEED.model_copy(update={"key": key}))
    speeds.machine_speed(store)
    (path,) = (tmp_path / speeds.ROOM).glob("*.json")
    path.write_text(json.dumps({"schema_version": 1}))
    assert speeds.kept_speed(store) is None
    assert speeds.machine_speed(store).decode_bytes == SPEED.decode_bytes


@pytest.mark.skipif(not NIGHTLY, reason="measures this machine for some seconds: LINNET_NIGHTLY=1")
def test_the_whole_measurement_is_in_order(tmp_path: Path) -> None:
    found = speeds.machine_speed(Store(tmp_path))
    assert set(found.decode_bytes) == set(speed_probe.TYPES)
    assert all(rate > 1e7 for rate in (*found.decode_bytes.values(), *found.prefill_weights.values()))
    assert found.layer_seconds < 0.1


def test_sizes_follow_from_speed_and_memory() -> None:
    room = 8 << 30
    found = {one.kind: one for one in sizes_that_suit(SPEED, 10, room)}
    assert found["F16"].holds < found["Q8_0"].holds < found["Q4_K_M"].holds < room / 0.6
    for kind, bits, rate in (("F16", 16, 10e9), ("Q8_0", 8.5, 8e9)):
        plain = rate / 10 / (bits / 8)  # without what a token costs beside its weights
        assert 0.9 * plain < found[kind].fast_enough < plain
    slower = {one.kind: one for one in sizes_that_suit(SPEED, 20, room)}
    assert slower["Q8_0"].fast_enough < 0.51 * found["Q8_0"].fast_enough
    assert "none is fast enough" in sizes_that_suit(SPEED, 1e5, room)[0].in_words()


def test_gpus_are_read_from_what_the_driver_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Card, of a kind, 24576, 20000'\necho 'Shared, [N/A], [N/A]'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (found,) = gpu_memory()
    assert (found.name, found.total_bytes, found.free_bytes) == ("Card, of a kind", 24576 << 20, 20000 << 20)
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_memory() == []
