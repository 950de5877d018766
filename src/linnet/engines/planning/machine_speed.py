"""How fast this machine is, measured once in some seconds and kept: memory, matrices, and the engine that is in use.

Kept in the store under the machine's identity; another processor, engine or number of threads is measured anew.
Measuring itself is speed_probe's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from linnet.core.errors import LinnetError
from linnet.core.files import canonical, read_json, sha256_bytes, write_json
from linnet.core.history import machine_id
from linnet.core.records import Record
from linnet.core.settings import threads
from linnet.core.store import Store

VERSION = 2  # of what is measured
ROOM = "machine"
BUSY = 1.25  # waiting processes per core, beyond which a measurement is said to be disturbed


class MachineSpeed(Record):
    """What was measured. Rates are per second.

    `copy_bytes`: read and written by one core. `matrix_flops`: float32 products of this width, all threads.
    `decode_bytes`, `prefill_weights`: by type of weights, bytes read and weights times tokens. `attention_numbers`: by
    kind of attention, keys and values of all heads that a token looks back at. `token_seconds` and `layer_seconds` are
    what a token costs beside that. `load`: processes that waited for each core, before.
    """

    schema_version: Literal[2] = 2
    key: str
    machine: str
    engine: str
    threads: int
    copy_bytes: float
    matrix_flops: dict[str, float]
    decode_bytes: dict[str, float]
    prefill_weights: dict[str, float]
    attention_numbers: dict[str, float]
    token_seconds: float
    layer_seconds: float
    load: float
    seconds: float
    created: str

    @property
    def was_disturbed(self) -> bool:
        return self.load > BUSY


def machine_speed(store: Store, *, again: bool = False) -> MachineSpeed:
    """The kept measurement of this machine, or a new one. Raises EngineError and ResourceMissing of the engine."""
    from linnet.engines.native.choice import choose_engine
    from linnet.engines.planning.hardware import processor

    engine, count = choose_engine().engine, threads()
    stamp = Path(engine).stat().st_mtime_ns if os.sep in engine else _wheel()
    about = [VERSION, machine_id(), *processor(), engine, stamp, count]
    key = sha256_bytes(canonical(about))[:20]
    path = store.path(ROOM, f"{key}.json")
    if not again and (kept := _kept(path)):
        return kept
    with store.locked("machine", "the measurement of this machine"):
        if not again and (kept := _kept(path)):
            return kept
        found = _measure(key, engine, count)
        write_json(path, found.to_json())
    return found


def kept_speed(store: Store) -> MachineSpeed | None:
    """The newest measurement of this machine, whatever the engine; None where there is none. Measures nothing."""
    room = store.path(ROOM)
    found = [kept for path in room.glob("*.json") if (kept := _kept(path))] if room.is_dir() else []
    return max((one for one in found if one.machine == machine_id()), key=lambda one: one.created, default=None)


def _wheel() -> str:
    from linnet.engines.scoring.llama_c import installed

    return str(installed())


def _kept(path: Path) -> MachineSpeed | None:
    try:
        return MachineSpeed.model_validate(read_json(path)) if path.is_file() else None
    except (LinnetError, ValidationError):
        return None


def _measure(key: str, engine: str, count: int) -> MachineSpeed:
    from linnet.engines.planning.speed_probe import measure

    return measure(key, engine, count)
