"""Which shape of conversation a file holds, told by the keys of its first row, and its rows as chats.

Recognised: OpenAI's messages, ShareGPT, Alpaca, prompt and completion, plain text. What is not read of a row is
listed, and a row that does not have the shape is an error with its place: none is passed over. What preferences are is
in preferences.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, InputError, did_you_mean
from linnet.core.task import template_columns
from linnet.text.conversation_rows import RawRows, parsed_if_text, read_rows, text_of
from linnet.text.conversations import (
    Chat,
    Columns,
    Turn,
    chats_of_rows,
    checked_chat,
    tool_call,
    turns_of_messages,
)

Row = Mapping[str, Any]
# Names of question and answer that say themselves what they are.
PAIRS = (
    ("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("query", "response"),
    ("instruction", "response"),
)  # fmt: skip
SHARE_LISTS = ("conversations", "conversation")
SHARE_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "model": "assistant", "system": "system", "tool": "tool", "observation": "tool", "function": "tool",
}  # fmt: skip
SHARE_CALL = "function_call"
PLAIN = ("paragraphs", "documents")  # what a row of plain text is


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a file was taken for: its `format` and why, the keys read and not read, the reader's notes."""

    format: str
    reason: str
    fields: tuple[str, ...]
    unread: tuple[str, ...]
    notes: tuple[str, ...]
    sha256: str
    unit: str

    def told(self, rows: int) -> dict[str, Any]:
        """All of it as JSON, with the number of rows."""
        kept = ("format", "reason", "unit", "sha256")
        listed = {key: list(getattr(self, key)) for key in ("fields", "unread", "notes")}
        return {**{key: getattr(self, key) for key in kept}, **listed, "rows": rows}


def recognised(found: RawRows, kind: str, reason: str, read: set[str]) -> dict[str, Any]:
    """The fields of a Recognised, for rows of which the keys `read` were used."""
    known = {key: None for row in found.rows for key in row}
    return {
        "format": kind,
        "reason": reason,
        "fields": tuple(key for key in known if key in read),
        "unread": tuple(key for key in known if key not in read),
        "notes": tuple(found.notes),
        "sha256": found.sha256,
        "unit": found.unit,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Recognised):
    """A file as chats."""

    chats: tuple[Chat, ...]

    def facts(self) -> dict[str, Any]:
        return self.told(len(self.chats))


def read_conversations(path: Path, *, format_: str = "", columns: Columns | None = None, split: str = "") -> Reading:
    """Read a file as chats: by `columns`, as `format_` says, else as its first row looks.

    `split` is one of a saved dataset. Raises NotFound, InputError for an unknown format or split, ResourceMissing
    (Parquet without its library), or DataError with file, row and field.
    """
    if format_ and format_ not in FORMATS:
        near = did_you_mean(format_, list(FORMATS))
        raise InputError(f"No format is called {format_!r}.{near}", f"Known: {', '.join(FORMATS)}.")
    found = read_rows(path, split=split, plain=_plain_rows(format_, columns))
    if columns is not None:
        return _by_columns(found, columns)
    first = found.rows[0]
    kind, reason = (format_, "as chosen") if format_ else recognise(first, path.name)
    convert = FORMATS[kind]
    chats: list[Chat] = []
    read: set[str] = set()
    for index, row in enumerate(found.rows):
        chat, used = convert(row, found.numbers[index], found.where(index))
        chats.append(chat)
        read |= used
    return _reading(found, chats, kind, reason, read)


def _plain_rows(format_: str, columns: Columns | None) -> str:
    """What a row of a .txt file is: see `read_rows`."""
    if columns is not None or format_ not in ("", "text", *PLAIN):
        return "no"
    return format_ if format_ in PLAIN else ""


def recognise(row: Row, name: str) -> tuple[str, str]:
    """The format of a row with these keys, and the keys that told it. Raises DataError for a shape unknown here."""
    keys = set(row)
    if "messages" in keys:
        return "messages", "by its key messages"
    for key in SHARE_LISTS:
        if key in keys:
            return "sharegpt", f"by its key {key}"
    if {"chosen", "rejected"} <= keys:
        raise DataError(
            f"{name}: these are preference pairs (chosen, rejected), and the method learns from one answer.",
            "Learn from both: --method dpo, orpo or kto. From the chosen ones only: --input prompt --output chosen.",
        )
    if {"instruction", "output"} <= keys:
        return "alpaca", "by its keys instruction and output"
    for question, answer in PAIRS:
        if {question, answer} <= keys:
            return "prompt-completion", f"by its keys {question} and {answer}"
    if keys == {"text"}:
        return "text", "by its only key text"
    raise DataError(
        f"{name}: which column is the question and which the answer? It has {', '.join(map(repr, row))[:300]}.",
        f"Name them: --input COLUMN --output COLUMN. Or choose a format: --format {' | '.join(FORMATS)}.",
    )


def _reading(found: RawRows, chats: Sequence[Chat], kind: str, reason: str, read: set[str]) -> Reading:
    return Reading(chats=tuple(chats), **recognised(found, kind, reason, read))


def _by_columns(found: RawRows, columns: Columns) -> Reading:
    """Only the named columns are read, so others may hold anything."""
    wanted = [*template_columns(columns.input), columns.output]
    known = list({key: None for row in found.rows for key in row})
    rows = []
    for index, row in enumerate(found.rows):
        if all(column in known for column in wanted):
            gone = [column for column in wanted if column not in row]
            if gone:
                raise DataError(f"{found.where(index)}: there is no {gone[0]!r}.", "Fill it, or remove the row.")
        where = found.where(index)
        rows.append({key: text_of(row.get(key), f"{where}, {key!r}") if key in wanted else "" for key in known})
    chats = chats_of_rows(rows, found.numbers, columns, found.path.name)
    return _reading(found, chats, "columns", "as named", set(wanted))


