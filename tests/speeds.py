"""A measurement of a machine that no test has to wait for."""

from __future__ import annotations

from linnet.core.history import machine_id
from linnet.engines.planning.machine_speed import MachineSpeed

SPEED = MachineSpeed(
    key="0" * 20,
    machine=machine_id(),
    engine="xllamacpp",
    threads=2,
    copy_bytes=10e9,
    matrix_flops={"256": 40e9, "1024": 80e9},
    decode_bytes={"F16": 10e9, "Q8_0": 8e9, "Q4_K": 4e9},
    prefill_weights={"F16": 20e9, "Q8_0": 30e9, "Q4_K": 25e9},
    attention_numbers={"flash": 1e9, "plain": 5e9},
    token_seconds=2e-4,
    layer_seconds=1e-5,
    load=0.1,
    seconds=3.0,
    created="2026-01-02T03:04:05Z",
)
