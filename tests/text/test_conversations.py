"""Rows to chats: three shapes recognised, and what cannot be learned from is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError
from linnet.text.conversations import Columns, read_chats


def write(folder: Path, *rows: Any, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def turns(path: Path, columns: Columns | None = None) -> list[list[tuple[str, str]]]:
    return [[(t.role, t.content) for t in chat.turns] for chat in read_chats(path, columns)]


def test_a_task_names_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path, {"subject": "s", "body": "b", "out": "{}"})
    columns = Columns("{subject}: {body}", "out", "Do it.\n")
    assert turns(path, columns) == [[("system", "Do it."), ("user", "s: b"), ("assistant", "{}")]]
    assert turns(path, Columns("body", "out")) == [[("user", "b"), ("assistant", "{}")]]


@pytest.mark.parametrize("names", [("prompt", "completion"), ("instruction", "output"), ("question", "answer")])
def test_known_names_say_themselves(tmp_path: Path, names: tuple[str, str]) -> None:
    path = write(tmp_path, {names[0]: "q", names[1]: " a "})
    assert turns(path) == [[("user", "q"), ("assistant", " a ")]]


def test_csv_rows_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\n"a\nb",c\nd,e\n')
    assert [chat.row for chat in read_chats(path)] == [2, 4]


def test_messages(tmp_path: Path) -> None:
    said = [{"role": r, "content": c} for r, c in (("system", "s"), ("user", "u"), ("assistant", "a"))]
    path = write(tmp_path, {"messages": said}, {"messages": said[1:]})
    assert [len(chat) for chat in turns(path)] == [3, 2]


def message(**changed: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a", **changed}]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (message(role="robot"), "line 2, message 2: the role 'robot' is none of"),
        (message(content=None), "content must be a text"),
        (message(content=" "), "the answer is empty"),
        (message(reasoning="r"), "the key 'reasoning' is not read"),
        (message(role="user"), "line 2: no message is an answer"),
        ({"messages": []}, "a list with at least one message"),
        ({**message(), "tools": [1]}, "line 2: tools must be a list of objects"),
        ({"prompt": "a"}, "messages is needed"),
        ({"messages": ["hi"]}, "role and content are needed"),
    ],
)
def test_messages_that_are_none_are_named(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_chats(write(tmp_path, message(), row))


def test_broken_json_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, message())
    path.write_text(path.read_text() + "{")
    with pytest.raises(DataError, match="line 2: not valid JSON"):
        read_chats(path)


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([{"q": "a", "a": ""}, {"q": "a", "a": " "}], Columns("q", "a"), r"2 rows \(1, 2\) have no answer"),
        ([{"q": "", "a": "x"}], Columns("Ask {q}", "q"), "the answer 'q' is also in the question"),
        ([{"q": "", "a": "x"}], Columns("Ask {q}", "a"), r"1 row \(1\) has no question"),
        ([{"q": "", "a": "x"}], Columns("q", "b"), "there is no column 'b'"),
        ([{"q": "", "a": "x"}], None, "which column is the question"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_named(
    tmp_path: Path, rows: list[dict[str, str]], columns: Columns | None, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_chats(write(tmp_path, *rows), columns)
