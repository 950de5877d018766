"""Checkpoints that are whole or absent: tensors in safetensors, the rest in JSON, hashed, renamed into place.

No pickle is ever read. The random state travels as a tensor. Knows nothing of what is trained.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from linnet.core.errors import CorruptFile, StoreError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.failpoints import failpoint
from linnet.core.files import check_space, make_folder, publish_folder, read_json, sha256_file, write_json

TENSORS, MANIFEST = "tensors.safetensors", "manifest.json"
PREFIX, PARTIAL = "checkpoint-", ".partial-checkpoint"
RANDOM = "random_state"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save(folder: Path, recipe: str, tensors: dict[str, Tensor], state: dict[str, Any], *, step: int) -> None:
    """Write `checkpoint-<step>` below `folder`, then drop older ones. `recipe` names what it may continue.

    Raises DiskFull or StoreError; the checkpoint before it is then untouched.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    check_space(folder, size, "A training checkpoint")
    partial, final = folder / PARTIAL, folder / f"{PREFIX}{step}"
    with os_errors(final, "Writing"):
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial)
        failpoint("checkpoint.payload")
        try:
            save_file(_apart({**tensors, RANDOM: torch.get_rng_state()}), partial / TENSORS)
        except SafetensorError as error:  # it speaks of a full disk in words only
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else 0, str(error)) from error
        failpoint("checkpoint.manifest")
        write_json(
            partial / MANIFEST,
            {"recipe": recipe, "step": step, "state": state, "sha256": sha256_file(partial / TENSORS)},
        )
        failpoint("checkpoint.publish")
        publish_folder(partial, final)
        for older in _found(folder):
            if older != final:
                shutil.rmtree(older, ignore_errors=True)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors of which no two share memory (a tied weight and its copy): safetensors refuses those."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        found = tensor.detach()
        if found.untyped_storage().data_ptr() in seen or not found.is_contiguous():
            found = found.clone(memory_format=torch.contiguous_format)
        seen.add(found.untyped_storage().data_ptr())
        own[name] = found
    return own


def _found(folder: Path) -> list[Path]:
    """Finished checkpoints, the newest first."""
    named = [p for p in folder.glob(f"{PREFIX}*") if p.name.removeprefix(PREFIX).isdecimal() and p.name.isascii()]
    return sorted(named, key=lambda p: int(p.name.removeprefix(PREFIX)), reverse=True)


def _read(folder: Path, recipe: str) -> Checkpoint:
    strangers = sorted(p.name for p in folder.iterdir() if p.name not in (TENSORS, MANIFEST) or p.is_symlink())
    if strangers:
        raise StoreError(
            f"{folder} holds {strangers[0]}, which no checkpoint of ours has.",
            "Nothing in it was opened. Remove the folder to start the training again.",
        )
    missing = [name for name in (MANIFEST, TENSORS) if not (folder / name).is_file()]
    if missing:
        raise CorruptFile(f"{folder / missing[0]} is missing.")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or set(manifest) != {"recipe", "step", "state", "sha256"}:
        raise CorruptFile(f"{folder / MANIFEST} is not a checkpoint manifest.")
    if manifest["recipe"] != recipe:
        raise StoreError(
            f"{folder} belongs to another training (recipe {str(manifest['recipe'])[:12]}, not {recipe[:12]}).",
            "Remove the folder to start the training again.",
        )
    if sha256_file(folder / TENSORS) != manifest["sha256"]:
        raise CorruptFile(f"{folder / TENSORS} is not the file that was written: its sha256 differs.")
    try:
        tensors = load_file(folder / TENSORS)
    except SafetensorError as error:
        raise CorruptFile(f"{folder / TENSORS} cannot be read: {error}.") from error
    torch.set_rng_state(tensors.pop(RANDOM))
    return Checkpoint(tensors, manifest["state"])


def latest(folder: Path, recipe: str, on_event: OnEvent = silent) -> Checkpoint | None:
    """The newest whole checkpoint, with the random state set as it was; None where there is none.

    A damaged one is reported and passed over. Raises StoreError for a foreign recipe or foreign files.
    """
    for found in _found(folder):
        try:
            return _read(found, recipe)
        except CorruptFile as error:
            on_event(Event("warning", "tune", f"{error.message} An older state is used instead."))
    return None


def clear(folder: Path) -> None:
    """Remove the folder of checkpoints: the result stands."""
    shutil.rmtree(folder, ignore_errors=True)
