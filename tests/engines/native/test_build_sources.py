"""Archives of sources: known by their bytes, unpacked inside one folder, refused by the entry's name."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from linnet.core.errors import CorruptFile, InputError, NotFound
from linnet.engines.native import build_sources as module
from linnet.engines.native.build_sources import KNOWN, PINNED, identify, source_root, unpack
from linnet.engines.scoring.llama_c import EXPECTED
from tests.engines.native_project import made_archive, pack, project


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, data


def test_the_files_of_an_archive_and_their_times(tmp_path: Path) -> None:
    archive = made_archive(tmp_path)
    assert unpack(archive, tmp_path / "out") == len(project())
    root = source_root(tmp_path / "out")
    assert root == tmp_path / "out" / "made-1.0" / "vendor" / "llama.cpp"
    assert (root / "LICENSE").read_text() == "made for a test\n"
    assert (root / "LICENSE").stat().st_mtime == 1_700_000_000
    assert unpack(archive, tmp_path / "out") == len(project())


@pytest.mark.parametrize(
    "bad",
    [
        entry("/tmp/absolute", data=b"x"),
        entry("a/../../outside", data=b"x"),
        entry("..", tarfile.DIRTYPE),
        entry("a\\b", data=b"x"),
        entry("a\nb", data=b"x"),
        entry("c:x", data=b"x"),
        entry("x" * 600, data=b"x"),
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("inside", tarfile.SYMTYPE, "made-1.0"),
        entry("hard", tarfile.LNKTYPE, "made-1.0/LICENSE"),
        entry("pipe", tarfile.FIFOTYPE),
        entry("device", tarfile.CHRTYPE),
    ],
    ids=lambda bad: repr(bad[0].name[:12]),
)
def test_what_leads_out_is_refused_by_name(tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes]) -> None:
    archive = pack(tmp_path / "bad.tar.gz", {}, (bad,))
    with pytest.raises(InputError) as caught:
        unpack(archive, tmp_path / "out")
    assert repr(bad[0].name[:100]).strip("'") in caught.value.message
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.tar.gz", "out"}
    assert not [path for path in tmp_path.rglob("out/*") if path.is_symlink() or path.is_fifo()]


def test_a_git_folder_is_left_out(tmp_path: Path) -> None:
    unpack(pack(tmp_path / "a.tar.gz", {"a/.git/config": "x", "a/b": "y"}), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == ["b"]


def test_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(tmp_path / "a.tar.gz", {"one": "x" * 100, "two": "y" * 100})
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(module, "MAX_FILES", 2)
    assert unpack(archive, tmp_path / "fits") == 2
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 99)
    with pytest.raises(InputError, match="'one' has 100 bytes; at most 99"):
        unpack(archive, tmp_path / "out")
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(module, "MAX_FILES", 1)
    with pytest.raises(InputError, match="more than 1 files"):
        unpack(archive, tmp_path / "out")


def test_a_small_archive_of_a_large_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 4 << 20)
    archive = pack(tmp_path / "a.tar.gz", {"zeros": "\0" * (8 << 20)})
    assert archive.stat().st_size < 100_000
    with pytest.raises(InputError, match="more than 4 MiB"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "flipped", "plain gzip"])
def test_what_is_no_whole_archive(tmp_path: Path, kind: str) -> None:
    whole = made_archive(tmp_path).read_bytes()
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # the checksum at the end
    data = {
        "cut": whole[: len(whole) // 2],
        "text": b"not an archive",
        "empty": b"",
        "flipped": bytes(flipped),
        "plain gzip": gzip.compress(b"words" * 500),
    }
    archive = tmp_path / "bad.tar.gz"
    archive.write_bytes(data[kind])
    with pytest.raises(InputError, match=r"bad\.tar\.gz is not a whole \.tar\.gz"):
        unpack(archive, tmp_path / "out")


def test_an_archive_is_known_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    archive = made_archive(tmp_path)
    found = identify(archive)
    assert (found.name, found.version, len(found.sha256)) == ("unknown", "", 64)
    renamed = archive.rename(tmp_path / PINNED.file_name)
    with pytest.raises(CorruptFile, match=PINNED.sha256):
        identify(renamed)
    with pytest.raises(NotFound):
        identify(tmp_path / "none.tar.gz")


def test_the_first_known_source_is_the_wheels() -> None:
    assert (PINNED, PINNED.name, PINNED.version) == (KNOWN[0], "xllamacpp", EXPECTED)
    assert PINNED.build_number == int(EXPECTED.rpartition(".")[2])


def test_an_archive_without_llama_cpp(tmp_path: Path) -> None:
    unpack(pack(tmp_path / "a.tar.gz", {"a/b": "y"}), tmp_path / "out")
    with pytest.raises(InputError, match=r"no llama\.cpp"):
        source_root(tmp_path / "out")
