"""What a model costs on this machine, measured in a process that does nothing else.

`python -m linnet.engines.measure FOLDER TEXTS.json` prints one JSON object. Knows no labels and no metrics.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from linnet.core.errors import EngineError
from linnet.core.files import write_json
from linnet.core.records import Footprint

LATENCY_TEXTS = 60
BATCH_TEXTS = 192
REPEATS = 3
TIMEOUT_S = 600


def measure(folder: Path, texts: list[str], scratch: Path) -> Footprint:
    """Size, latency of one request, throughput in batch, peak memory and energy of the model in `folder`.

    Raises EngineError when the measuring process fails.
    """
    listed = scratch / ".texts.json"
    write_json(listed, texts[:BATCH_TEXTS])
    # Paths of the parent, so that the child finds the same Linnet; nothing else is inherited in particular.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "linnet.engines.measure", str(folder), str(listed)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"Measuring {folder} took more than {TIMEOUT_S} s.") from error
    finally:
        listed.unlink(missing_ok=True)
    if done.returncode != 0:
        raise EngineError(f"Measuring {folder} failed with exit code {done.returncode}: {done.stderr[-500:]}")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Footprint(size_bytes=size, **json.loads(done.stdout))


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def peak_memory_bytes() -> int:
    """The most memory this process has held. Not getrusage: that counts the parent's memory before exec too."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.Process().memory_info().rss)


def forget_peak_memory() -> bool:
    """Count `peak_memory_bytes` from now on; False where this system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _measure_here(folder: Path, texts: list[str]) -> dict[str, Any]:
    from linnet.engines.classifiers import open_reader
    from linnet.engines.planning.hardware import read_energy_uj

    read, beside_bytes = open_reader(folder)
    singles = texts[:LATENCY_TEXTS]
    for text in singles[:5]:
        read([text])
    waits = []
    for text in singles:
        started = time.perf_counter()
        read([text])
        waits.append(1000 * (time.perf_counter() - started))
    rates = []
    energy_before, texts_done = read_energy_uj(), 0
    for _ in range(REPEATS):
        started = time.perf_counter()
        read(texts)
        rates.append(len(texts) / (time.perf_counter() - started))
        texts_done += len(texts)
    energy_after = read_energy_uj()
    joules = None
    if energy_before is not None and energy_after is not None and energy_after >= energy_before:
        joules = (energy_after - energy_before) / 1e6 / texts_done * 1000
    waits.sort()
    return {
        "latency_ms_p50": round(_median(waits), 3),
        "latency_ms_p95": round(waits[int(0.95 * (len(waits) - 1))], 3),
        "documents_per_second": round(_median(rates), 1),
        "peak_memory_bytes": peak_memory_bytes() + beside_bytes(),
        "energy_joules_per_1000": joules,
        "energy_note": "package energy by RAPL" if joules is not None else "this machine reports no energy counter",
    }


if __name__ == "__main__":
    print(json.dumps(_measure_here(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))))
