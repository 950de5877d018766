"""What was predicted and what it really took: small JSON records in the store, so that an error can be stated.

`history/<kind>.json` holds the newest LIMIT outcomes of one kind, such as "tune-memory" in bytes or "tune-seconds".
Outcomes of another machine are kept and not counted. Knows no formula.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from pathlib import Path

from pydantic import ValidationError

from linnet.core.errors import CorruptFile, InputError, NotFound
from linnet.core.files import read_json, sha256_bytes, write_json
from linnet.core.records import Record
from linnet.core.store import Store

LIMIT = 200


class Outcome(Record):
    """One prediction and its truth, both above 0 and in the unit of their kind. `key` says of what, such as a run."""

    key: str
    predicted: float
    actual: float
    machine: str
    created: str

    @property
    def relative_error(self) -> float:
        """|predicted - actual| / actual."""
        return abs(self.predicted - self.actual) / self.actual


def append(store: Store, kind: str, key: str, predicted: float, actual: float) -> None:
    """Keep one outcome of this machine; one of the same key takes its place. Raises NameInvalid, InputError, StoreBusy.

    A file that is damaged is begun anew: it is a record of errors, not of work.
    """
    if not all(math.isfinite(value) and value > 0 for value in (predicted, actual)):
        raise InputError(f"{kind} of {key}: {predicted} predicted and {actual} taken are not both above 0.")
    made = Outcome(
        key=key,
        predicted=predicted,
        actual=actual,
        machine=machine_id(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    path = _path(store, kind)
    with store.locked(f"history/{kind}", f"the history of {kind}"):
        kept = [one for one in _read(path) if (one.key, one.machine) != (key, made.machine)]
        write_json(path, [one.to_json() for one in [*kept, made][-LIMIT:]])


def outcomes(store: Store, kind: str) -> list[Outcome]:
    """What is known of this kind on this machine, the oldest first; empty where nothing is."""
    here = machine_id()
    return [one for one in _read(_path(store, kind)) if one.machine == here]


def errors(store: Store, kind: str) -> float | None:
    """The median relative error of the predictions of this kind on this machine, None where there were none."""
    found = [one.relative_error for one in outcomes(store, kind)]
    return statistics.median(found) if found else None


def bias(store: Store, kind: str) -> float:
    """The median of actual / predicted on this machine: what a formula is multiplied by. 1 where nothing is known."""
    found = [one.actual / one.predicted for one in outcomes(store, kind)]
    return statistics.median(found) if found else 1.0


def machine_id() -> str:
    """The same text on the same machine with the same number of cores, and no name of it."""
    parts = (platform.node(), platform.machine(), platform.system(), str(os.cpu_count()))
    return sha256_bytes("\n".join(parts).encode())[:16]


def _path(store: Store, kind: str) -> Path:
    return store.path("history", kind).with_name(f"{kind}.json")


def _read(path: Path) -> list[Outcome]:
    try:
        found = read_json(path)
        return [Outcome.model_validate(entry) for entry in found] if isinstance(found, list) else []
    except (NotFound, CorruptFile, ValidationError):
        return []
