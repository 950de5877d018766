"""The store's SQLite file: one way to open it, safe between threads and processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from linnet.core.errors import StoreError
from linnet.core.store import Store

NAME = "linnet.db"
BUSY_S = 10.0  # how long a writer waits for the others; each of them writes for milliseconds


class Database:
    """Some tables of the store's file. `tables` are statements that may be run again (CREATE ... IF NOT EXISTS)."""

    def __init__(self, store: Store, tables: Sequence[str], *, synchronous: str = "FULL") -> None:
        self._store = store
        self._tables = tuple(tables)
        self._synchronous = synchronous
        self._is_ready = False
        self.path = store.path(NAME)

    def exists(self) -> bool:
        return self.path.exists()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, inside one write transaction: kept as a whole, or not at all. Raises StoreError."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the tables; waits for no writer. Raises StoreError."""
        with self._connected() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self._prepare()
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA synchronous={self._synchronous}")
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"The database {self.path} cannot be used: {error}.") from error

    def _prepare(self) -> None:
        """Make the file and the tables, once. Under a lock: SQLite waits for nobody while it changes to WAL."""
        if self._is_ready and self.path.exists():
            return
        with self._store.locked(NAME, "The database"):
            self.path.touch(mode=0o600)
            with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                for statement in self._tables:
                    connection.execute(statement)
        self._is_ready = True
