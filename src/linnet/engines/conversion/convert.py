"""Turn a Hugging Face decoder into GGUF with llama.cpp's own conversion code, in a process of its own.

The code is the `conversion` package of the llama.cpp sources as `auto-round` carries it, used by path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from linnet.core.errors import EngineError, require
from linnet.core.files import check_space, fsync_folder
from linnet.engines.base import GGUF
from linnet.formats.model_check import check_model

Precision = Literal["F32", "F16", "BF16", "Q8_0"]
PACKAGE, CARRIER = "auto_round/export/export_to_gguf/conversion/__init__.py", "auto-round"
DEADLINE_SECONDS, SECONDS_PER_GB = 600, 60  # importing transformers alone can take minutes on a busy machine
BYTES_PER_PARAMETER = {"F32": 4.0, "F16": 2.0, "BF16": 2.0, "Q8_0": 1.07}
KEPT_LINES = 12
KEPT_NAMES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


def tools_folder() -> Path:
    """The folder that holds the package `conversion`. Raises ResourceMissing when it is not installed."""
    require("auto_round", "convert")
    require("gguf", "convert")
    return Path(str(metadata.distribution(CARRIER).locate_file(PACKAGE))).parents[1]


def hf_to_gguf(folder: Path, target: Path, precision: Precision = "F16") -> None:
    """Write `target` from a folder with config.json, tokenizer.json and safetensors.

    The folder is checked first, and the new file after. Raises ModelFileError for either, EngineError when the
    architecture or tokenizer is not one that llama.cpp knows, DiskFull, ResourceMissing.
    """
    tools = tools_folder()
    folder, target = folder.absolute(), target.absolute()  # the child works in a folder of its own
    report = check_model(folder)
    check_space(target.parent, int((report.parameters or 0) * BYTES_PER_PARAMETER[precision]), f"{target.name}")
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=target.parent) as scratch:
        partial = Path(scratch) / GGUF
        job = {"tools": str(tools), "folder": str(folder), "target": str(partial), "precision": precision}
        allowed = DEADLINE_SECONDS + SECONDS_PER_GB * report.file_bytes / 1e9
        run_child("linnet.engines.conversion.convert_main", job, Path(scratch), allowed)
        check_model(partial)
        with partial.open("rb+") as handle:
            os.fsync(handle.fileno())
        partial.replace(target)
        fsync_folder(target.parent)


def run_child(
    module: str, job: dict[str, Any], scratch: Path, seconds: float, doing: str = "converted to GGUF"
) -> None:
    """Run one module of ours with `job` on stdin, without the user's environment and within a time.

    Raises EngineError with the last line it said; `job["folder"]` is what could not be `doing`.
    """
    kept = {name: os.environ[name] for name in KEPT_NAMES if name in os.environ}
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HOME": str(scratch), "NO_LOCAL_GGUF": "1",
             "GGML_NO_BACKTRACE": "1"}  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", module],
            input=json.dumps(job), capture_output=True, text=True, env={**kept, **quiet}, cwd=scratch,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{job['folder']} was not {doing} within {seconds:.0f} s; the process was stopped."
        ) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()][-KEPT_LINES:]
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise EngineError(
            f"{job['folder']} could not be {doing}: {reason}.",
            "llama.cpp knows neither more architectures nor more tokenizers than its conversion code names."
            if "GGUF" in doing
            else "",
        )
