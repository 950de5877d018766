"""Runs found by the beginning of their id, with their state; and a curve that is not written twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import CorruptFile, InputError, NameInvalid, NotFound
from linnet.core.events import Event, silent
from linnet.core.files import make_folder, write_json
from linnet.core.runs import LOG, REQUEST, find_run, list_runs, logged, read_log
from linnet.core.store import Store


def step(number: int, loss: float) -> Event:
    return Event("progress", "tune", "full", number, 9, {"loss": loss})


def epoch(number: int, at: int) -> Event:
    return Event("note", "tune", "", data={"epoch": number, "step": at, "train_loss": 1.0, "validation_loss": 2.0})


def resumed(at: int, epochs: int) -> Event:
    return Event("note", "tune", "", data={"resumed_step": at, "resumed_epoch": epochs})


def write(folder: Path, *events: Event) -> bytes:
    with logged(folder, silent) as tell:
        for event in events:
            tell(event)
    return (folder / LOG).read_bytes()


def test_a_resumed_curve_is_the_curve(tmp_path: Path) -> None:
    whole = [step(1, 3.0), step(2, 2.5), epoch(1, 2), step(3, 2.0), step(4, 1.5), epoch(2, 4)]
    expected = write(tmp_path, *whole)
    assert [entry["step"] for entry in read_log(tmp_path)] == [1, 2, 2, 3, 4, 4]
    for cut, at, done in ((1, 0, 0), (4, 2, 0), (4, 2, 1), (5, 3, 1)):
        (tmp_path / LOG).unlink()
        write(tmp_path, *whole[:cut])
        rest = [e for e in whole if (e.done > at if e.kind == "progress" else e.data["epoch"] > done)]
        assert write(tmp_path, *([resumed(at, done)] if at else []), *rest) == expected


def test_a_line_that_a_crash_cut_is_left_out_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    write(tmp_path, step(1, 3.0))
    with (tmp_path / LOG).open("a") as handle:
        handle.write('{"step": 2, "lo')
    assert [entry["step"] for entry in read_log(tmp_path)] == [1]
    with (tmp_path / LOG).open("a") as handle:
        handle.write("\n")
    with pytest.raises(CorruptFile, match="not JSON"):
        read_log(tmp_path)


def make(store: Store, name: str, **request: Any) -> Path:
    folder = store.path("runs", name)
    make_folder(folder)
    if request:
        write_json(folder / REQUEST, request)
    return folder


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert list_runs(store) == []
    make(store, "tune-aaa1", started="2")
    make(store, "tune-aaa2", started="1")
    make(store, "prepare-bbb1")
    assert [view.id for view in list_runs(store)] == ["prepare-bbb1", "tune-aaa2", "tune-aaa1"]
    assert [view.id for view in list_runs(store, "tune")] == ["tune-aaa2", "tune-aaa1"]
    assert find_run(store, "aaa1").id == find_run(store, "tune-aaa1").id == "tune-aaa1"
    assert find_run(store, "bbb").stage == "prepare"
    with pytest.raises(InputError, match="beginning of 2 runs"):
        find_run(store, "tune")
    with pytest.raises(NotFound, match='Did you mean "tune-aaa1"'):
        find_run(store, "tune-aab1")
    with pytest.raises(NotFound, match="No tune run"):
        find_run(store, "bbb", "tune")
    with pytest.raises(NameInvalid):
        find_run(store, "../x")


def test_a_run_says_whether_it_is_running(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = make(store, "tune-aaa1", started="1")
    assert find_run(store, "aaa1").state == "stopped"
    with store.locked("tune-aaa1", "it"):
        assert find_run(store, "aaa1").state == "running"
    write_json(folder / "record.json", {"id": "tune-aaa1"})
    assert find_run(store, "aaa1").state == "damaged"
