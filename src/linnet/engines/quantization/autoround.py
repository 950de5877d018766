"""A GGUF whose matrices AutoRound rounded: the names, settings and every other tensor are those of our own pass.

For 2 to 5 bits, from a Hugging Face folder. AutoRound (the extra `convert` brings it) trains, for each block of the
model, which way each weight is rounded, on text of the user's or of the model's own; it runs in a child.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.core.errors import EngineError, InputError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import check_space, read_json
from linnet.engines.conversion.culprit import write_as_is
from linnet.engines.quantization.gguf_quantize import Quantized, gguf_source
from linnet.engines.quantization.quantize_file import Wish, from_folder, from_gguf
from linnet.formats.model_check import check_model

if TYPE_CHECKING:
    from linnet.text.calibration import Calibration

CHILD = "linnet.engines.quantization.autoround_main"
SCHEMES = ("Q2_K_S", "Q3_K_S", "Q3_K_M", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M")
ITERATIONS, WINDOWS = 200, 64
DEADLINE_S, SECONDS_PER_GB = 3600, 4 * 3600
BYTES_PER_WEIGHT = 8  # float32 in torch, with what a block being tuned takes


def check(kind: str) -> None:
    """Raise InputError for a type that AutoRound does not write."""
    if kind not in SCHEMES:
        raise InputError(f"AutoRound makes no {kind}.", f"It makes: {', '.join(SCHEMES)}.")


def from_folder_tuned(
    folder: Path, target: Path, wish: Wish, calibration: Calibration | None = None, on_event: OnEvent = silent
) -> Quantized:
    """Write `target` as `wish.mixture`, its matrices rounded by AutoRound where it made the same type of them.

    Raises as `from_folder`; InputError for another type than SCHEMES, EngineError when AutoRound fails or made none of
    the types, ResourceMissing when memory is short.
    """
    check(wish.mixture)
    scratch = target.parent
    report = check_model(folder)
    _check_memory(folder, report.parameters or 0)
    check_space(scratch, 5 * (report.parameters or 0), f"{target.name}")
    wide, plain = scratch / "wide.gguf", scratch / "plain.gguf"
    from_folder(folder, wide, Wish("F16", threads=wish.threads), scratch)
    windows = _windows(wide, calibration, wish.threads)
    made = from_gguf(wide, plain, replace(wish, requantize=True))
    wide.unlink()
    on_event(Event("progress", "convert", f"AutoRound on {len(windows)} texts of {len(windows[0])} tokens"))
    tuned = _tuned(folder, wish, windows, scratch, report.file_bytes)
    return _joined(plain, tuned, target, made)


def _check_memory(folder: Path, parameters: int) -> None:
    import psutil

    from linnet.core.errors import ResourceMissing

    need, have = BYTES_PER_WEIGHT * parameters, psutil.virtual_memory().available
    if need > have:
        raise ResourceMissing(
            f"AutoRound on {folder.name} takes about {need / 1e9:.1f} GB; {have / 1e9:.1f} GB are free.",
            "Leave --method out: llama.cpp's own rounding takes a fraction of it.",
        )


def _windows(wide: Path, calibration: Calibration | None, threads: int) -> list[list[int]]:
    """Texts of equal length, in tokens."""
    from linnet.engines.quantization.importance import WINDOW, text_of
    from linnet.engines.scoring.llama_context import Model

    model = Model(wide)
    try:
        length = min(WINDOW, model.trained_context or WINDOW)
        text = text_of(model, wide, calibration, WINDOWS * length, threads)
    finally:
        model.close()
    full = [list(window) for window in text.windows if len(window) == length]
    return full or [list(text.windows[0])]


def _tuned(folder: Path, wish: Wish, windows: list[list[int]], scratch: Path, size: int) -> Path:
    from linnet.engines.conversion.convert import run_child

    summary = scratch / "autoround.json"
    job = {
        "folder": str(folder.absolute()), "scheme": f"gguf:{wish.mixture.lower()}", "windows": windows,
        "iterations": ITERATIONS, "threads": wish.threads, "scratch": str(scratch), "summary": str(summary),
        "parent": os.getpid(),
    }  # fmt: skip
    run_child(CHILD, job, scratch, DEADLINE_S + SECONDS_PER_GB * size / 1e9, "rounded by AutoRound")
    found = read_json(summary)
    if "error" in found:
        raise EngineError(str(found["error"]))
    return Path(found["file"])


def _joined(plain: Path, tuned: Path, target: Path, made: Quantized) -> Quantized:
    """`plain` with the matrices of `tuned` that are of the same name, type and shape."""
    with gguf_source(plain) as ours, gguf_source(tuned) as theirs:
        taken = {
            name: other for name, one in ours.matrices.items()
            if (other := theirs.matrices.get(name)) and len(one.shape) > 1 and name.startswith("blk.")
            and (other.type, other.shape) == (one.type, one.shape)
        }  # fmt: skip
        if not taken:
            types = sorted({one.type for one in theirs.matrices.values()})
            raise EngineError(
                f"AutoRound made none of the tensors as {made.file_type}: it made {', '.join(types)}.",
                "Leave --method out, or choose another type.",
            )
        write_as_is(target, ours.metadata, {**ours.matrices, **taken}, ours.alignment)
    return made.model_copy(update={"file_type": f"{made.file_type}, {len(taken)} matrices rounded by AutoRound"})
