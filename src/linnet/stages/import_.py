"""Import: a model that lies on this machine already, checked, hashed and given a name. Its bytes stay where they are.

On the same disk the store gets another name for the same bytes (a hard link), so that the original may be deleted.
On another disk the store remembers the path, size, time and sha256, and looks at each load.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from linnet.core.blobs import blob_file, link_blob, make_view, partial_path, publish_blob, writing_blobs
from linnet.core.errors import CorruptFile, InputError, ModelFileError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.failpoints import failpoint
from linnet.core.files import CHUNK, check_space, make_folder, sha256_bytes
from linnet.core.models import check_free, stamp, write_manifest
from linnet.core.names import split_tag, to_name
from linnet.core.records import Manifest, Model, ModelFile, Provenance
from linnet.core.store import Store
from linnet.formats.model_check import check_model
from linnet.formats.model_facts import facts_of, quant_of
from linnet.formats.model_report import ModelReport
from linnet.formats.other_stores import Found, find_model
from linnet.formats.resolve import open_manifest, stated_licence

MB = 1_000_000


def import_(store: Store, path: Path | str, name: str = "", *, copy: bool = False, on_event: OnEvent = silent) -> Model:
    """Make a model known to the store under `name[:tag]`, or a name made from its own.

    `copy` takes the bytes into the store. Raises NotFound, InputError for several models or a name that is taken,
    NameInvalid, ModelFileError before any byte is linked, CorruptFile when its owner's hash is another, DiskFull.
    """
    if name:
        split_tag(name)
    place = Path(path).expanduser().absolute()
    found = find_model(place)
    report = check_model(found.opened)
    if report.kind != "model":
        raise InputError(f"{place}: this is a {report.kind}, not a model.", "Import the model that it belongs to.")
    for note in (*found.notes, *report.suspicious):
        on_event(Event("warning", "import", note))
    on_event(Event("start", "import", str(place)))
    with writing_blobs(store):
        files = _taken(store, found, copy, on_event)
        manifest = _manifest(store, found, report, files, name)
        with store.locked(f"models/{manifest.name}", manifest.full_name, on_event):
            check_free(store, manifest)
            write_manifest(store, manifest)
    on_event(Event("done", "import", f"{manifest.full_name}: {_how(files)}"))
    return open_manifest(store, manifest)


def _how(files: dict[str, ModelFile]) -> str:
    place = next(iter(files.values())).place
    return {
        "blob": "copied into the store",
        "linked": "linked, no byte was copied; the original may be deleted, but not changed",
        "reference": "left where it is, on another disk; it must stay there unchanged",
    }[place]


def _taken(store: Store, found: Found, copy: bool, on_event: OnEvent) -> dict[str, ModelFile]:
    """Every file hashed, and then copied, linked, or remembered where it is: one way for all of them."""
    total = sum(path.stat().st_size for path in found.files.values())
    if copy:
        check_space(store.root, total, f"Copying {found.source}")
    counter = _Counter(total, on_event)
    hashes = {}
    before = {source: (source.stat().st_size, source.stat().st_mtime_ns) for source in found.files.values()}
    for name, source in found.files.items():
        hashes[name] = _copied(store, source, counter) if copy else _hashed(source, counter)
        claim = found.claims.get(name, hashes[name])
        if claim != hashes[name]:
            raise CorruptFile(
                f"{source} has sha256 {hashes[name]}; the cache it lies in says {claim}.",
                "It is damaged: fetch it again with the program it belongs to.",
            )
    if copy:
        return {name: blob_file(store, sha256) for name, sha256 in hashes.items()}
    linked = all(link_blob(store, source, hashes[name]) for name, source in found.files.items())
    for source, (size, mtime_ns) in before.items():
        if (source.stat().st_size, source.stat().st_mtime_ns) != (size, mtime_ns):
            raise CorruptFile(f"{source} changed while it was read.", "Import it when nothing writes to it.")
    if linked:
        return {n: blob_file(store, sha256, "linked", str(found.files[n])) for n, sha256 in hashes.items()}
    return {name: _reference(found, name, sha256) for name, sha256 in hashes.items()}


def _reference(found: Found, name: str, sha256: str) -> ModelFile:
    """A file that stays where it is, under the name by which an engine finds its neighbours."""
    whole = found.entry and len(found.files) == 1
    path = found.files[name] if whole else (found.opened.parent if found.entry else found.opened) / name
    seen = path.stat()
    return ModelFile(
        sha256=sha256, size_bytes=seen.st_size, mtime_ns=seen.st_mtime_ns, place="reference", path=str(path)
    )


def _pieces(source: Path) -> Iterator[bytes]:
    with os_errors(source, "Reading"), source.open("rb") as handle:
        while piece := handle.read(CHUNK):
            yield piece


def _hashed(source: Path, counter: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(source):
        digest.update(piece)
        counter(len(piece))
    return digest.hexdigest()


def _copied(store: Store, source: Path, counter: Callable[[int], None]) -> str:
    """A blob with the bytes of `source`, hashed as they are written."""
    digest = hashlib.sha256()
    partial = partial_path(store, sha256_bytes(str(source).encode()))
    with store.locked(f"blobs/{partial.name}", str(source)), os_errors(partial, "Copying to"):
        make_folder(partial.parent)
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
                for piece in _pieces(source):
                    failpoint("import.copy")
                    out.write(piece)
                    digest.update(piece)
                    counter(len(piece))
            publish_blob(store, partial, digest.hexdigest())
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return digest.hexdigest()


def _manifest(store: Store, found: Found, report: ModelReport, files: dict[str, ModelFile], name: str) -> Manifest:
    bare, tag = split_tag(name) if name else (found.name, found.tag or to_name(report.quantisation_name or "latest"))
    if not name and report.format != "gguf":
        tag = "latest"
    folder = None if found.entry else found.opened
    opened = _opened(store, found, files)
    try:
        checked = check_model(opened)
    except ModelFileError as error:
        raise ModelFileError(error.field, error.message, "Take its bytes into the store: --copy.") from error
    return Manifest(
        name=bare,
        tag=tag or "latest",
        entry=found.entry,
        files=files,
        licence=found.licence or stated_licence(report, found.opened),
        provenance=Provenance(
            source=found.source,
            repo=found.repo,
            quant=quant_of(found.entry),
            commit=found.commit,
        ),
        created=stamp(),
        **facts_of(checked, folder, found.source),
    )


def _opened(store: Store, found: Found, files: dict[str, ModelFile]) -> Path:
    """Where the model lies from now on."""
    first = next(iter(files.values()))
    if first.place == "reference":
        return Path(files[found.entry].path) if found.entry else found.opened
    view = make_view(store, files)
    return view / found.entry if found.entry else view


class _Counter:
    """Adds up what was read and says so, once in 64 MB."""

    def __init__(self, total: int, on_event: OnEvent) -> None:
        self._total, self._done, self._told, self._on_event = total, 0, 0, on_event

    def __call__(self, count: int) -> None:
        self._done += count
        if self._done - self._told >= 64 * MB:
            self._told = self._done
            text = f"hashing {self._done / MB:.0f} of {self._total / MB:.0f} MB"
            self._on_event(Event("progress", "import", text, data={"done_bytes": self._done}))
