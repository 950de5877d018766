"""What the engine says of itself, asked in a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import EngineError
from linnet.engines.native import engine_status as module
from linnet.engines.native.engine_status import engine_status
from linnet.engines.scoring.llama_c import EXPECTED


def said(**more: Any) -> dict[str, Any]:
    info = "CPU : SSE3 = 1 | AVX2 = 1 | FMA = 1 | AVX512 = 0 | OPENMP = 1 | "
    devices = [{"name": "CPU", "type": "GGML_BACKEND_DEVICE_TYPE_CPU"}]
    base = {"version": "1", "system_info": info, "devices": devices, "scoring": "", "network": "shared"}
    return {**base, "open_files": 256, "core_bytes": 0, **more}


def test_the_installed_engine() -> None:
    found = engine_status()
    assert (found.version, found.expected_version) == (EXPECTED, EXPECTED)
    assert found.scoring_works, found.scoring
    assert found.network in ("isolated", "shared", "isolated, unmapped")
    assert (found.open_files_limit, found.core_files) == (256, False)
    assert "OPENMP" in found.built_for


def test_what_is_unused_and_shared_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"name": "CUDA0", "type": "GGML_BACKEND_DEVICE_TYPE_GPU"}
    answer = said(devices=[*said()["devices"], gpu], scoring="Scoring is off: why.")
    monkeypatch.setattr(module, "_probe", lambda: answer)
    monkeypatch.setattr(
        "linnet.engines.planning.hardware._cpu", lambda: ("x", ["avx2", "avx512_vnni", "avx512f", "fma"])
    )
    found = engine_status()
    assert found.built_for == ["SSE3", "AVX2", "FMA", "OPENMP"]
    assert found.unused == ["avx512_vnni", "avx512f"]
    assert found.gpus_used == ["CUDA0"]
    assert not found.scoring_works
    assert any("network: shared" in line for line in found.isolation)


def test_an_engine_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crashes(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, -11, "", "one\nModuleNotFoundError: No module named 'xllamacpp'\n")

    monkeypatch.setattr(module.subprocess, "run", crashes)
    with pytest.raises(EngineError, match="No module named 'xllamacpp'") as caught:
        engine_status()
    assert "pip install" in caught.value.hint
