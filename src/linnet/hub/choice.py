"""Which files of a repository to take: one quantisation of a GGUF repository, or the known files of a folder."""

from __future__ import annotations

from dataclasses import dataclass

from linnet.core.errors import InputError, NotFound, did_you_mean
from linnet.core.names import HubName
from linnet.formats.model_facts import FOLDER_FILES, is_shard, quant_of, split_parts
from linnet.hub.listing import HubFile, Listing

# Best trade first, then nearest; the order is documented in docs/guide/pull.md.
PREFERRED = (
    "Q4_K_M", "Q4_K_S", "Q4_K_L", "Q4_K_XL", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS", "MXFP4", "Q5_K_M", "Q5_K_S", "Q5_0",
    "Q5_1", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "IQ2_M",
    "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "TQ2_0", "TQ1_0", "BF16", "F16", "F32",
)  # fmt: skip
MAX_SMALL = 64 << 20


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files to take, the one the engine opens first ("" for a folder), and the quantisation's tag."""

    format: str
    files: tuple[HubFile, ...]
    entry: str
    tag: str

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def choose_files(listing: Listing, name: HubName) -> Chosen:
    """The files that `name` means.

    Raises NotFound when the repository holds no such model, InputError when it holds several that the name means.
    """
    sets = _gguf_sets(listing)
    if name.quant.lower() != "safetensors" and sets:
        return _one_set(sets, name)
    if name.quant and name.quant.lower() != "safetensors":
        raise NotFound(f"{name}: the repository has no GGUF file.", f"Its safetensors: linnet pull hf:{name.repo_id}")
    return _folder(listing, name)


def _gguf_sets(listing: Listing) -> dict[str, tuple[HubFile, ...]]:
    """First part -> every part, of each GGUF model; helpers (projectors, importance matrices) are no models."""
    sets: dict[str, list[HubFile]] = {}
    for file in sorted(listing.files, key=lambda f: f.name):
        base = file.name.rpartition("/")[2].lower()
        if not base.endswith(".gguf") or base.startswith("mmproj") or "imatrix" in base:
            continue
        sets.setdefault(split_parts(file.name)[0], []).append(file)
    for first, parts in sets.items():
        if [part.name for part in parts] != (need := split_parts(first)):
            message = f"hf:{listing.repo}: the repository has {len(parts)} of the {len(need)} parts of {first}."
            raise NotFound(message, "Choose another file or revision.")
    return {first: tuple(parts) for first, parts in sets.items()}


def _one_set(sets: dict[str, tuple[HubFile, ...]], name: HubName) -> Chosen:
    tags = {first: quant_of(first) for first in sets}
    if name.quant.lower().endswith(".gguf"):
        fitting = [first for first in sets if name.quant in (first, first.rpartition("/")[2])]
    elif name.quant:
        fitting = [first for first, tag in tags.items() if tag == name.quant.upper()]
    else:
        best = min(_rank(tag) for tag in tags.values())
        fitting = [first for first, tag in tags.items() if _rank(tag) == best]
    known = sorted({tag or first for first, tag in tags.items()})
    if not fitting:
        near = did_you_mean(name.quant.upper(), known)
        raise NotFound(f"{name}: the repository has no {name.quant}.{near}", f"It has: {', '.join(known)}.")
    if len(fitting) > 1:
        names = ", ".join(f"hf:{name.repo_id}:{first.rpartition('/')[2]}" for first in fitting[:8])
        raise InputError(f"{name} means {len(fitting)} files of the repository.", f"Say which: {names}.")
    first = fitting[0]
    return Chosen("gguf", sets[first], first, tags[first] or "gguf")


def _rank(tag: str) -> int:
    return PREFERRED.index(tag) if tag in PREFERRED else len(PREFERRED)


def _folder(listing: Listing, name: HubName) -> Chosen:
    files = {file.name: file for file in listing.files}
    small = [files[known] for known in FOLDER_FILES if known in files and files[known].size_bytes <= MAX_SMALL]
    if "config.json" not in files:
        raise NotFound(
            f"{name}: the repository has neither a GGUF file nor a config.json.", "Is it a model's repository?"
        )
    shards = [file for path, file in files.items() if is_shard(path)]
    if "model.safetensors" in files:
        weights = [files["model.safetensors"]]
        small = [file for file in small if file.name != "model.safetensors.index.json"]
    elif shards and "model.safetensors.index.json" in files:
        weights = shards
    else:
        raise NotFound(
            f"{name}: the repository has no model.safetensors.",
            "Only GGUF and safetensors are read: pickled weights (.bin, .pt) can run code. Look for a converted one.",
        )
    return Chosen("safetensors", tuple(sorted([*small, *weights], key=lambda f: f.name)), "", "safetensors")
