"""An export is whole or absent, holds the recorded bytes, and replaces nothing but an earlier export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core.errors import CorruptFile, DiskFull, InputError, LinnetError
from linnet.core.files import sha256_bytes
from linnet.core.records import FileEntry
from linnet.core.store import Store
from linnet.stages.export import MARK, Contents, Piece, export, export_file

WEIGHTS = bytes(range(256)) * 9000
FACTS = {"name": "mail:1", "to": "dir"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def piece(tmp_path: Path) -> Piece:
    path = tmp_path / "weights"
    path.write_bytes(WEIGHTS)
    return Piece(path, FileEntry(sha256=sha256_bytes(WEIGHTS), size_bytes=len(WEIGHTS)))


@pytest.fixture
def contents(piece: Piece) -> Contents:
    return {"engine/model.onnx": piece, "README.md": b"# mail:1\n"}


def tree(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_holds_the_files_and_their_hashes(store: Store, contents: Contents, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = export(store, contents, out, FACTS)
    assert tree(out) == {"engine/model.onnx", "README.md", MARK}
    assert (out / "engine" / "model.onnx").read_bytes() == WEIGHTS
    mark = json.loads((out / MARK).read_text())
    assert mark["name"] == "mail:1"
    assert mark["files"] == {name: entry.to_json() for name, entry in written.items()}
    assert mark["files"]["README.md"]["sha256"] == sha256_bytes(b"# mail:1\n")


def test_a_copy_is_no_other_name_of_the_stores_file(store: Store, piece: Piece, tmp_path: Path) -> None:
    """Whoever edits an export must not change what the store holds."""
    export_file(store, piece, tmp_path / "x.gguf")
    assert (tmp_path / "x.gguf").stat().st_ino != piece.path.stat().st_ino
    (tmp_path / "x.gguf").write_bytes(b"mine")
    assert piece.path.read_bytes() == WEIGHTS


def test_an_earlier_export_is_replaced_with_force_alone(store: Store, contents: Contents, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(store, contents, out, FACTS)
    with pytest.raises(InputError, match="exists"):
        export(store, {"other.md": b"x"}, out, FACTS)
    assert "README.md" in tree(out)
    export(store, {"other.md": b"x"}, out, FACTS, force=True)
    assert tree(out) == {"other.md", MARK}


def test_a_folder_of_somebody_else_stays(store: Store, contents: Contents, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("years")
    with pytest.raises(InputError, match="no export wrote"):
        export(store, contents, out, FACTS, force=True)
    assert tree(out) == {"chapter.txt"}


@pytest.mark.parametrize("place", ["missing/out", "store/out", "link", "file"])
def test_a_place_that_will_not_do_is_refused(store: Store, contents: Contents, tmp_path: Path, place: str) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError):
        export(store, contents, tmp_path / place, FACTS, force=True)
    assert (tmp_path / "file").read_text() == "mine"
    assert not list((tmp_path / "target").iterdir())


def test_a_changed_file_is_never_exported(store: Store, contents: Contents, piece: Piece, tmp_path: Path) -> None:
    piece.path.write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(CorruptFile, match="sha256 differs"):
        export(store, contents, tmp_path / "out", FACTS)
    with pytest.raises(CorruptFile, match="sha256 differs"):
        export_file(store, piece, tmp_path / "x.gguf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "weights"]


@pytest.mark.parametrize("point", ["files.write", "files.write:2", "files.fsync:2", "files.rename:3"])
def test_a_full_disk_leaves_nothing(
    store: Store, contents: Contents, tmp_path: Path, arm: Callable[[str], None], point: str
) -> None:
    arm(f"{point}=enospc")
    with pytest.raises(DiskFull):
        export(store, contents, tmp_path / "out", FACTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "weights"]
    export(store, contents, tmp_path / "out", FACTS)


def test_a_full_disk_keeps_the_earlier_export(
    store: Store, contents: Contents, tmp_path: Path, arm: Callable[[str], None]
) -> None:
    export(store, contents, tmp_path / "out", FACTS)
    arm("files.fsync:2=enospc")
    with pytest.raises(LinnetError):
        export(store, contents, tmp_path / "out", FACTS, force=True)
    assert (tmp_path / "out" / "engine" / "model.onnx").read_bytes() == WEIGHTS
