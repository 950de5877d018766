"""The store: one grammar of paths, stages that are reused, and damage that is found before it is used."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import CorruptFile, DiskFull, NameInvalid, NotFound
from linnet.core.events import Event
from linnet.core.files import read_json, write_bytes
from linnet.core.names import GRAMMAR, is_name, split_version
from linnet.core.store import RECORD, Step, Store, verify_files
from tests.tiny import tiny_specialist

BAD_NAMES = ["../x", "a/../../b", "CON", "con", "con.txt", "a:b:c", "a" * 300, "a\0", "x\n", "🐦", "-rf"]
BAD_NAMES += ["", ".", "..", ".hidden", "a..b", "a.", "/etc", "a\\b", "a b", "ä", "~", "$(id)", "; rm -rf ~"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


class Stage:
    """A stage that copies its input into a file and counts how often it ran."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.runs = 0
        self.events: list[Event] = []

    def __call__(self, text: str = "a") -> Step:
        def work(folder: Path) -> dict[str, Any]:
            self.runs += 1
            write_bytes(folder / "deep" / "out.txt", text.encode())
            (folder / ".scratch").write_text("not an output")
            return {"length": len(text)}

        return self.store.step("prepare", {"text": text}, work, self.events.append, label="examples")

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_abuse_13_names_outside_the_grammar(store: Store, name: str) -> None:
    before = sorted(p for p in store.root.parent.rglob("*"))
    for call in (
        lambda: store.path("specialists", name),
        lambda: store.find(name),
        lambda: store.remove(name),
        lambda: store.versions(name),
        lambda: store.find(f"{name}:1"),
        lambda: store.locked(name, "it").__enter__(),
    ):
        with pytest.raises(NameInvalid) as caught:
            call()
        assert caught.value.hint == GRAMMAR
        assert len(caught.value.message) < 500
    assert sorted(p for p in store.root.parent.rglob("*")) == before


@pytest.mark.parametrize("version", ["", "0", "01", "-1", "1.0", "1:2", "²", "1000000", "Latest", " 1"])
def test_abuse_13_versions_outside_the_grammar(store: Store, version: str) -> None:
    with pytest.raises(NameInvalid):
        store.find(f"support:{version}")


def test_names_inside_the_grammar(store: Store) -> None:
    for name in ("a", "0", "support", "a.b-c_d", "a" * 64, "console", "com"):
        assert is_name(name)
        assert store.path("specialists", name).parent == store.root / "specialists"
    assert split_version("support") == split_version("support:latest") == ("support", None)
    assert split_version("support:12") == ("support", 12)


def test_the_store_is_private(store: Store) -> None:
    assert store.root.stat().st_mode & 0o777 == 0o700


def test_the_same_inputs_are_reused(store: Store) -> None:
    stage = Stage(store)
    first, second = stage(), stage()
    assert (first.reused, second.reused, stage.runs) == (False, True, 1)
    assert first.run == second.run
    assert second.result == {"length": 1}
    assert list(second.run.files) == ["deep/out.txt"]
    assert second.sha256("deep/out.txt") == first.run.files["deep/out.txt"].sha256
    assert stage.kinds() == ["start", "done", "reused"]


def test_a_changed_input_runs_again_beside_the_old_one(store: Store) -> None:
    stage = Stage(store)
    first, second = stage("a"), stage("b")
    assert (second.reused, stage.runs) == (False, 2)
    assert first.folder != second.folder
    assert stage("a").reused


def test_changed_code_runs_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(store)
    stage()
    monkeypatch.setattr("linnet.core.store.code_version", lambda: "0.0.0+other")
    assert not stage().reused


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def no_record(path: Path) -> None:
    path.write_text('{"id": 1}')


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("deep/out.txt", flip, "its sha256 differs"),
        ("deep/out.txt", Path.unlink, "is missing"),
        (RECORD, lambda path: path.write_text("{"), "is not valid JSON"),
        (RECORD, lambda path: path.write_bytes(b""), "is not valid JSON"),
        (RECORD, no_record, "its record is damaged"),
    ],
)
def test_damage_is_reported_and_made_again(
    store: Store, file: str, damage: Callable[[Path], object], message: str
) -> None:
    stage = Stage(store)
    damage(stage().folder / file)
    stage.events.clear()
    again = stage()
    assert (again.reused, stage.runs) == (False, 2)
    assert stage.kinds() == ["warning", "start", "done"]
    assert message in stage.events[0].message
    assert "The stage is run again." in stage.events[0].message
    verify_files(again.folder, again.run.files)
    assert stage().reused