def _need(row: Row, key: str, where: str, kind: str) -> Any:
    if row.get(key) is None:
        raise DataError(
            f"{where}: {key} is needed: the file is read as {kind}.", "Fill it, or choose another --format."
        )
    return row[key]


def _text(row: Row, key: str, where: str, kind: str, *, may_be_empty: bool = False) -> str:
    found = text_of(_need(row, key, where, kind), f"{where}, {key!r}")
    if not found.strip() and not may_be_empty:
        raise DataError(f"{where}: {key} is empty.", "Fill it, or remove the row.")
    return found


def system_turns(row: Row, where: str) -> tuple[Turn, ...]:
    found = text_of(row.get("system"), f"{where}, 'system'")
    return (Turn(role="system", content=found),) if found.strip() else ()


def tools_of(row: Row, where: str) -> tuple[dict[str, Any], ...]:
    found = parsed_if_text(row.get("tools") or [], f"{where}, tools")
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        raise DataError(f"{where}: tools must be a list of objects.", "Write OpenAI's form of tools.")
    for number, tool in enumerate(found, 1):
        if not isinstance(tool.get("function", tool).get("name"), str):
            raise DataError(f"{where}, tool {number}: name must be a text.", "Name the function.")
    return tuple(found)


def _messages(row: Row, number: int, where: str) -> tuple[Chat, set[str]]:
    given = parsed_if_text(_need(row, "messages", where, "messages"), f"{where}, messages")
    return checked_chat(turns_of_messages(given, where), number, where, tools_of(row, where)), {"messages", "tools"}


def _sharegpt(row: Row, number: int, where: str) -> tuple[Chat, set[str]]:
    key = next((key for key in SHARE_LISTS if row.get(key) is not None), SHARE_LISTS[0])
    given = parsed_if_text(_need(row, key, where, "sharegpt"), f"{where}, {key}")
    if not isinstance(given, list) or not given:
        raise DataError(f"{where}: {key} must be a list with at least one message.", "Remove the row, or fill it.")
    if all(isinstance(message, dict) and "role" in message for message in given):
        turns = turns_of_messages(given, where)  # the same name, the other form
    else:
        turns = tuple(_said(message, f"{where}, message {index}") for index, message in enumerate(given, 1))
    chat = checked_chat((*system_turns(row, where), *turns), number, where, tools_of(row, where))
    return chat, {key, "system", "tools"}


def _said(message: Any, where: str) -> Turn:
    """One message of ShareGPT: from and value, and perhaps a weight."""
    if not isinstance(message, dict) or not {"from", "value"} <= set(message):
        raise DataError(f"{where}: from and value are needed.", 'Write {"from": "human", "value": "..."}.')
    given = {key: value for key, value in message.items() if value is not None}
    if extra := sorted(set(given) - {"from", "value", "weight"}):
        raise DataError(f"{where}: the key {extra[0][:80]!r} is not read by this version.", "Remove it.")
    who = str(message["from"])
    weight = {"weight": given["weight"]} if "weight" in given else {}
    if who == SHARE_CALL:
        call = parsed_if_text(message["value"], where)
        if not isinstance(call, dict):
            raise DataError(f"{where}: {SHARE_CALL} must be one JSON object.", "Write its name and arguments.")
        return Turn(role="assistant", content="", tool_calls=(tool_call(call, where),))
    if who not in SHARE_ROLES:
        raise DataError(f"{where}: from {who[:80]!r} is none of {', '.join((*SHARE_ROLES, SHARE_CALL))}.")
    return turns_of_messages([{"role": SHARE_ROLES[who], "content": message["value"], **weight}], where)[0]


def _alpaca(row: Row, number: int, where: str) -> tuple[Chat, set[str]]:
    asked = _text(row, "instruction", where, "alpaca")
    more = text_of(row.get("input"), f"{where}, 'input'")
    asked = f"{asked}\n\n{more}" if more.strip() else asked
    answer = Turn(role="assistant", content=_text(row, "output", where, "alpaca"))
    turns = (*system_turns(row, where), Turn(role="user", content=asked), answer)
    return Chat(turns=turns, row=number), {"instruction", "input", "output", "system"}


def _pair(row: Row, number: int, where: str) -> tuple[Chat, set[str]]:
    """Two texts, or two lists of messages of which the second is the answer."""
    question, answer = next((pair for pair in PAIRS if set(pair) <= set(row)), PAIRS[0])
    asked, said = (_need(row, key, where, "prompt-completion") for key in (question, answer))
    used = {question, answer, "system", "tools"}
    if isinstance(asked, list) and isinstance(said, list):
        before = [
            turn.model_copy(update={"learned": False}) for turn in turns_of_messages(asked, f"{where}, {question}")
        ]
        turns = (*system_turns(row, where), *before, *turns_of_messages(said, f"{where}, {answer}"))
        return checked_chat(turns, number, where, tools_of(row, where)), used
    texts = [_text(row, key, where, "prompt-completion") for key in (question, answer)]
    turns = (*system_turns(row, where), Turn(role="user", content=texts[0]), Turn(role="assistant", content=texts[1]))
    return checked_chat(turns, number, where, tools_of(row, where)), used


def _plain(row: Row, number: int, where: str) -> tuple[Chat, set[str]]:
    return Chat(turns=(), row=number, passage=_text(row, "text", where, "text")), {"text"}


FORMATS: dict[str, Callable[[Row, int, str], tuple[Chat, set[str]]]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _pair,
    "text": _plain,
    **dict.fromkeys(PLAIN, _plain),
}
