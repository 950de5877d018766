"""What the engine for GGUF models is here: which one, version, instruction sets, GPU, scoring, isolation.

Loads no model of the user's; a native engine that was not tried yet gets its self-test.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from linnet.core.errors import EngineError
from linnet.core.records import Record
from linnet.engines.native.choice import WHEEL, Choice, choose_engine

PROBE_S = 120.0
# The processor's names for what llama.cpp can be built for, and llama.cpp's. amx_bf16 it does not use at all.
USES = {
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx_vnni": "AVX_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "amx_int8": "AMX_INT8",
    "asimd": "NEON",
    "asimddp": "DOTPROD",
    "i8mm": "MATMUL_INT8",
    "sve": "SVE",
}
_KINDS = ("GPU", "IGPU", "ACCEL")


class EngineStatus(Record):
    """The engine that is used. `scoring` and `isolation` say in words what is missing where something is.

    `engine` is "xllamacpp" (the wheel), "native" or "named", `path` a binary's, `why` the reason for this one.
    `expected_version` is the wheel's that this Linnet pins. `unused` are instruction sets that this machine has and the
    engine was not built for. `network` is "isolated" when a worker has no network, "shared" where the system does not
    allow that. `scoring_engine` is "wheel" or "native build".
    """

    engine: str
    path: str
    why: str
    version: str
    expected_version: str
    built_for: list[str]
    machine_has: list[str]
    unused: list[str]
    gpus_found: list[str]
    gpus_used: list[str]
    scoring_works: bool
    scoring: str
    scoring_engine: str
    network: str
    open_files_limit: int
    core_files: bool
    isolation: list[str]


def engine_status() -> EngineStatus:
    """Ask the engine in a process of its own. Raises EngineError when the wheel is missing or does not start, and what
    `choose_engine` raises."""
    from linnet.core.settings import home
    from linnet.engines.planning.hardware import machine
    from linnet.engines.scoring.llama_c import EXPECTED

    said, here, chosen = _probe(), machine(home()), choose_engine(again=True)
    test = chosen.test if chosen.kind != "wheel" else None
    info = test.system_info if test else said["system_info"]
    built_for = [name for name, on in re.findall(r"(\w+) = (\d+)", info) if on != "0"]
    scoring = "" if chosen.library else said["scoring"]
    return EngineStatus(
        engine=WHEEL if chosen.kind == "wheel" else chosen.kind,
        path=chosen.engine if chosen.kind != "wheel" else "",
        why=chosen.why,
        version=_version(chosen) or said["version"],
        expected_version=EXPECTED,
        built_for=built_for,
        machine_has=here.instruction_sets,
        unused=[flag for flag in here.instruction_sets if USES.get(flag) not in built_for] if built_for else [],
        gpus_found=here.gpus,
        gpus_used=_gpus_of(said) if chosen.kind == "wheel" else [],
        scoring_works=not scoring,
        scoring=scoring,
        scoring_engine="native build" if chosen.library else "wheel",
        network=said["network"],
        open_files_limit=said["open_files"],
        core_files=said["core_bytes"] != 0,
        isolation=_isolation(said),
    )


@functools.cache
def wheel_gpus() -> tuple[str, ...]:
    """The GPUs that the wheel can use, asked once in a process of its own. Raises EngineError as `engine_status`."""
    return tuple(_gpus_of(_probe()))


def _gpus_of(said: dict[str, Any]) -> list[str]:
    return [device["name"] for device in said["devices"] if device["type"].rpartition("_")[2] in _KINDS]


def _version(chosen: Choice) -> str:
    """A native build's version: llama.cpp's, and the sources it was made from. Empty for the wheel."""
    if chosen.kind == "wheel":
        return ""
    if chosen.native is None:
        return "of a version that it does not tell"
    record = chosen.native
    return f"llama.cpp {record.llama_version} ({record.source} {record.source_version}, {record.compiler})"


def _probe() -> dict[str, Any]:
    command = [sys.executable, "-I", str(Path(__file__).with_name("engine_probe.py"))]
    hint = "Install it again with: pip install --force-reinstall xllamacpp"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"The engine does not start: {type(error).__name__} after {PROBE_S:.0f} s.", hint) from error
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:400]
        raise EngineError(f"The engine does not start: {why}", hint)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _isolation(said: dict[str, Any]) -> list[str]:
    """What keeps a worker in its place here, in sentences."""
    network = {
        "isolated": "network: isolated, in a namespace of its own without interfaces",
        "shared": "network: shared, as this system allows no namespace; the engine opens no port, but could",
    }
    return [
        network.get(said["network"], f"network: {said['network']}"),
        f"open files: at most {said['open_files']}",
        "core files: none, they would hold prompts" if not said["core_bytes"] else "core files: not limited",
        "memory: the plan of the model and a quarter; no such limit with layers on a GPU",
        "environment: an allow-list; home and folder empty",
    ]
