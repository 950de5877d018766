"""The keys of the server: made here, shown once, kept as hashes in the store's database. Knows no HTTP.

A key is `lnt_<id>_<secret>`: the id finds its row, and of the secret only its SHA-256 is kept. The secret is 256 random
bits, so that a plain hash cannot be turned back by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from linnet.core.database import Database
from linnet.core.errors import InputError, NotFound, StoreError
from linnet.core.names import check_name
from linnet.core.records import Record
from linnet.core.store import Store

PREFIX = "lnt_"
RIGHTS = ("generate", "embed", "classify", "manage")
USUAL_RIGHTS = ("generate", "embed", "classify")
CONCURRENCY = 8
MAX_CONCURRENCY = 64
FRESH_S = 1.0  # how long a server may go on with what it read: a revoked key ends within it
_KEY = re.compile(r"lnt_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_TABLE = """CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, models TEXT NOT NULL, rights TEXT NOT NULL,
    concurrency INTEGER NOT NULL, created TEXT NOT NULL, revoked TEXT NOT NULL DEFAULT '')"""


class Key(Record):
    """What is known of a key; not the key. `models` empty means every model. Times are RFC 3339, empty for never."""

    id: str
    name: str
    models: tuple[str, ...]
    rights: tuple[str, ...]
    concurrency: int
    created: str
    revoked: str = ""

    def may(self, right: str) -> bool:
        return right in self.rights

    def may_use(self, model: str) -> bool:
        """Whether the key is for this model: by its whole name, or by the name before the colon."""
        if not self.models or {model, f"{model}:latest"} & set(self.models):
            return True
        return any(":" not in known and model.startswith(f"{known}:") for known in self.models)


class Keys:
    """The keys of one store. Safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self._database = Database(store, [_TABLE])
        self._read_at = -FRESH_S
        self._found: dict[str, tuple[Key, str]] = {}

    def create(
        self, name: str, *, models: Sequence[str] = (), rights: Sequence[str] = (), concurrency: int = CONCURRENCY
    ) -> tuple[Key, str]:
        """A new key and its text, which is kept nowhere. Raises InputError, NameInvalid, StoreError."""
        check_name(name, "key name")
        chosen = tuple(dict.fromkeys(rights)) or USUAL_RIGHTS
        if wrong := sorted(set(chosen) - set(RIGHTS)):
            raise InputError(f"{wrong[0][:40]!r} is no right.", f"Rights are {', '.join(RIGHTS)}.")
        if not 1 <= concurrency <= MAX_CONCURRENCY:
            raise InputError(f"A key's concurrency is 1 to {MAX_CONCURRENCY}, not {concurrency}.")
        if any(not model or len(model) > 200 or not model.isprintable() for model in models):
            raise InputError("A model's name is empty, too long, or not printable.")
        secret, made = secrets.token_urlsafe(32), datetime.now(UTC).isoformat(timespec="seconds")
        key = Key(
            id=secrets.token_hex(4),
            name=name,
            models=tuple(dict.fromkeys(models)),
            rights=chosen,
            concurrency=concurrency,
            created=made,
        )
        row = (key.id, name, _hash(secret), json.dumps(key.models), json.dumps(chosen), concurrency, made)
        with self._database.transaction() as database:
            if any(known.name == name and not known.revoked for known, _ in _rows(database)):
                raise InputError(
                    f"There is a key called {name} already.", f"Revoke it first: linnet keys revoke {name}"
                )
            columns = "id, name, hash, models, rights, concurrency, created"
            database.execute(f"INSERT INTO keys ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        return key, f"{PREFIX}{key.id}_{secret}"

    def all(self) -> list[Key]:
        """Every key, also the revoked, the oldest first. Raises StoreError."""
        return sorted((key for key, _ in self._read()), key=lambda key: (key.created, key.id))

    def active(self) -> list[Key]:
        return [key for key in self.all() if not key.revoked]

    def revoke(self, name: str) -> Key:
        """End the key of this name or id. Raises NotFound."""
        with self._database.transaction() as database:
            found = [key for key, _ in _rows(database) if name in (key.id, key.name) and not key.revoked]
            if not found:
                raise NotFound(f"There is no key called {name[:80]!r}.", "See them with: linnet keys list")
            ended = found[0].model_copy(update={"revoked": datetime.now(UTC).isoformat(timespec="seconds")})
            database.execute("UPDATE keys SET revoked = ? WHERE id = ?", (ended.revoked, ended.id))
        return ended

    def exist(self) -> bool:
        """Whether there is a key that was not revoked, as of a second ago. Raises StoreError."""
        self._refresh()
        return bool(self._found)

    def forget(self) -> None:
        """Read the keys again at the next question."""
        self._read_at = -FRESH_S

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at >= FRESH_S:
            self._found = {key.id: (key, digest) for key, digest in self._read() if not key.revoked}
            self._read_at = time.monotonic()

    def find(self, text: str) -> Key | None:
        """The key that a client showed; None for none of ours and for a revoked one. Compared in constant time."""
        self._refresh()
        match = _KEY.fullmatch(text)
        key, digest = self._found.get(match[1] if match else "", (None, _hash("")))
        is_right = hmac.compare_digest(_hash(match[2] if match else text), digest)
        return key if is_right and match else None

    def _read(self) -> list[tuple[Key, str]]:
        if not self._database.exists():
            return []
        with self._database.reading() as database:
            return list(_rows(database))


def _rows(database: sqlite3.Connection) -> Iterator[tuple[Key, str]]:
    columns = "id, name, models, rights, concurrency, created, revoked, hash"
    for row in database.execute(f"SELECT {columns} FROM keys"):  # noqa: S608 no value of a user's
        key = Key(
            id=row[0],
            name=row[1],
            models=_names(row[2]),
            rights=_names(row[3]),
            concurrency=row[4],
            created=row[5],
            revoked=row[6],
        )
        yield key, row[7]


def _names(text: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text))
    except ValueError as error:
        raise StoreError("The table of keys is damaged.", "Restore linnet.db from a copy, or remove it.") from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
