"""Calibration text: from a task, a table or a text, and never what a task is judged by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.errors import DataError, InputError, NotFound
from linnet.text.calibration import read_calibration

TASK = """[task]
name = "rooms"
kind = "generate"
input = "said"
output = "done"
[data]
train = "train.csv"
test = "test.csv"
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "task.toml").write_text(TASK)
    (tmp_path / "train.csv").write_text("said,done\nlight on,lamp\nlight off,dark\n")
    (tmp_path / "test.csv").write_text("said,done\nopen it,door\nclose it,shut\n")
    return tmp_path


def test_a_task_gives_its_training_data(task: Path) -> None:
    for path in (task, task / "task.toml"):
        found = read_calibration(path)
        assert found.name == "train.csv"
        assert [[turn.content for turn in chat.turns] for chat in found.chats] == [
            ["light on", "lamp"],
            ["light off", "dark"],
        ]


def test_test_data_is_refused(task: Path) -> None:
    (task / "deeper").mkdir()
    copied = task / "deeper" / "mine.csv"
    copied.write_bytes((task / "test.csv").read_bytes())
    for path in (task / "test.csv", copied):
        with pytest.raises(InputError, match="is test data"):
            read_calibration(path)
    assert len(read_calibration(task / "train.csv").chats) == 2


def test_the_test_split_of_a_prepared_dataset_is_refused(tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(json.dumps({"text": "hello", "label": "a"}) + "\n")
    (tmp_path / "record.json").write_text("{}")
    assert read_calibration(tmp_path / "train.jsonl").chats
    with pytest.raises(InputError, match="is test data"):
        read_calibration(tmp_path / "test.jsonl")


def test_a_text_is_one_passage(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("Once upon a time.\n")
    assert [chat.passage for chat in read_calibration(tmp_path / "own.txt").chats] == ["Once upon a time.\n"]


def test_a_table_of_unknown_columns_is_read_as_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("colour,room\nred,hall\nblue,\n")
    assert [chat.passage for chat in read_calibration(tmp_path / "t.csv").chats] == ["red\nhall", "blue"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_calibration(tmp_path / "absent.txt")
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="no text"):
        read_calibration(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes("na\xefve".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 at byte 2"):
        read_calibration(tmp_path / "latin.txt")
