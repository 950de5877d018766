"""Blobs that a client sends before a model names them: hashed while they are written, kept aside until they are used.

blobs/partial/<hash of "sent <sha256>">   a whole upload. What nobody used for a week goes with the next `rm`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from linnet.core.blobs import blob_file, blob_path, partial_path, publish_blob
from linnet.core.errors import InputError, NotFound, os_errors
from linnet.core.failpoints import failpoint
from linnet.core.files import CHUNK, check_space, make_folder, sha256_bytes, sha256_file
from linnet.core.names import check_digest
from linnet.core.records import ModelFile
from linnet.core.store import Store


def _sent_path(store: Store, sha256: str) -> Path:
    return partial_path(store, sha256_bytes(f"sent {check_digest(sha256)}".encode()))


def is_here(store: Store, sha256: str) -> bool:
    """Whether these bytes are in the store, used or not. Raises NameInvalid."""
    return blob_path(store, sha256).is_file() or _sent_path(store, sha256).is_file()


def claim(store: Store, sha256: str) -> ModelFile:
    """The record of a blob that is there or was sent. Call it inside `writing_blobs`. Raises NotFound, NameInvalid."""
    final, sent = blob_path(store, sha256), _sent_path(store, sha256)
    with store.locked(f"blobs/{sent.name}", f"The blob {sha256[:12]}"):
        if not final.is_file():
            if not sent.is_file():
                raise NotFound(f"There is no blob sha256:{sha256}.", "Send it first, to /api/blobs/sha256:...")
            publish_blob(store, sent, sha256)
    return blob_file(store, sha256)


class Upload:
    """One blob on its way in. `write` its pieces, then `finish`; `abort` at any time leaves nothing behind.

    `size_bytes` is what was announced, None where nothing was. Raises DiskFull before the first byte, NameInvalid.
    """

    def __init__(self, store: Store, sha256: str, size_bytes: int | None) -> None:
        self._store, self._sha256 = store, check_digest(sha256)
        self._announced, self._written = size_bytes, 0
        self._digest = hashlib.sha256()
        self._path = partial_path(store, secrets.token_hex(32))
        check_space(store.root, size_bytes or 0, "Receiving a blob")
        with os_errors(self._path, "Writing"):
            make_folder(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")

    @property
    def written_bytes(self) -> int:
        return self._written

    def write(self, piece: bytes) -> None:
        """Append a piece. Raises DiskFull, StoreError."""
        with os_errors(self._path, "Writing"):
            failpoint("upload.write")
            self._file.write(piece)
        self._digest.update(piece)
        before, self._written = self._written, self._written + len(piece)
        if self._announced is None and before // (64 * CHUNK) != self._written // (64 * CHUNK):
            check_space(self._store.root, 64 * CHUNK, "Receiving a blob")

    def finish(self) -> None:
        """Keep it under its name, synced. Raises InputError when the bytes are not what the name says."""
        found = self._digest.hexdigest()
        if found != self._sha256:
            raise InputError(f"The bytes have sha256 {found}, not the one that was said.", "Send them again.")
        with os_errors(self._path, "Writing"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(_sent_path(self._store, self._sha256))

    def abort(self) -> None:
        """Remove what was written; does nothing after `finish`."""
        with os_errors(self._path, "Removing"):
            self._file.close()
            self._path.unlink(missing_ok=True)


def take_file(store: Store, path: Path) -> str:
    """Send a file of this machine: its sha256. Raises NotFound, DiskFull."""
    sha256 = sha256_file(path)
    if is_here(store, sha256):
        return sha256
    upload = Upload(store, sha256, path.stat().st_size)
    try:
        with os_errors(path, "Reading"), path.open("rb") as handle:
            while piece := handle.read(CHUNK):
                upload.write(piece)
        upload.finish()
    finally:
        upload.abort()
    return sha256