def test_a_stage_without_a_record_is_not_finished(store: Store, arm: Callable[[str], None]) -> None:
    stage = Stage(store)
    arm("record.write=enospc")
    with pytest.raises(DiskFull, match="run the same command again"):
        stage()
    (folder,) = store.path("runs").iterdir()
    assert not (folder / RECORD).exists()
    assert not stage().reused
    assert stage().reused
    assert stage.runs == 2


def test_a_full_disk_inside_a_stage_is_an_error_of_the_tree(store: Store) -> None:
    def work(_: Path) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="the disk is full"):
        store.step("prepare", {}, work)


KILLED = """
import sys
from pathlib import Path
from linnet.core.files import write_bytes
from linnet.core.store import Store

def work(folder):
    (folder / "left").write_text("kept") if not (folder / "left").exists() else None
    write_bytes(folder / "out.txt", b"whole")
    return {"left": (folder / "left").read_text()}

print(Store(Path(sys.argv[1])).step("tune", {}, work).reused)
"""


@pytest.mark.parametrize("point", ["record.write", "files.write", "files.rename:2", "files.dirsync:2"])
def test_a_killed_stage_goes_on_where_it_was(tmp_path: Path, point: str) -> None:
    def run(failpoints: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LINNET_FAILPOINTS": failpoints}
        command = [sys.executable, "-c", KILLED, str(tmp_path / "home")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert run(f"{point}=kill").returncode == -signal.SIGKILL
    again = run("")
    assert again.stdout == ("True\n" if point == "files.dirsync:2" else "False\n"), again.stderr
    assert run("").stdout == "True\n"


def test_versions_names_and_find(store: Store) -> None:
    assert (store.names(), store.versions("support")) == ([], [])
    for version in (1, 2, 10):
        tiny_specialist(store, "support", ["refund", "delivery"], version)
    tiny_specialist(store, "billing", ["yes", "no"])
    assert store.names() == ["billing", "support"]
    assert store.versions("support") == [1, 2, 10]
    assert [store.find(name)[0].version for name in ("support", "support:latest", "support:2")] == [10, 10, 2]
    specialist, folder = store.find("support:2")
    assert folder == store.root / "specialists" / "support" / "2"
    verify_files(folder, specialist.files)


def test_what_is_not_there_is_named_with_the_nearest(store: Store) -> None:
    tiny_specialist(store, "support", ["refund", "delivery"])
    with pytest.raises(NotFound, match='Did you mean "support"'):
        store.find("suport")
    with pytest.raises(NotFound, match=r"support has no version 7\.\nIt has: 1\."):
        store.find("support:7")


def test_stray_folders_are_passed_over(store: Store) -> None:
    tiny_specialist(store, "support", ["refund", "delivery"])
    room = store.path("specialists")
    for stray in ("support/3", "support/.4.partial", "support/notes", "support/²/x", "empty", "Bad Name/1", ".git"):
        (room / stray).mkdir(parents=True)
    for stray in ("support/²", "support/01", "Bad Name/1"):
        (room / stray).mkdir(exist_ok=True)
        shutil.copy(room / "support" / "1" / RECORD, room / stray / RECORD)
    (room / "a-file").write_text("")
    assert store.names() == ["support"]
    assert store.versions("support") == [1]
    assert store.find("support")[0].version == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": "support"}'])
def test_a_damaged_specialist_is_not_used(store: Store, content: bytes) -> None:
    tiny_specialist(store, "support", ["refund", "delivery"])
    store.path("specialists", "support", "1").joinpath(RECORD).write_bytes(content)
    with pytest.raises(CorruptFile, match=RECORD):
        store.find("support")


@pytest.mark.parametrize("name", ["support", "a" * 64])
def test_remove(store: Store, name: str) -> None:
    for version in (1, 2, 3):
        tiny_specialist(store, name, ["refund", "delivery"], version)
    assert store.remove(f"{name}:2") == [f"{name}:2"]
    assert store.versions(name) == [1, 3]
    assert store.remove(name) == [f"{name}:1", f"{name}:3"]
    assert store.names() == []
    with pytest.raises(NotFound):
        store.remove(name)


def test_one_flipped_bit_is_found(store: Store) -> None:
    specialist = tiny_specialist(store, "support", ["refund", "delivery"])
    folder = store.path("specialists", "support", "1")
    flip(folder / "engine" / "model.onnx")
    with pytest.raises(CorruptFile, match=r"model\.onnx is not the file that was written"):
        verify_files(folder, specialist.files)
    assert read_json(folder / RECORD)["name"] == "support"
