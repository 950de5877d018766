"""A kit: one file that carries a specialist or a model to a machine without a network, every byte of it hashed.

An uncompressed tar (GNU form), so that other tools can look inside: first `linnet-kit.json` with the sha256 and size of
every file, then those files in the order of their names, with nothing of the machine in their headers. The same input
gives the same bytes. On the way in each header must be, byte by byte, the one that this module writes for the name and
size that the manifest states: there is no room for links, devices, other paths, further members or lying sizes.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import Field, ValidationError

from linnet.core.blobs import blob_file, blob_path, publish_blob, writing_blobs
from linnet.core.errors import CorruptFile, InputError, NameInvalid, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import (
    CHUNK,
    atomic_file,
    canonical,
    check_space,
    make_folder,
    publish_folder,
    sha256_bytes,
    write_json,
)
from linnet.core.models import check_free, model_names, read_manifest, stamp, write_manifest
from linnet.core.names import check_digest, check_file_name, split_tag, split_version
from linnet.core.records import FileEntry, Manifest, ModelFile, Provenance, Record, Specialist
from linnet.core.store import RECORD, Store, decision_digest, verify_files
from linnet.formats.json_object import parse_object, read_object
from linnet.formats.model_check import check_model
from linnet.formats.model_facts import facts_of, plain_licence
from linnet.formats.regular import open_regular
from linnet.stages.export import Piece, check_place, copy_into

MANIFEST = "linnet-kit.json"
SUFFIX = ".kit"
BLOCK = 512
MAX_MANIFEST, MAX_FILES, MAX_NAME = 1 << 20, 1000, 99
# What bundles and models are made of; a kit holds nothing that could be run.
SUFFIXES = (".csv", ".gguf", ".html", ".jinja", ".json", ".jsonl", ".md", ".onnx", ".safetensors", ".toml", ".txt")
BARE = ("LICENSE", "NOTICE")
_AGAIN = "Copy it again, or make it again with: linnet export NAME --to kit"


class Kit(Record):
    """The manifest of a kit. `entry`, `licence` and `source` are a model's; a specialist has them in its record."""

    schema_version: Literal[1] = 1
    kind: Literal["specialist", "model"]
    name: str
    files: dict[str, FileEntry] = Field(min_length=1, max_length=MAX_FILES)
    entry: str = ""
    licence: str = ""
    source: str = ""

    def size_bytes(self) -> int:
        """Bytes of the whole file."""
        content = [len(canonical(self.to_json())), *(entry.size_bytes for entry in self.files.values())]
        return sum(BLOCK + size + -size % BLOCK for size in content) + 2 * BLOCK


class Imported(Record):
    """What a kit became: `sha256` is the whole kit's, to be compared with what the export printed."""

    name: str
    kind: Literal["specialist", "model"]
    sha256: str
    reused: bool


def is_kit(path: Path) -> bool:
    """Whether this file is a kit by its name or its first bytes. False for what cannot be read."""
    if path.suffix == SUFFIX:
        return not path.is_dir()
    try:
        with path.open("rb") as handle:
            return handle.read(len(MANIFEST) + 1) == f"{MANIFEST}\0".encode()
    except OSError:
        return False


def write_kit(
    store: Store, kit: Kit, pieces: dict[str, Piece], out: Path, on_event: OnEvent = silent, *, force: bool = False
) -> str:
    """Write a kit, whole or not at all; returns its sha256. Raises InputError, CorruptFile, DiskFull."""
    check_place(store, out, folder=False, force=force)
    _check_kit(kit, out)
    check_space(out.parent, kit.size_bytes(), f"Writing {out}")
    listed = canonical(kit.to_json())
    with atomic_file(out) as raw:
        handle = _Hashing(raw)
        handle.write(_header(MANIFEST, len(listed)))
        handle.write(listed + bytes(-len(listed) % BLOCK))
        for name, entry in sorted(kit.files.items()):
            on_event(Event("progress", "export", name))
            handle.write(_header(name, entry.size_bytes))
            copy_into(handle.write, pieces[name])
            handle.write(bytes(-entry.size_bytes % BLOCK))
        handle.write(bytes(2 * BLOCK))
    return handle.sha256


