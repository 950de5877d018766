"""Export: files of the store, and texts about them, become a folder or one file of the user's.

Every byte that is copied is hashed on the way. Knows nothing of what the files are for (see pipeline/export).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import CorruptFile, InputError, StoreError, os_errors
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import CHUNK, atomic_file, check_space, publish_folder, sha256_bytes, write_bytes
from linnet.core.records import FileEntry
from linnet.core.store import Store

# Written into every folder that is exported: only such a folder may be replaced.
MARK = "linnet-export.json"


@dataclass(frozen=True, slots=True)
class Piece:
    """A file to be copied, and what its bytes must be."""

    path: Path
    entry: FileEntry


Contents = Mapping[str, Piece | bytes]


def export(
    store: Store,
    contents: Contents,
    out: Path,
    facts: Mapping[str, str],
    on_event: OnEvent = silent,
    *,
    force: bool = False,
) -> dict[str, FileEntry]:
    """Write `contents` (name in the folder, to a file of the store or a text) as the folder `out`, whole or not at all.

    `facts` go into its MARK beside the hashes. `force` replaces an earlier export, and never another folder. Raises
    InputError for a place that is taken, CorruptFile for bytes that are not the recorded ones, DiskFull.
    """
    check_place(store, out, folder=True, force=force)
    with _partial(out, contents) as partial:
        written = {}
        for name, content in sorted(contents.items()):
            target = partial / name
            if isinstance(content, bytes):
                write_bytes(target, content)
                written[name] = FileEntry(sha256=sha256_bytes(content), size_bytes=len(content))
            else:
                on_event(Event("progress", "export", name))
                with atomic_file(target) as handle:
                    copy_into(handle.write, content)
                written[name] = content.entry
        listed = {name: entry.to_json() for name, entry in written.items()}
        mark = json.dumps({**facts, "files": listed}, indent=2, sort_keys=True, ensure_ascii=False)
        write_bytes(partial / MARK, f"{mark}\n".encode())
        check_place(store, out, folder=True, force=force)  # somebody may have been there meanwhile
        publish_folder(partial, out)
    return written


@contextmanager
def _partial(out: Path, contents: Contents) -> Iterator[Path]:
    """A new folder beside `out` in which it grows; gone afterwards, whatever happened."""
    need = sum(len(c) if isinstance(c, bytes) else c.entry.size_bytes for c in contents.values())
    check_space(out.parent, need, f"Exporting to {out}")
    with os_errors(out.parent, "Writing to"):
        path = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def export_file(store: Store, piece: Piece, out: Path, on_event: OnEvent = silent, *, force: bool = False) -> None:
    """Copy one file to the file `out`, whole or not at all. Raises what `export` raises."""
    check_place(store, out, folder=False, force=force)
    check_space(out.parent, piece.entry.size_bytes, f"Exporting to {out}")
    on_event(Event("progress", "export", out.name))
    with atomic_file(out) as handle:
        copy_into(handle.write, piece)


def check_place(store: Store, out: Path, *, folder: bool, force: bool) -> None:
    """Raise InputError unless `out` is free, or an earlier export that `force` may replace."""
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no folder.", "Make it first, or choose another place with --out.")
    if out.resolve().is_relative_to(store.root.resolve()):
        raise InputError(f"{out} lies in the store.", "Choose a place outside of it with --out.")
    if out.is_symlink():
        raise InputError(f"{out} is a link.", "Say where it leads to, or choose another place with --out.")
    if not out.exists() or (folder and out.is_dir() and not any(out.iterdir())):
        return
    if out.is_dir() != folder:
        raise InputError(f"{out} is a {'file' if folder else 'folder'}.", "Choose another place with --out.")
    if folder and not (out / MARK).is_file():
        raise InputError(f"{out} holds files that no export wrote: it is not replaced.", "Choose another place.")
    if not force:
        raise InputError(f"{out} exists.", "Replace it with --force, or choose another place with --out.")


def copy_into(write: Callable[[bytes], object], piece: Piece) -> None:
    """Write a file's bytes. Raises CorruptFile when they are not the ones that were recorded."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(piece.path):
        write(chunk)
        digest.update(chunk)
        size += len(chunk)
    if (digest.hexdigest(), size) != (piece.entry.sha256, piece.entry.size_bytes):
        raise CorruptFile(
            f"{piece.path} is not the file that was recorded: its sha256 differs.", "Make or fetch it again."
        )


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        source = path.open("rb")
    except OSError as error:
        raise StoreError(f"Reading {path}: {error.strerror or error}.") from error
    with source:
        while chunk := source.read(CHUNK):
            yield chunk
