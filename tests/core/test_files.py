"""Files are whole or absent, whatever fails: the old content or the new one, and never a half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core import files
from linnet.core.errors import CorruptFile, DiskFull, NotFound, ResourceMissing, StoreError

WRITE = """
import sys
from pathlib import Path
from linnet.core.errors import LinnetError
from linnet.core.files import write_bytes
try:
    write_bytes(Path(sys.argv[1]), b"new")
except LinnetError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""
POINTS = ("files.write", "files.fsync", "files.rename", "files.dirsync")


def write_under(path: Path, failpoints: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITE, str(path)],
        env={**os.environ, "LINNET_FAILPOINTS": failpoints},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("mode", ["enospc", "error", "kill"])
@pytest.mark.parametrize("point", POINTS)
def test_a_write_that_fails_leaves_a_whole_file(tmp_path: Path, point: str, mode: str) -> None:
    path = tmp_path / "kept.bin"
    path.write_bytes(b"old")
    done = write_under(path, f"{point}={mode}")
    assert path.read_bytes() == (b"new" if point == "files.dirsync" else b"old")
    left = [p.name for p in tmp_path.iterdir() if p != path]
    if mode == "kill":
        assert done.returncode == -signal.SIGKILL
        assert all(name.endswith(".partial") for name in left)
        assert write_under(path, "").returncode == 0
        assert path.read_bytes() == b"new"
        return
    assert left == []
    if mode == "enospc":
        assert done.returncode == 4
        assert "DiskFull" in done.stdout
        assert "the disk is full" in done.stdout
        assert "run the same command again" in done.stdout
    else:
        assert done.returncode == 1
        assert done.stdout.startswith("StoreError")
    assert str(path if point != "files.dirsync" else tmp_path) in done.stdout


def test_nothing_stands_under_a_new_name_after_a_failure(tmp_path: Path, arm: Callable[[str], None]) -> None:
    arm("files.fsync=enospc")
    with pytest.raises(DiskFull):
        files.write_bytes(tmp_path / "new.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_caller_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "kept.bin"
    path.write_bytes(b"old")

    def half() -> None:
        with files.atomic_file(path) as handle:
            handle.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_json_goes_round_and_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    value = {"b": [1, None, "ü\u2028"], "a": 0.1}
    files.write_json(path, value)
    assert files.read_json(path) == value
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == value
    assert files.canonical(value) == '{"a":0.1,"b":[1,null,"ü\u2028"]}'.encode()


@pytest.mark.parametrize("data", [b"{", b"", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_a_corrupt_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match=r"a\.json is not valid JSON"):
        files.read_json(path)


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        files.read_json(tmp_path / "absent.json")
    with pytest.raises(NotFound):
        files.sha256_file(tmp_path / "absent.json")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        files.write_bytes(tmp_path / "file" / "below", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_names_the_next_step(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceMissing, match="LINNET_HOME"):
        files.write_bytes(tmp_path / "a", b"")


def test_hashes_agree(tmp_path: Path) -> None:
    data = os.urandom(3 * files.CHUNK + 7)
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_file(tmp_path / "a") == files.sha256_bytes(data)


def test_new_files_and_folders_are_private(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "room" / "a", b"")
    assert (tmp_path / "room").stat().st_mode & 0o077 == 0
    assert (tmp_path / "room" / "a").stat().st_mode & 0o077 == 0


def test_a_published_folder_replaces_the_older_one(tmp_path: Path) -> None:
    final, partial = tmp_path / "final", tmp_path / "partial"
    for folder, text in ((final, "old"), (partial, "new")):
        files.write_bytes(folder / "engine" / "a", text.encode())
    files.publish_folder(partial, final)
    assert (final / "engine" / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["final"]


def test_space_is_checked_before_the_start(tmp_path: Path) -> None:
    files.check_space(tmp_path / "not" / "there" / "yet", 1, "Training")
    with pytest.raises(DiskFull, match=r"Training needs \d+ MB on the disk of .* MB are free") as caught:
        files.check_space(tmp_path, 10**18, "Training")
    assert caught.value.exit_code == 4
    assert "LINNET_HOME" in caught.value.hint
