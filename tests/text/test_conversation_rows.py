"""Folders and plain text through the one door for conversations; the other formats are in test_conversation_formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.core.errors import DataError, InputError
from linnet.text.conversation_formats import read_conversations
from linnet.text.conversations import Columns


def test_a_text_file_is_paragraphs_or_one_document(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("First, it rains.\nStill.\n\nThen it stops.\n")
    read = read_conversations(path)
    assert [(chat.row, chat.passage) for chat in read.chats] == [(1, "First, it rains.\nStill."), (4, "Then it stops.")]
    assert (read.format, read.unit, read.notes) == ("text", "line", ("each paragraph is a row",))
    assert len(read_conversations(path, format_="documents").chats) == 1


def test_a_folder_of_text_is_documents_or_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo")
    (tmp_path / "b.txt").write_text("three")
    read = read_conversations(tmp_path)
    assert [(chat.row, chat.passage) for chat in read.chats] == [(1, "one\n\ntwo"), (2, "three")]
    assert read.unit == "file"
    assert [chat.passage for chat in read_conversations(tmp_path, format_="paragraphs").chats] == [
        "one",
        "two",
        "three",
    ]


def test_a_table_under_a_text_name_is_read_as_one_when_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("q,a\nwhy,because\n")
    (chat,) = read_conversations(path, columns=Columns("q", "a")).chats
    assert [turn.content for turn in chat.turns] == ["why", "because"]
    path.write_text(json.dumps({"prompt": "why", "completion": "because"}))
    assert read_conversations(path).format == "prompt-completion"


def test_a_saved_dataset_is_recognised_by_its_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]]
    datasets.Dataset.from_dict({"messages": rows}).save_to_disk(tmp_path / "d")
    read = read_conversations(tmp_path / "d")
    assert [turn.content for turn in read.chats[0].turns] == ["q", "a"]
    assert (read.format, read.unit) == ("messages", "row")
    datasets.Dataset.from_dict({"messages": [[{"role": "user", "content": "q"}]]}).save_to_disk(tmp_path / "e")
    with pytest.raises(DataError, match="e, row 1: no message is an answer"):
        read_conversations(tmp_path / "e")


def test_what_is_neither_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither a saved dataset nor \.txt files"):
        read_conversations(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no folder of a saved dataset"):
        read_conversations(tmp_path / "a.txt", split="train")
