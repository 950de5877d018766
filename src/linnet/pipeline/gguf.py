"""A model as the engine runs it: its GGUF, made from its folder where there is none. Kept as a step of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.core.errors import InputError
from linnet.core.events import OnEvent, silent
from linnet.core.files import canonical, sha256_bytes, sha256_file
from linnet.core.names import is_name
from linnet.core.records import FileEntry, Model
from linnet.core.store import Step, Store, verify_files
from linnet.engines.base import GGUF
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.engines.requests.asking import Source
from linnet.formats.builtin import RUNNABLE
from linnet.formats.hf_folder import read_folder
from linnet.formats.resolve import resolve_model
from linnet.stages.convert import Options, convert

_TYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


def own_precision(folder: Path) -> str:
    """The GGUF type that keeps a folder's weights as they are."""
    config = read_folder(folder).config
    return _TYPES.get(str(config.get("dtype") or config.get("torch_dtype")), "F16")


def converted(store: Store, path: Path, hashes: dict[str, FileEntry], kind: str, on_event: OnEvent = silent) -> Step:
    """A model's folder or GGUF as `kind`. The step holds model.gguf; its result what was measured against the source.

    Raises what `convert` raises, GateFailed among it.
    """
    inputs = {"source": {name: entry.sha256 for name, entry in hashes.items()}, "kind": kind}

    def work(folder: Path) -> dict[str, Any]:
        (folder / GGUF).unlink(missing_ok=True)  # of a run that was killed
        made = convert(store, str(path), kind, Options(out=str(folder / GGUF)), on_event)
        return {"kind": kind, "gate": made.gate.to_json(), "quantized": made.quantized.to_json()}

    return store.step("convert", inputs, work, on_event, label=f"{path.name} to {kind}")


def as_source(store: Store, name: str, on_event: OnEvent = silent) -> tuple[Source, Model]:
    """Who answers for a model's name: `builtin:nano`, a name of the store, a GGUF file, a decoder's folder.

    Raises InputError for an encoder, NotFound, and for a folder what converting raises.
    """
    bare = name.partition(":")[0]
    if is_name(bare) and store.versions(bare):
        return _packed(store, name)
    model = resolve_model(store, RUNNABLE.get(name, name))
    if model.kind == "encoder":
        raise InputError(
            f"{name} is an encoder: it gives no text.", "Build a classifier of it: linnet build. Or take a decoder."
        )
    path = Path(model.path)
    if model.format == "gguf":
        listed = {file: entry.sha256 for file, entry in model.files.items()}
        sha256 = sha256_bytes(canonical(listed)) if len(listed) > 1 else next(iter(listed.values()), "")
        return Source(name, path, sha256 or sha256_file(path)), model
    step = converted(store, path, model.files, own_precision(path), on_event)
    return Source(name, step.folder / GGUF, step.sha256(GGUF)), model


def _packed(store: Store, name: str) -> tuple[Source, Model]:
    """A specialist that writes text, by the bytes that its record names."""
    specialist, folder = store.find(name)
    if specialist.asked is None:
        raise InputError(f"{specialist.full_name} labels texts.", f"Measure it with: linnet evaluate {name} FILE")
    verify_files(folder, specialist.files)
    path = folder / ENGINE_FOLDER / GGUF
    model = resolve_model(store, str(path)).model_copy(update={"name": specialist.full_name})
    return Source(specialist.full_name, path, specialist.files[f"{ENGINE_FOLDER}/{GGUF}"].sha256), model
