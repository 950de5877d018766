"""Keys: shown once, kept as hashes, found again, ended."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError, NameInvalid, NotFound, StoreError
from linnet.core.keys import FRESH_S, USUAL_RIGHTS, Key, Keys
from linnet.core.store import Store


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(Store(tmp_path / "home"))


def test_a_key_is_found_by_its_text_and_nothing_else(keys: Keys) -> None:
    made, text = keys.create("ci", models=["stories"], concurrency=3)
    assert keys.find(text) == made
    assert (made.rights, made.models, made.concurrency) == (USUAL_RIGHTS, ("stories",), 3)
    other = keys.create("other")[1]
    for wrong in (
        "",
        "x",
        text[:-1],
        text + "x",
        text[:-1] + ("a" if text[-1] != "a" else "b"),
        f"lnt_{'0' * 8}_{'A' * 43}",
    ):
        assert keys.find(wrong) is None
    assert keys.find(other[:13] + text[13:]) is None  # one key's id with another's secret


def test_the_secret_is_kept_nowhere(keys: Keys, tmp_path: Path) -> None:
    text = keys.create("ci")[1]
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert text[13:].encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_revoked_key_ends_also_in_a_running_server(keys: Keys, tmp_path: Path) -> None:
    made, text = keys.create("ci")
    running = Keys(Store(tmp_path / "home"))
    assert running.find(text) == made
    assert keys.revoke("ci").revoked
    running._read_at -= FRESH_S
    assert running.find(text) is None
    assert [key.name for key in keys.all()] == ["ci"]
    assert keys.active() == []
    with pytest.raises(NotFound):
        keys.revoke("ci")
    assert keys.create("ci")[0].id != made.id  # the name is free again


@pytest.mark.parametrize(
    "fields",
    [{"name": "../x"}, {"name": ""}, {"rights": ["all"]}, {"concurrency": 0}, {"concurrency": 65}, {"models": ["a\n"]}],
)
def test_what_is_no_key(keys: Keys, fields: dict[str, Any]) -> None:
    with pytest.raises((InputError, NameInvalid)):
        keys.create(**{"name": "ci", **fields})
    assert keys.all() == []


def test_two_of_one_name(keys: Keys) -> None:
    keys.create("ci")
    with pytest.raises(InputError, match="already"):
        keys.create("ci")


def test_many_writers(keys: Keys, tmp_path: Path) -> None:
    def make(number: int) -> str:
        return Keys(Store(tmp_path / "home")).create(f"k{number}")[1]

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(make, range(16)))
    assert len(keys.active()) == 16
    assert all(keys.find(text) for text in texts)
    with sqlite3.connect(tmp_path / "home" / "linnet.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_database_is_said(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "home" / "linnet.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"linnet\.db"):
        keys.all()


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        ((), "anything", True),
        (("stories",), "stories", True),
        (("stories",), "stories:latest", True),
        (("stories",), "stories:v2", True),
        (("stories:latest",), "stories", True),
        (("stories:v2",), "stories", False),
        (("support:1",), "support:2", False),
        (("stories",), "stories2", False),
        (("builtin:nano",), "builtin:nano", True),
        (("builtin:nano",), "builtin:nano-tiny", False),
    ],
)
def test_models_of_a_key(models: tuple[str, ...], model: str, allowed: bool) -> None:
    key = Key(id="1", name="k", models=models, rights=("generate",), concurrency=1, created="")
    assert key.may_use(model) is allowed
