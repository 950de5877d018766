"""The bytes of models: blobs named by their sha256, and folders that show them under their own names.

blobs/sha256/<hex>      immutable; another name of somebody's file where that was imported on the same disk
blobs/partial/<hex>     what a download has so far
views/<digest>/<file>   hard links to blobs: an engine finds the files of one model side by side

Knows nothing of formats, and does not decide what is still needed (see core/models).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linnet.core.errors import CorruptFile, StoreBusy, os_errors
from linnet.core.failpoints import failpoint
from linnet.core.files import canonical, fsync_folder, make_folder, sha256_bytes, sha256_file
from linnet.core.locks import alone, hold
from linnet.core.names import check_digest, check_file_name
from linnet.core.records import ModelFile
from linnet.core.store import Store

Files = dict[str, ModelFile]


def blob_path(store: Store, sha256: str) -> Path:
    """Where a blob lies. Raises NameInvalid for what is no sha256."""
    return store.path("blobs", "sha256", check_digest(sha256))


def partial_path(store: Store, sha256: str) -> Path:
    """Where a blob grows. Raises NameInvalid for what is no sha256."""
    return store.path("blobs", "partial", check_digest(sha256))


@contextmanager
def writing_blobs(store: Store) -> Iterator[None]:
    """Keep what is written inside from being collected before a manifest names it."""
    with hold(store.path("locks", "blobs.lock"), "The blobs"):
        yield


@contextmanager
def collecting_blobs(store: Store) -> Iterator[bool]:
    """Whether nobody is writing blobs now; nobody begins while this is held."""
    lock = alone(store.path("locks", "blobs.lock"), "The blobs")
    try:
        lock.__enter__()
    except StoreBusy:
        yield False
        return
    try:
        yield True
    finally:
        lock.__exit__(None, None, None)


def publish_blob(store: Store, partial: Path, sha256: str) -> Path:
    """Give a finished and hashed file its name: synced, renamed, and the folder synced."""
    final = blob_path(store, sha256)
    with os_errors(final, "Writing"):
        make_folder(final.parent)
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            failpoint("blob.fsync")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        failpoint("blob.rename")
        partial.replace(final)
        fsync_folder(final.parent)
    return final


def link_blob(store: Store, source: Path, sha256: str) -> bool:
    """Make somebody's file a blob without copying it. False where the disk or its rights do not allow a hard link."""
    final = blob_path(store, sha256)
    with os_errors(final, "Linking"):
        make_folder(final.parent)
        if final.exists():
            if final.samefile(source):
                return True
            return _same_bytes(final, sha256)
        failpoint("blob.link")
        try:
            os.link(source, final, follow_symlinks=False)
        except OSError:
            return False
        fsync_folder(final.parent)
    return True


def _same_bytes(blob: Path, sha256: str) -> bool:
    """Whether a blob that was there before is still what its name says; a damaged one is put aside."""
    if sha256_file(blob) == sha256:
        return True
    blob.unlink()
    raise CorruptFile(f"{blob} was not the file its name says and was removed.", "Run the same command again.")


def blob_file(store: Store, sha256: str, place: str = "blob", path: str = "") -> ModelFile:
    """The record of a blob that is there."""
    found = blob_path(store, sha256).stat()
    return ModelFile.model_validate(
        {"sha256": sha256, "size_bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "place": place, "path": path}
    )


def digest_of(files: Files) -> str:
    """One name for the same files in the same places."""
    where = {
        name: [f.sha256, f.place == "reference", f.path if f.place == "reference" else ""] for name, f in files.items()
    }
    return sha256_bytes(canonical(where))[:32]


def view_path(store: Store, digest: str) -> Path:
    return store.path("views", digest)


def lease_path(store: Store, digest: str) -> Path:
    return store.path("locks", "views", f"{digest}.lock")


def make_view(store: Store, files: Files) -> Path:
    """A folder with every blob of a model under its own name; made aside and renamed, so it is whole or absent."""
    final = view_path(store, digest_of(files))
    if final.is_dir():
        return final
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    with os_errors(final, "Writing"):
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial)
        for name, file in files.items():
            if file.place != "reference":
                target = partial / check_file_name(name)
                make_folder(target.parent)
                _link(blob_path(store, file.sha256), target)
        failpoint("view.publish")
        try:
            partial.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            shutil.rmtree(partial, ignore_errors=True)
        fsync_folder(final.parent)
    return final


def _link(blob: Path, target: Path) -> None:
    try:
        os.link(blob, target)
    except FileNotFoundError:
        raise
    except OSError:
        # A disk without hard links: it costs space, and nothing else.
        shutil.copy2(blob, target)
