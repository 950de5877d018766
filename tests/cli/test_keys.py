"""`linnet keys`, and `linnet serve --check`, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app_of
from linnet.core.errors import InputError, NotFound
from linnet.core.keys import Keys
from linnet.core.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def linnet(*arguments: str) -> Result:
    return CliRunner().invoke(app_of(), arguments)


def test_made_shown_once_and_revoked(home: Path) -> None:
    assert linnet("keys", "list").stdout == "There are no keys.\n"
    made = json.loads(linnet("keys", "create", "ci", "--model", "tiny", "--right", "embed", "--json").stdout)
    found = Keys(Store(home)).find(made["key"])
    assert found is not None
    assert (found.name, found.models, found.rights) == ("ci", ("tiny",), ("embed",))
    shown = linnet("keys", "list")
    assert f"{found.id}  ci  embed  tiny  8 at once" in shown.stdout
    assert made["key"][13:] not in shown.stdout + linnet("keys", "list", "--json").stdout
    assert linnet("keys", "revoke", "ci").stdout == f"revoked {found.id}  ci\n"
    assert json.loads(linnet("keys", "list", "--json").stdout)[0]["revoked"]
    assert isinstance(linnet("keys", "revoke", "ci").exception, NotFound)
    plain = linnet("keys", "create", "other")
    assert Keys(Store(home)).find(plain.stdout.strip())


def test_check_says_what_would_be_open(home: Path) -> None:
    local = json.loads(linnet("serve", "--check", "--json", "--port", "0").stdout)
    assert local["reachable_by"] == "this machine only"
    assert local["open_without_key"] == ["every route"]
    refused = linnet("serve", "--check", "--host", "0.0.0.0")
    assert isinstance(refused.exception, InputError)
    assert "linnet keys create" in str(refused.exception)
    assert isinstance(linnet("serve", "--check", "--require-key").exception, InputError)
    text = json.loads(linnet("keys", "create", "ci", "--json").stdout)["key"]
    public = linnet("serve", "--check", "--host", "0.0.0.0", "--host-name", "box.lan")
    assert "every machine" in public.stdout
    assert "127.0.0.1, localhost, ::1, 0.0.0.0, box.lan" in public.stdout
    assert "/healthz" in public.stdout
    assert "ci (" in public.stdout
    assert "encryption    none" in public.stdout
    assert text not in public.stdout
    assert isinstance(linnet("serve", "--check", "--host-name", "http://x").exception, InputError)