class _Hashing:
    """A file that knows the sha256 of what was written to it."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle, self._digest = handle, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._handle.write(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _header(name: str, size: int) -> bytes:
    """The one header that a kit has for a file of this name and size."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def import_kit(store: Store, path: Path, name: str = "", sha256: str = "", on_event: OnEvent = silent) -> Imported:
    """Make what a kit holds known to the store, under its own name or `name`.

    Nothing gets a name before every byte was compared with the manifest, and the whole with `sha256` where it is given.
    Raises CorruptFile for a kit that was cut, changed or made otherwise, InputError for a name that is taken,
    ModelFileError for a model that breaks its format, DiskFull.
    """
    if sha256:
        check_digest(sha256)
    with os_errors(path, "Reading"):
        handle, size = open_regular(path)
    with handle:
        reader = _Reader(handle, size, path)
        kit = reader.manifest()
        check_space(store.root, 2 * size if kit.kind == "model" else size, f"Importing {path.name}")
        on_event(Event("start", "import", f"{kit.name} of {path.name}"))
        work = _specialist if kit.kind == "specialist" else _model

        def unpack(folder: Path) -> None:
            reader.unpack(kit, folder, on_event)
            if sha256 and reader.sha256 != sha256:
                hint = "It is not the file that was exported."
                raise CorruptFile(f"{path} has sha256 {reader.sha256}; {sha256} was asked for.", hint)

        full_name, reused = work(store, kit, name, unpack, on_event)
    on_event(Event("reused" if reused else "done", "import", full_name))
    return Imported(name=full_name, kind=kit.kind, sha256=reader.sha256, reused=reused)


