"""Every environment variable in one table, and nothing read beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import linnet
from linnet.core import settings
from linnet.core.errors import InputError

SOURCE = Path(linnet.__file__).parent
NUMBERS = [setting.name for setting in settings.SETTINGS if setting.is_number]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)


def test_every_setting_has_a_value_a_source_and_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_PORT", "8000")
    rows = {row.name: row for row in settings.table()}
    assert list(rows) == [setting.name for setting in settings.SETTINGS]
    assert (rows["LINNET_PORT"].value, rows["LINNET_PORT"].source) == ("8000", "environment")
    assert (rows["LINNET_HOST"].value, rows["LINNET_HOST"].source) == ("127.0.0.1", "default")
    assert rows["LINNET_HOME"].value == str(settings.home())
    assert all(row.meaning.endswith((".", ").")) for row in rows.values())


def test_the_source_reads_no_other_variable() -> None:
    known = {setting.name for setting in settings.SETTINGS}
    for path in SOURCE.rglob("*.py"):
        assert set(re.findall(r"\bLINNET_[A-Z_]*[A-Z]\b", path.read_text())) <= known, path


@pytest.mark.parametrize("name", NUMBERS)
def test_the_default_of_a_number_is_one(name: str) -> None:
    assert settings.get_number(name) == float(settings.get(name))


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf", "1e999", " ", "1,5"])
def test_what_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LINNET_LOADED", text)
    with pytest.raises(InputError, match=r"LINNET_LOADED=.* is not a number of 0 or more") as caught:
        settings.get_number("LINNET_LOADED")
    assert "e.g. 4" in caught.value.hint


def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_LOADED", "")
    assert settings.get_number("LINNET_LOADED") == 4


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert settings.home() == tmp_path / ".local" / "share" / "linnet"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert settings.home() == tmp_path / "data" / "linnet"
    monkeypatch.setenv("LINNET_HOME", "~/mine")
    assert settings.home() == tmp_path / "mine"
    monkeypatch.setenv("LINNET_HOME", "mine")
    assert settings.home().is_absolute()


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.threads() >= 1
    monkeypatch.setenv("LINNET_THREADS", "3")
    assert settings.threads() == 3
