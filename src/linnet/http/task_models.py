"""Specialists that write text, as the models behind them. Knows the store and no request."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from linnet.core.errors import LinnetError, NameInvalid
from linnet.core.names import is_name
from linnet.core.records import Model, Specialist
from linnet.core.store import Store, verify_files
from linnet.engines.base import GGUF
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.formats.resolve import path_model


def find_writer(store: Store, name: str) -> tuple[Specialist, Path] | None:
    """The specialist of this name and its folder, if it is one that writes text; None for everything else."""
    if not is_name(name.partition(":")[0]):
        return None
    try:
        found, folder = store.find(name)
    except (LinnetError, NameInvalid):
        return None
    return (found, folder) if found.asked is not None else None


def writer_model(store: Store, name: str) -> Model | None:
    """Its GGUF under the specialist's full name; None where there is none. Raises CorruptFile, ModelFileError."""
    found = find_writer(store, name)
    if found is None:
        return None
    specialist, folder = found
    return _checked(str(folder), specialist.full_name, specialist.created, specialist.licence)


@lru_cache(maxsize=64)
def _checked(folder: str, full_name: str, created: str, licence: str) -> Model:
    """Once for each bundle: every file has proved to be the one that was recorded."""
    del created  # a version that was removed and built again is another one
    specialist = Specialist.model_validate_json((Path(folder) / "record.json").read_bytes())
    verify_files(Path(folder), specialist.files)
    model = path_model(Path(folder) / ENGINE_FOLDER / GGUF, full_name)
    return model.model_copy(update={"name": full_name, "licence": licence, "source": "linnet build"})
