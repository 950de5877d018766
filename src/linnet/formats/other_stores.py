"""Where other programs keep models: plain files and folders, and the caches of Ollama, llama.cpp and Hugging Face.

Finds the files of one model and what their owner says of them. Trusts none of it, and links nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.core.errors import InputError, ModelFileError, NameInvalid, NotFound, os_errors
from linnet.core.names import check_digest, check_file_name, to_name
from linnet.formats.hf_folder import read_folder
from linnet.formats.model_facts import bare_stem, licence_of, plain_licence, quant_of, split_parts

MAX_MANIFEST = 4 << 20
OLLAMA_MODEL = "application/vnd.ollama.image.model"
OLLAMA_LICENCE = "application/vnd.ollama.image.license"
_HEX = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
READABLE = (
    "Linnet reads: a .gguf file; a folder with config.json and .safetensors; ~/.ollama/models and its manifests; "
    "~/.cache/llama.cpp; and models--org--name of a Hugging Face cache."
)


@dataclass(frozen=True, slots=True)
class Found:
    """One model of another program.

    `files` are real paths by the name they get here. `entry` is the file that an engine opens, "" for a folder.
    `opened` is what to check: the file or folder as it lies there. `claims` are sha256 that their owner states.
    """

    files: dict[str, Path]
    entry: str
    opened: Path
    source: str
    name: str
    tag: str = ""
    licence: str = ""
    repo: str = ""
    commit: str = ""
    claims: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_model(path: Path) -> Found:
    """The one model at a path.

    Raises NotFound for a path where none is, InputError where there are several, ModelFileError for what is damaged.
    """
    with os_errors(path, "Reading"):
        if not path.exists():
            raise NotFound(f"{path}: no such file or folder.", READABLE)
        if path.is_file():
            return _file(path)
        if not path.is_dir():
            raise InputError(f"{path}: neither a file nor a folder.", READABLE)
        return _folder(path)


def _file(path: Path) -> Found:
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic == b"GGUF":
        return _in_hugging_face(_gguf(path), path.parent)
    if "manifests" in path.parts:
        return _ollama(path)
    if path.suffix == ".safetensors":
        raise InputError(f"{path}: weights alone are no model.", "Give the folder that holds their config.json.")
    raise InputError(f"{path}: this is no model; it begins with {magic!r}.", READABLE)


def _folder(path: Path) -> Found:
    for place in (path, path / "models"):
        if (place / "manifests").is_dir() and (place / "blobs").is_dir():
            return _ollama(_only(sorted(p for p in (place / "manifests").rglob("*") if p.is_file()), path))
    if path.name.startswith("models--") and (path / "snapshots").is_dir():
        return _folder(_snapshot(path))
    repos = sorted(p for p in path.glob("models--*") if (p / "snapshots").is_dir())
    if repos:
        return _folder(_only(repos, path))
    if (path / "config.json").is_file():
        read = read_folder(path)
        found = Found(read.files, "", path, str(path), to_name(path.resolve().name), licence=licence_of(path))
        return _in_hugging_face(found, path)
    firsts = sorted(p for p in path.glob("*.gguf") if split_parts(p.name)[0] == p.name and "mmproj" not in p.name)
    if not firsts:
        raise NotFound(f"{path}: no model is here.", READABLE)
    return _file(_only(firsts, path))


def _only(paths: list[Path], place: Path) -> Path:
    if not paths:
        raise NotFound(f"{place}: no model is here.", READABLE)
    if len(paths) > 1:
        shown = "\n       ".join(f"linnet import {p}" for p in paths[:20])
        raise InputError(f"{place} holds {len(paths)} models.", f"Say which:\n       {shown}")
    return paths[0]


def _gguf(path: Path) -> Found:
    """A GGUF file with all its parts; a download that llama.cpp made has a small file beside it that says whence."""
    names = split_parts(path.name)
    if len(names) > 1 and path.name != names[0]:
        raise InputError(f"{path}: this is not the first part.", f"Give the first: {path.with_name(names[0])}")
    files = {}
    for name in names:
        part = path.with_name(name)
        if not part.is_file():
            raise ModelFileError("split.count", f"{path}: needs {len(names)} parts, {name} is missing.", READABLE)
        files[_plain(name)] = part.resolve()
    opened = path if len(names) > 1 else path.resolve()
    url = _small_json(path.with_name(f"{path.name}.json")).get("url")
    source = plain_licence(url) if isinstance(url, str) and url.startswith("https:") else str(path)
    return Found(files, _plain(path.name), opened, source, to_name(bare_stem(path.name)), quant_of(path.name).lower())


def _plain(name: str) -> str:
    try:
        return check_file_name(name)
    except NameInvalid:
        return f"{to_name(bare_stem(name))}.gguf"


def _small_json(path: Path) -> dict[str, Any]:
    """A small JSON object beside a model; empty when it is absent or anything else."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_MANIFEST:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _snapshot(repo: Path) -> Path:
    """The snapshot that `main` means, else the only one."""
    main = repo / "refs" / "main"
    commit = main.read_text()[:80].strip() if main.is_file() else ""
    if _COMMIT.fullmatch(commit) and (repo / "snapshots" / commit).is_dir():
        return repo / "snapshots" / commit
    return _only(sorted(p for p in (repo / "snapshots").iterdir() if p.is_dir()), repo)


