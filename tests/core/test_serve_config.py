"""The configuration file of the server: every key checked, and the environment before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.core import settings
from linnet.core.errors import InputError, NotFound
from linnet.core.serve_config import read_config


@pytest.fixture(autouse=True)
def _no_file() -> Iterator[None]:
    yield
    settings.use_file({})


def written(folder: Path, text: str) -> Path:
    path = folder / "serve.toml"
    path.write_text(text)
    return path


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'port = 1234\nslots = 4\nmodels = ["a=/x.gguf", "b=/y.gguf"]\nrequire_key = true\ntrace_content = false\n'
    values = read_config(written(tmp_path, text))
    settings.use_file(values)
    assert settings.get_number("LINNET_PORT") == 1234
    assert settings.get_list("LINNET_MODELS") == ["a=/x.gguf", "b=/y.gguf"]
    assert settings.is_on("LINNET_REQUIRE_KEY")
    assert not settings.is_on("LINNET_TRACE_CONTENT")
    monkeypatch.setenv("LINNET_SLOTS", "3")
    assert settings.get("LINNET_SLOTS") == "3"
    sources = {row.name: row.source for row in settings.table()}
    assert (sources["LINNET_SLOTS"], sources["LINNET_PORT"]) == ("environment", "file")
    settings.use_file({})
    assert settings.get("LINNET_PORT") == "11500"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prot = 1", 'Did you mean "port"'),
        ("port = '1'", "number"),
        ("port = -1", "number"),
        ("port = true", "number"),
        ("slots = nan", "number"),
        ("host = 1", "text"),
        ("models = 'a'", "list"),
        ("models = ['a,b']", "comma"),
        ("require_key = 1", "true or false"),
        ("[server]\nport = 1", "unknown key"),
        ("port = ", "TOML"),
        ("config = 'x'", "unknown key"),
        ("key = 'lnt_x'", "unknown key"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_config(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="TOML"):
        read_config(tmp_path / "bytes.toml")