class _Reader:
    """Reads a kit from front to back, hashing all of it, and refuses what `write_kit` would not have written."""

    def __init__(self, handle: BinaryIO, size: int, path: Path) -> None:
        self._handle, self._size, self._path, self._digest = handle, size, path, hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def manifest(self) -> Kit:
        """The manifest, after it was compared with the size of the file."""
        head = self._take(BLOCK)
        size = _stated_size(head)
        if not head.startswith(f"{MANIFEST}\0".encode()) or size is None or head != _header(MANIFEST, size):
            raise CorruptFile(f"{self._path} is no kit: it does not begin with {MANIFEST}.", _AGAIN)
        if size > MAX_MANIFEST:
            raise CorruptFile(f"{self._path}: its manifest has {size} bytes, at most {MAX_MANIFEST} are read.")
        data = self._take(size)
        self._padding(size, MANIFEST)
        found = parse_object(data, self._path, MANIFEST)
        if found.get("schema_version") != 1:
            hint = "A newer Linnet made it: install that one."
            raise InputError(f"{self._path}: its form is {str(found.get('schema_version'))[:20]}; 1 is known.", hint)
        try:
            kit = Kit.model_validate(found)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise CorruptFile(f"{self._path}: {MANIFEST}: {where[:100]} is not as it must be.", _AGAIN) from error
        if canonical(kit.to_json()) != data:
            raise CorruptFile(f"{self._path}: {MANIFEST} is not in its one form.", _AGAIN)
        _check_kit(kit, self._path)
        if kit.size_bytes() != self._size:
            raise CorruptFile(
                f"{self._path} has {self._size} bytes; its manifest makes {kit.size_bytes()}: it was cut or added to.",
                _AGAIN,
            )
        return kit

    def unpack(self, kit: Kit, folder: Path, on_event: OnEvent) -> None:
        """Every file into an empty folder, each compared with its hash; then nothing may follow."""
        for name, entry in sorted(kit.files.items()):
            on_event(Event("progress", "import", name))
            self._header(name, entry.size_bytes)
            with atomic_file(folder / name) as out:
                digest = hashlib.sha256()
                for chunk in self._chunks(entry.size_bytes):
                    out.write(chunk)
                    digest.update(chunk)
                if digest.hexdigest() != entry.sha256:
                    raise CorruptFile(f"{self._path}: {name} is not the file that its manifest names.", _AGAIN)
            self._padding(entry.size_bytes, name)
        if self._take(2 * BLOCK) != bytes(2 * BLOCK) or self._handle.read(1):
            raise CorruptFile(f"{self._path}: something follows the last file.", _AGAIN)

    def _header(self, name: str, size: int) -> None:
        head = self._take(BLOCK)
        if head == _header(name, size):
            return
        try:
            found = tarfile.TarInfo.frombuf(head, "utf-8", "replace")
            what = f"a {_kind(found)} called {found.name[:100]!a} of {found.size} bytes"
        except (tarfile.HeaderError, ValueError):
            what = "something else"
        raise CorruptFile(f"{self._path}: where {name} of {size} bytes must be, there is {what}.", _AGAIN)

    def _padding(self, size: int, name: str) -> None:
        if self._take(-size % BLOCK).strip(b"\0"):
            raise CorruptFile(f"{self._path}: something is hidden behind {name}.", _AGAIN)

    def _chunks(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._take(min(size, CHUNK))
            size -= len(chunk)
            yield chunk

    def _take(self, size: int) -> bytes:
        with os_errors(self._path, "Reading"):
            data = self._handle.read(size)
        if len(data) != size:
            raise CorruptFile(f"{self._path} ends too early: it was cut.", _AGAIN)
        self._digest.update(data)
        return data


def _stated_size(head: bytes) -> int | None:
    """The size in a header, where it is in plain octal."""
    digits = head[124:135]
    return int(digits, 8) if len(digits) == 11 and all(48 <= digit <= 55 for digit in digits) else None


def _kind(found: tarfile.TarInfo) -> str:
    if found.issym() or found.islnk():
        return "link"
    return "device" if found.isdev() else "folder" if found.isdir() else "file"


def _check_kit(kit: Kit, path: Path) -> None:
    """Raise CorruptFile, or for one's own bundle InputError, for files that no kit holds."""
    seen: set[str] = set()
    for name, entry in kit.files.items():
        try:
            check_file_name(name)
            check_digest(entry.sha256)
        except NameInvalid as error:
            raise CorruptFile(f"{path}: {error.message}", error.hint) from error
        last = name.rpartition("/")[2]
        if len(name) > MAX_NAME or name == MANIFEST or not (last.endswith(SUFFIXES) or last in BARE):
            raise InputError(
                f"{path}: {name[:120]!a} is not a file that a kit holds.", f"Known: {', '.join(SUFFIXES)}."
            )
        if name.lower() in seen or entry.size_bytes < 0:
            raise CorruptFile(f"{path}: {name} is listed twice, or with a senseless size.")
        seen.add(name.lower())
    if seen & {name.rpartition("/")[0] for name in seen}:
        raise CorruptFile(f"{path}: a name is a file and a folder at once.")
    if (kit.kind == "specialist") != (RECORD in kit.files) or (kit.entry and kit.entry not in kit.files):
        raise CorruptFile(f"{path}: a {kit.kind} does not have these files.")


Unpack = Callable[[Path], None]


def _specialist(store: Store, kit: Kit, name: str, unpack: Unpack, on_event: OnEvent) -> tuple[str, bool]:
    """The bundle under its name and version, once its record fits its files."""
    bare, version = split_version(name or kit.name)
    number = version or (1 if name else split_version(kit.name)[1] or 1)
    full_name = f"{bare}:{number}"
    if any(known.startswith(f"{bare}:") for known in model_names(store)):
        raise InputError(f"{bare} is the name of a model.", "Choose another with --name.")
    with store.locked(f"specialists/{bare}", bare, on_event):
        final = store.path("specialists", bare, str(number))
        with _scratch(store, full_name) as partial:
            unpack(partial)
            specialist = _record(partial, kit)
            _check_models(partial, kit)
            renamed = specialist.model_copy(update={"name": bare, "version": number})
            if renamed != specialist:
                write_json(partial / RECORD, renamed.to_json())
            if number in store.versions(bare):
                there, folder = store.find(full_name)
                if there != renamed:
                    raise InputError(f"{full_name} is in the store already, and another.", "Give it a --name.")
                verify_files(folder, there.files)
                return full_name, True
            publish_folder(partial, final)
    return full_name, False


@contextmanager
def _scratch(store: Store, full_name: str) -> Iterator[Path]:
    """An empty folder, gone afterwards; what a killed import of that name left there goes first."""
    folder = store.path("scratch", sha256_bytes(f"kit {full_name}".encode())[:32])
    with os_errors(folder, "Writing"):
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _record(folder: Path, kit: Kit) -> Specialist:
    """The record of an unpacked bundle. Raises CorruptFile when it is not about these files."""
    found = read_object(folder / RECORD, MAX_MANIFEST)
    try:
        specialist = Specialist.model_validate(found)
    except ValidationError as error:
        raise CorruptFile(f"{kit.name}: {RECORD} of the kit is damaged.", _AGAIN) from error
    listed = {name: entry for name, entry in kit.files.items() if name != RECORD}
    digest = decision_digest(specialist)
    if specialist.lineage.get("decision", digest) != digest:
        raise CorruptFile(f"{kit.name}: its labels, calibration or instruction are not those it was measured with.")
    if specialist.full_name != kit.name or specialist.files != listed:
        raise CorruptFile(f"{kit.name}: {RECORD} of the kit is about other files.", _AGAIN)
    metric: dict[str, Any] = specialist.metric
    if not isinstance(metric.get("name"), str) or not isinstance(metric.get("value"), int | float):
        raise CorruptFile(f"{kit.name}: {RECORD} of the kit names no metric.", _AGAIN)
    return specialist


def _check_models(folder: Path, kit: Kit) -> None:
    """Each GGUF keeps the rules of its format before anything can load it. Raises ModelFileError."""
    for name in kit.files:
        if name.endswith(".gguf"):
            check_model(folder / name)


def _model(store: Store, kit: Kit, name: str, unpack: Unpack, on_event: OnEvent) -> tuple[str, bool]:
    """The files as blobs and the manifest over them, once the model was checked."""
    bare, tag = split_tag(name or kit.name)
    full_name = f"{bare}:{tag or 'latest'}"
    locked = store.locked(f"models/{bare}", full_name, on_event)
    with locked, writing_blobs(store), _scratch(store, full_name) as partial:
        unpack(partial)
        report = check_model(partial / kit.entry if kit.entry else partial)
        if report.kind != "model":
            raise InputError(f"{kit.name}: this is a {report.kind}, not a model.")
        draft = _manifest(kit, (bare, tag or "latest"), facts_of(report, None if kit.entry else partial, full_name))
        check_free(store, draft)
        if full_name in model_names(store) and _same(read_manifest(store, full_name), draft):
            return full_name, True
        for file, entry in kit.files.items():
            if not blob_path(store, entry.sha256).is_file():
                publish_blob(store, partial / file, entry.sha256)
        files = {file: blob_file(store, entry.sha256) for file, entry in kit.files.items()}
        write_manifest(store, draft.model_copy(update={"files": files}))
    return full_name, False


def _manifest(kit: Kit, name: tuple[str, str], facts: dict[str, Any]) -> Manifest:
    return Manifest(
        name=name[0],
        tag=name[1],
        entry=kit.entry,
        files={
            n: ModelFile(sha256=e.sha256, size_bytes=e.size_bytes, mtime_ns=0, place="blob")
            for n, e in kit.files.items()
        },
        licence=plain_licence(kit.licence) or "unknown",
        provenance=Provenance(source=plain_licence(kit.source) or kit.name),
        created=stamp(),
        **facts,
    )


def _same(there: Manifest, draft: Manifest) -> bool:
    return {n: f.sha256 for n, f in there.files.items()} == {n: f.sha256 for n, f in draft.files.items()}
