from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from linnet.core.database import Database
from linnet.core.errors import StoreError
from linnet.core.store import Store

TABLE = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(Store(tmp_path / "home"), [TABLE])


def count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute("SELECT COUNT(*) FROM notes").fetchone()[0])


def _break_off(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('lost')")
        raise RuntimeError("in the middle")


def test_a_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('kept')")
    with pytest.raises(RuntimeError, match="in the middle"):
        _break_off(database)
    assert count(database) == 1


def test_a_reader_waits_for_no_writer(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('new')")
        assert count(database) == 0
    assert count(database) == 1


def test_the_first_opening_waits_for_who_makes_the_file(database: Database, tmp_path: Path) -> None:
    """SQLite refuses at once, without waiting, when two connections change a file to WAL."""
    store, entered = Store(tmp_path / "home"), threading.Event()

    def make() -> None:
        with store.locked("linnet.db", "The database"):
            with sqlite3.connect(store.path("linnet.db"), isolation_level=None) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                entered.set()
                time.sleep(0.3)
                connection.execute("COMMIT")
            connection.close()

    maker = threading.Thread(target=make)
    maker.start()
    entered.wait()
    assert count(database) == 0
    maker.join()


def test_many_processes_open_it_for_the_first_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from linnet.core.database import Database\n"
        "from linnet.core.store import Store\n"
        f"database = Database(Store(Path(sys.argv[1])), [{TABLE!r}])\n"
        "for number in range(5):\n"
        "    with database.transaction() as connection:\n"
        "        connection.execute('INSERT INTO notes (text) VALUES (?)', (str(number),))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "home")]) for _ in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert count(Database(Store(tmp_path / "home"), [TABLE])) == 30


def test_only_the_owner_reads_it(database: Database) -> None:
    count(database)
    assert database.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_named(database: Database) -> None:
    database.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"linnet\.db"):
        count(database)