def _in_hugging_face(found: Found, folder: Path) -> Found:
    """The same with what a Hugging Face cache says of it: repository, commit, and hashes that are blobs' names."""
    repo = next((p for p in (folder.absolute(), *folder.absolute().parents) if p.name.startswith("models--")), None)
    if repo is None:
        return found
    org, _, name = repo.name.removeprefix("models--").partition("--")
    commit = next((part for part in folder.absolute().parts if _COMMIT.fullmatch(part)), "")
    claims = {n: p.name for n, p in found.files.items() if p.parent.name == "blobs" and _HEX.fullmatch(p.name)}
    return Found(
        files=found.files,
        entry=found.entry,
        opened=found.opened,
        source=f"hf:{org}/{name}" + (f"@{commit}" if commit else ""),
        name=found.name if found.entry else to_name(name),
        tag=found.tag,
        licence=found.licence,
        repo=f"{org}/{name}",
        commit=commit,
        claims=claims,
    )


def _ollama(manifest: Path) -> Found:
    """A model of Ollama: a manifest that names layers, which are blobs named by their hash."""
    content = _small_json(manifest)
    layers = content.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ModelFileError("layers", f"{manifest}: this is no manifest of Ollama.", READABLE)
    kinds = [layer.get("mediaType") for layer in layers]
    weights = [layer for layer in layers if layer.get("mediaType") == OLLAMA_MODEL]
    if len(weights) != 1:
        raise ModelFileError(
            "layers", f"{manifest}: it has {len(weights)} models, need one.", "Import a plain GGUF file."
        )
    at = manifest.parts.index("manifests")
    blobs = Path(*manifest.parts[:at]) / "blobs"
    blob, sha256 = _layer(blobs, weights[0], manifest)
    host, *path = manifest.parts[at + 1 :]
    name, tag = path[-2] if len(path) > 1 else path[0], path[-1]
    dropped = [
        str(kind).rpartition(".")[2] for kind in kinds if str(kind).rpartition(".")[2] in ("adapter", "projector")
    ]
    notes = [f"Its {part} is left out: only the model itself is read." for part in dropped]
    if any(str(kind).endswith((".template", ".system", ".params")) for kind in kinds):
        notes.append("Ollama's template, system text and parameters are left out: the file's own template is used.")
    licences = [_layer(blobs, layer, manifest)[0] for layer in layers if layer.get("mediaType") == OLLAMA_LICENCE]
    file = f"{to_name(name)}.gguf"
    return Found(
        files={file: blob},
        entry=file,
        opened=blob,
        source=f"ollama:{host}/{'/'.join(path[:-1])}:{tag}"[:200],
        name=to_name(name),
        tag=to_name(tag),
        licence=_first_line(licences[0]) if licences else "",
        claims={file: sha256},
        notes=tuple(notes),
    )


def _layer(blobs: Path, layer: dict[str, Any], manifest: Path) -> tuple[Path, str]:
    """A layer's file and its hash. Only a whole and plain sha256 becomes a path."""
    digest = layer.get("digest")
    try:
        method, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
        sha256 = check_digest(value if method == "sha256" else "")
    except NameInvalid as error:
        raise ModelFileError("digest", f"{manifest}: {str(digest)[:80]!r} is no sha256 digest.", error.hint) from error
    blob = blobs / f"sha256-{sha256}"
    if not blob.is_file() or blob.is_symlink():
        raise ModelFileError("digest", f"{manifest}: its blob {blob} is missing.", "Pull it again with Ollama.")
    return blob, sha256


def _first_line(path: Path) -> str:
    with path.open(errors="replace") as handle:
        return plain_licence(next((line for line in handle.read(4096).splitlines() if line.strip()), ""))
