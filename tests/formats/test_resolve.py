"""Every form of a model's name leads to one model, or to an error that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import InputError, LinnetError, NameInvalid, NotFound
from linnet.core.store import Store
from linnet.formats.resolve import resolve_model
from linnet.stages.import_ import import_
from tests import gguf_files
from tests.core.test_store import BAD_NAMES


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return gguf_files.tiny(tmp_path / "tiny.gguf")


def test_names(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = import_(store, file, "mine:v1")
    assert resolve_model(store, "mine") == resolve_model(store, "mine:v1") == stored
    assert stored.digest
    monkeypatch.chdir(file.parent)
    for name in (str(file), "./tiny.gguf", "tiny.gguf"):
        found = resolve_model(store, name)
        assert (found.path, found.digest, found.format, found.kind) == (str(file), "", "gguf", "decoder")
    import_(store, file, "tiny.gguf:x")
    assert resolve_model(store, "tiny.gguf").name == "tiny.gguf:x"  # the store comes first


@pytest.mark.parametrize("name", [n for n in BAD_NAMES if n not in ("", ".", "..")])
def test_abuse_13_no_path_where_none_is_allowed(store: Store, name: str) -> None:
    before = sorted(store.root.rglob("*"))
    with pytest.raises(NameInvalid):
        resolve_model(store, name, paths=False)
    with pytest.raises(LinnetError):
        resolve_model(store, name)
    assert sorted(store.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("builtin:x", NotFound, "Known: builtin:minilm"),
        ("hf:org/tiny:Q8_0", NotFound, "Fetch it with: linnet pull hf:org/tiny:Q8_0"),
        ("hf:org", NameInvalid, "A hub name is"),
        ("absent", NotFound, "No model is called 'absent'"),
        ("./absent", NotFound, "no such file or folder"),
    ],
)
def test_what_leads_nowhere(store: Store, name: str, kind: type[LinnetError], message: str) -> None:
    with pytest.raises(kind, match=message):
        resolve_model(store, name)


def test_several_tags(store: Store, file: Path) -> None:
    import_(store, file, "mine:v1")
    import_(store, file, "mine:v2")
    with pytest.raises(InputError, match="Say which: mine:v1, mine:v2"):
        resolve_model(store, "mine")
