"""Every shape of conversation recognised by its first row, read whole, and refused by file, row and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError, InputError
from linnet.text.conversation_formats import FORMATS, Reading, read_conversations
from linnet.text.conversations import Columns, chat_lines, read_chat_lines

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo", "days": 2.50}'}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
TOOL_CHAT = [
    {"role": "developer", "content": "Be short."},
    {"role": "user", "content": [{"type": "text", "text": "Oslo"}, {"type": "text", "text": "?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    {"role": "assistant", "content": "Rain."},
]


def write(folder: Path, *rows: Any, name: str = "a.jsonl") -> Path:
    path = folder / name
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(json.dumps(rows) if name.endswith(".json") else lines)
    return path


def said(found: Reading) -> list[list[tuple[str, str]]]:
    return [[(turn.role, turn.content) for turn in chat.turns] for chat in found.chats]


ROWS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "prompt-completion": {"prompt": "q", "completion": "a"},
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet"])
@pytest.mark.parametrize("kind", ROWS)
def test_a_shape_is_the_same_in_every_file(tmp_path: Path, kind: str, name: str) -> None:
    if name.endswith(".parquet"):
        polars = pytest.importorskip("polars")
        polars.DataFrame([ROWS[kind]] * 2).write_parquet(tmp_path / name)
    else:
        write(tmp_path, ROWS[kind], ROWS[kind], name=name)
    found = read_conversations(tmp_path / name)
    assert found.format == kind
    assert said(found) == [[("user", "q"), ("assistant", "a")]] * 2
    assert found.facts()["rows"] == 2


def test_csv_holds_pairs_and_messages_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("instruction,input,output\nAdd,1 + 1,2\nSay hi,,hi\n")
    found = read_conversations(path)
    assert [turns[0][1] for turns in said(found)] == ["Add\n\n1 + 1", "Say hi"]
    assert [chat.row for chat in found.chats] == [2, 3]
    told = json.dumps(ROWS["messages"]["messages"]).replace('"', '""')
    path.write_text(f'messages\n"{told}"\n')
    assert said(read_conversations(path)) == [[("user", "q"), ("assistant", "a")]]


def test_tools_calls_and_results_are_kept(tmp_path: Path) -> None:
    chat = read_conversations(write(tmp_path, {"messages": TOOL_CHAT, "tools": TOOLS})).chats[0]
    assert [turn.role for turn in chat.turns] == ["system", "user", "assistant", "tool", "assistant"]
    assert chat.turns[1].content == "Oslo?"
    call = chat.turns[2].tool_calls[0]
    assert (call.name, call.arguments, call.id) == ("weather", {"city": "Oslo", "days": 2.5}, "c1")
    assert chat.turns[3].message() == {"role": "tool", "content": "rain", "tool_call_id": "c1"}
    assert chat.tools[0]["function"]["name"] == "weather"
    assert chat.has_tools


def test_tools_survive_parquet(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    flat = [m if isinstance(m["content"], str | None) else {**m, "content": "Oslo?"} for m in TOOL_CHAT]
    polars.DataFrame([{"messages": flat}]).write_parquet(tmp_path / "a.parquet")
    chat = read_conversations(tmp_path / "a.parquet").chats[0]
    assert [len(turn.tool_calls) for turn in chat.turns] == [0, 0, 1, 0, 0]


def test_sharegpt_with_calls_and_other_names(tmp_path: Path) -> None:
    talk = [
        {"from": "human", "value": "q"},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"from": "observation", "value": "7"},
        {"from": "gpt", "value": "a", "weight": 0},
        {"from": "human", "value": "more"},
        {"from": "gpt", "value": "b"},
    ]
    chat = read_conversations(write(tmp_path, {"conversations": talk, "system": "S", "id": 4})).chats[0]
    assert [turn.role for turn in chat.turns] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
    ]
    assert chat.turns[2].tool_calls[0].arguments == {"x": 1}
    assert [turn.learned for turn in chat.turns if turn.role == "assistant"] == [True, False, True]


def test_lists_of_messages_as_prompt_and_completion(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "old"}, {"role": "user", "content": "r"}]
    row = {"prompt": talk, "completion": [{"role": "assistant", "content": "a"}]}
    chat = read_conversations(write(tmp_path, row)).chats[0]
    assert [(turn.content, turn.learned) for turn in chat.turns if turn.role == "assistant"] == [
        ("old", False), ("a", True),
    ]  # fmt: skip


def test_plain_text_and_what_is_not_read(tmp_path: Path) -> None:
    found = read_conversations(write(tmp_path, {"text": "one"}, {"text": "two"}))
    assert [chat.passage for chat in found.chats] == ["one", "two"]
    more = write(tmp_path, {"text": "one", "source": "s"})
    with pytest.raises(DataError, match="which column is the question"):
        read_conversations(more)
    assert read_conversations(more, format_="text").unread == ("source",)


def test_named_columns_hold_json_as_it_is_written(tmp_path: Path) -> None:
    path = write(tmp_path, {"q": "a", "out": {"n": 1}, "x": [1]}, {"q": 2, "out": "b", "x": None})
    path.write_text(path.read_text().replace("2,", "2.50,"))
    found = read_conversations(path, columns=Columns("{q}!", "out"))
    assert said(found) == [[("user", "a!"), ("assistant", '{"n": 1}')], [("user", "2.50!"), ("assistant", "b")]]
    assert found.unread == ("x",)


def message(**changed: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a", **changed}]}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([message(), {"id": 1}], "a.jsonl, line 2: messages is needed"),
        ([message(), message(role="robot")], "line 2, message 2: the role 'robot'"),
        ([message(audio="x")], "the key 'audio' is not read"),
        ([message(content=None)], "content must be a text"),
        ([message(content=[{"type": "image_url"}])], "a part of type 'image_url'"),
        ([message(content=" ")], "the answer is empty"),
        ([message(weight=0)], "no message is an answer of the assistant to learn"),
        ([message(weight=3)], "weight is 0 or 1"),
        ([message(tool_calls=[{"id": "1"}])], "tool call 1: function is needed"),
        ([message(tool_calls=[{"function": {"name": "f", "arguments": "{"}}])], "arguments are not valid JSON"),
        ([message(tool_calls=[{"function": {"name": "f", "arguments": "[]"}}])], "arguments must be a JSON object"),
        ([message(tool_calls=[{"function": {"name": "f", "arguments": '{"x": NaN}'}}])], "not valid JSON"),
        ([{"messages": []}], "at least one message"),
        ([{**message(), "tools": [{"function": {}}]}], "tool 1: name must be a text"),
        ([{"conversations": [{"from": "human"}]}], "message 1: from and value are needed"),
        ([{"conversations": [{"from": "robot", "value": "x"}]}], "from 'robot' is none of"),
        ([{"instruction": "q", "output": ""}], "line 1: output is empty"),
        ([{"instruction": "", "output": "a"}], "line 1: instruction is empty"),
        ([{"prompt": "q", "completion": "a"}, {"prompt": "q"}], "line 2: completion is needed"),
        ([{"prompt": "q", "chosen": "a", "rejected": "b"}], "preference pairs"),
        ([{"text": "a"}, {"text": "  "}], "line 2: text is empty"),
        ([{"text": "a\x00b"}], "NUL character"),
        ([{"a": 1, "b": 2}], "which column is the question and which the answer"),
        ([["a"]], "each row must be a JSON object"),
    ],
)
def test_what_cannot_be_learned_from_is_named(tmp_path: Path, rows: list[Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_conversations(write(tmp_path, *rows))


@pytest.mark.parametrize(
    "text", ["{", '{"prompt": "a", "prompt": "b"}', '{"prompt": NaN, "completion": "a"}', "[" * 9999]
)
def test_json_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, ROWS["prompt-completion"])
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(DataError, match=r"a.jsonl, line 2"):
        read_conversations(path)


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='Did you mean "alpaca"'):
        read_conversations(write(tmp_path, ROWS["alpaca"]), format_="alpacca")
    for kind in set(FORMATS) - {"alpaca"}:
        with pytest.raises(DataError, match="is needed"):
            read_conversations(write(tmp_path, ROWS["alpaca"]), format_=kind)


def test_chats_come_back_from_their_lines(tmp_path: Path) -> None:
    rows = [{"messages": TOOL_CHAT, "tools": TOOLS}, message(content="a\u2028b"), message(weight=1)]
    chats = read_conversations(write(tmp_path, *rows)).chats
    (tmp_path / "kept").write_bytes(chat_lines(chats))
    assert tuple(read_chat_lines(tmp_path / "kept")) == chats
    assert (tmp_path / "kept").read_text().count("\n") == len("".join(chat_lines(chats).decode()).splitlines()) == 3
