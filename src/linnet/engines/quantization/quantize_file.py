"""A GGUF of another type from a GGUF or a Hugging Face folder: the front of the streaming pass, for stages.

GGUF to GGUF runs in this process. A folder is read by llama.cpp's conversion code, in a child of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.core import errors
from linnet.core.errors import EngineError, LinnetError, ModelFileError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import check_space, read_json
from linnet.engines.quantization.gguf_quantize import Quantized, Recipe, gguf_source, plan, write

CHILD = "linnet.engines.quantization.quantize_main"
DEADLINE_S, SECONDS_PER_GB = 1200, 1200  # the smallest types take 20 times as long as the large ones
_PASSED = ("InputError", "GateFailed", "DiskFull", "ResourceMissing", "StoreError", "NotFound")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for. `mixture` as mixtures.parse gives it; `types` and `target` as in Recipe.

    imatrix_name: the name that the result states, where it is not the file's.
    """

    mixture: str
    pure: bool = False
    imatrix: Path | None = None
    requantize: bool = False
    threads: int = 1
    types: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    imatrix_name: str = ""

    @property
    def shown_imatrix(self) -> str:
        return self.imatrix_name or (self.imatrix.name if self.imatrix else "")


def from_gguf(source: Path, target: Path, wish: Wish, on_event: OnEvent = silent) -> Quantized:
    """Write `target` whole and synced, from a GGUF or the first part of a set.

    Raises InputError, ModelFileError (naming the tensor), DiskFull before a byte is written.
    """
    from linnet.formats.imatrix import read_imatrix

    importance = read_imatrix(wish.imatrix) if wish.imatrix else None
    recipe = Recipe(
        wish.mixture, wish.pure, importance, wish.shown_imatrix, wish.requantize, wish.threads, wish.types, wish.target
    )
    with gguf_source(source) as opened:
        made = plan(opened, recipe)
        check_space(target.parent, made.size_bytes, f"Writing {target.name}")

        def tell(done: int, total: int, tensor: str) -> None:
            on_event(Event("progress", "quantize", tensor, done=done // 10**6, total=-(-total // 10**6)))

        with errors.os_errors(target, "Writing"), target.open("wb") as handle:
            write(made, handle, tell)
            handle.flush()
            os.fsync(handle.fileno())
    return made.summary()


def from_folder(folder: Path, target: Path | None, wish: Wish, scratch: Path) -> tuple[Quantized, str]:
    """Write `target` from a Hugging Face folder in one pass, and say which architecture GGUF calls it.

    Without a target no weight is read: names, shapes, tokenizer and types are gone through, and the engine opens the
    head (`planned.gguf` of `scratch`, as long as the file would be). Raises as `from_gguf`,
    and EngineError for an architecture or tokenizer that llama.cpp does not know.
    """
    from linnet.engines.conversion.convert import run_child, tools_folder
    from linnet.formats.model_check import check_model

    report = check_model(folder)
    summary = scratch / "summary.json"
    job: dict[str, Any] = {
        "tools": str(tools_folder()), "folder": str(folder), "scratch": str(scratch), "summary": str(summary),
        "target": str(target or ""), "mixture": wish.mixture, "pure": wish.pure, "threads": wish.threads,
        "imatrix": str(wish.imatrix.absolute()) if wish.imatrix else "",
        "imatrix_name": wish.shown_imatrix, "types": dict(wish.types), "goal": wish.target, "parent": os.getpid(),
    }  # fmt: skip
    run_child(CHILD, job, scratch, DEADLINE_S + SECONDS_PER_GB * report.file_bytes / 1e9)
    found = read_json(summary)
    if "error" in found:
        raise _raised(**found["error"])
    architecture = str(found.pop("architecture"))
    return Quantized.model_validate(found), architecture


def _raised(kind: str, message: str, hint: str) -> LinnetError:
    """The child's error as this process would have raised it."""
    if kind == "ModelFileError":
        return ModelFileError("tensor", message, hint)
    made: LinnetError = getattr(errors, kind)(message, hint) if kind in _PASSED else EngineError(message, hint)
    return made
