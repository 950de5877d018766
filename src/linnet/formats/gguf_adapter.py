"""LoRA adapters in GGUF: whole in themselves, and made for the model they are put on."""

from __future__ import annotations

from pathlib import Path

from linnet.formats.gguf import GgufHeader
from linnet.formats.gguf_rules import SOURCE_HINT, architecture_of
from linnet.formats.gguf_split import read_parts

_OTHER = "Take the adapter that was trained on this model, or the model that it was trained on."
_HALVES = {"lora_a": "lora_b", "lora_b": "lora_a"}


def check_pairs(header: GgufHeader) -> None:
    """A LoRA comes in pairs whose ranks agree; other kinds of adapter are not read by the engine."""
    if (stated := header.metadata.get("adapter.type")) != "lora":
        header.refuse("adapter.type", f"need 'lora', have {repr(stated)[:80]}", SOURCE_HINT)
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    if not shapes:
        header.refuse("tensor_count", "the adapter holds no tensors", SOURCE_HINT)
    for name, shape in shapes.items():
        stem, _, half = name.rpartition(".")
        if half not in _HALVES:
            if not name.endswith("norm.weight"):
                header.refuse(name, "need a name that ends in .lora_a or .lora_b", SOURCE_HINT)
            continue
        other = shapes.get(f"{stem}.{_HALVES[half]}")
        if other is None:
            header.refuse(name, "the other half of the pair is missing", SOURCE_HINT)
        # The table of tokens is stored the other way round, so its rank lies elsewhere.
        if half == "lora_a" and not stem.startswith("token_embd.") and shape[1:2] != other[:1]:
            header.refuse(name, f"need the rank of its other half, {other[0]}, have shape {shape}", SOURCE_HINT)


def check_adapter(adapter: Path, base: Path) -> None:
    """Compare an adapter with the model it is for. Raises ModelFileError, naming the architecture or tensor."""
    lora, model = read_parts(adapter)[0], read_parts(base)
    if lora.metadata.get("general.type") != "adapter":
        lora.refuse("general.type", "this is no adapter", _OTHER)
    check_pairs(lora)
    have, need = architecture_of(lora), architecture_of(model[0])
    if have != need:
        lora.refuse("general.architecture", f"need {need!r} as the model has, have {have!r}", _OTHER)
    shapes = {tensor.name: tensor.shape for part in model for tensor in part.tensors}
    for tensor in lora.tensors:
        stem, _, half = tensor.name.rpartition(".")
        if half not in _HALVES:
            continue
        if stem not in shapes:
            lora.refuse(tensor.name, f"the model has no tensor {stem}", _OTHER)
        if stem.startswith("token_embd."):
            continue
        axis = 0 if half == "lora_a" else 1
        if tensor.shape[axis : axis + 1] != shapes[stem][axis : axis + 1]:
            lora.refuse(tensor.name, f"does not fit {stem} of shape {shapes[stem]}, have {tensor.shape}", _OTHER)
