"""From rows to chats: prompt and completion, OpenAI's messages, or the columns that a task names.

Every row becomes turns of a role and a text. Nothing is cut; a row that cannot be used is named. Knows no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from linnet.core.errors import CorruptFile, DataError, did_you_mean, os_errors
from linnet.core.files import canonical
from linnet.core.records import Record
from linnet.core.task import fill_template, template_columns
from linnet.formats.parsed import check_text

ROLES = ("system", "user", "assistant", "tool")
LISTED = 10
# The newer name of the same role.
SAME_ROLE = {"developer": "system"}
MESSAGE_KEYS = {"role", "content", "tool_calls", "tool_call_id", "name", "weight"}
# Line ends to some programs, plain characters in JSON: escaped, so that a line is a line to everybody.
LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class ToolCall(Record):
    """One call that an answer makes: a function's name and its arguments as an object."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Turn(Record):
    """One message of a chat. `learned` is False for an answer that is only read, not imitated (OpenAI's weight 0)."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    learned: bool = True

    def message(self) -> dict[str, Any]:
        """As a chat template reads it."""
        found: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            found["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in self.tool_calls
            ]
        return found | {key: value for key in ("name", "tool_call_id") if (value := getattr(self, key))}


class Chat(Record):
    """The turns of one row. `row` is its line in the file it came from; `tools` are the functions it may call.

    A row of plain text has no turns: all of its `passage` is learned.
    """

    turns: tuple[Turn, ...]
    row: int
    tools: tuple[dict[str, Any], ...] = ()
    passage: str = ""

    @property
    def has_tools(self) -> bool:
        return bool(self.tools) or any(turn.tool_calls for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where question and answer are: `input` is a column or a template of columns, `output` a column.

    A question is asked behind `instruction`, which becomes the system turn where there is one.
    """

    input: str
    output: str
    instruction: str = ""


def read_chats(path: Path, columns: Columns | None = None) -> list[Chat]:
    """The chats of a file: by `columns`, else in the format that is recognised.

    Raises NotFound, or DataError that names the file, the row and what to do.
    """
    from linnet.text.conversation_formats import read_conversations

    return list(read_conversations(path, columns=columns).chats)


def chats_of_rows(rows: Sequence[Mapping[str, str]], numbers: Sequence[int], columns: Columns, name: str) -> list[Chat]:
    """One question and one answer for each row. Raises DataError for missing columns and for empty texts."""
    known = list(rows[0]) if rows else []
    inputs = template_columns(columns.input)
    for column in (*inputs, columns.output):
        if column not in known:
            raise DataError(
                f"{name}: there is no column {column!r}.{did_you_mean(column, known)}",
                f"Its columns are: {', '.join(map(repr, known))[:500]}.",
            )
    if columns.output in inputs:
        raise DataError(f"{name}: the answer {columns.output!r} is also in the question.", "Take it out of the input.")
    empty = {"question": [n for n, row in zip(numbers, rows, strict=True) if not any(row[c].strip() for c in inputs)]}
    empty["answer"] = [n for n, row in zip(numbers, rows, strict=True) if not row[columns.output].strip()]
    for what, found in empty.items():
        if found:
            raise DataError(f"{name}: {named(found)} no {what}.", "Remove them, or fill them.")
    head = (Turn(role="system", content=columns.instruction.strip()),) if columns.instruction.strip() else ()
    return [
        Chat(
            turns=(
                *head,
                Turn(role="user", content=fill_template(columns.input, dict(row))),
                Turn(role="assistant", content=row[columns.output]),
            ),
            row=number,
        )
        for number, row in zip(numbers, rows, strict=True)
    ]


def named(rows: Sequence[int]) -> str:
    """'2 rows (4, 9) have', with the first few by number."""
    more = ", ..." if len(rows) > LISTED else ""
    listed = ", ".join(map(str, rows[:LISTED]))
    return f"1 row ({listed}) has" if len(rows) == 1 else f"{len(rows):,} rows ({listed}{more}) have"


def turns_of_messages(messages: Any, where: str) -> tuple[Turn, ...]:
    """Turns from OpenAI's messages. Raises DataError, naming the message and the field, for what is none."""
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{where}: messages must be a list with at least one message.", "Remove the row, or fill it.")
    return tuple(_turn(message, f"{where}, message {number}") for number, message in enumerate(messages, 1))


def checked_chat(turns: Sequence[Turn], row: int, where: str, tools: tuple[dict[str, Any], ...] = ()) -> Chat:
    """A chat with something to learn. Raises DataError for one without an answer of the assistant."""
    if not any(turn.role == "assistant" and turn.learned for turn in turns):
        raise DataError(f"{where}: no message is an answer of the assistant to learn.", "Remove the row, or fill it.")
    return Chat(turns=tuple(turns), row=row, tools=tools)


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, dict) or "role" not in message:
        raise DataError(f"{where}: role and content are needed.", 'Write {"role": "user", "content": "..."}.')
    given = {key: value for key, value in message.items() if value is not None}
    if extra := sorted(set(given) - MESSAGE_KEYS):
        raise DataError(
            f"{where}: the key {extra[0][:80]!r} is not read by this version.",
            "Remove it: nothing of a message is passed over in silence.",
        )
    role = SAME_ROLE.get(str(given.get("role")), given.get("role"))
    if role not in ROLES:
        raise DataError(f"{where}: the role {str(role)[:80]!r} is none of {', '.join(ROLES)}.")
    calls = _tool_calls(given.get("tool_calls", []), where)
    if calls and role != "assistant":
        raise DataError(f"{where}: tool_calls belong to the assistant, not to the {role}.", "Correct the role.")
    content = _content(given.get("content", "" if calls else None), where)
    if role == "assistant" and not content.strip() and not calls:
        raise DataError(f"{where}: the answer is empty.", "Remove the row, or fill it.")
    weight = given.get("weight", 1)
    if weight not in (0, 1) or ("weight" in given and role != "assistant"):
        raise DataError(f"{where}: weight is 0 or 1, and only of the assistant.", "Correct it, or remove it.")
    texts = {key: given.get(key, "") for key in ("tool_call_id", "name")}
    if bad := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise DataError(f"{where}: {bad[0]} must be a text.")
    return Turn(role=role, content=content, tool_calls=calls, learned=bool(weight), **texts)


def _content(content: Any, where: str) -> str:
    """A text, or OpenAI's list of parts when all of them are texts."""
    if isinstance(content, list) and content:
        kinds = [part.get("type") if isinstance(part, dict) else None for part in content]
        other = next((kind for kind in kinds if kind != "text"), None)
        if other is None and all(kinds) and all(isinstance(part.get("text"), str) for part in content):
            content = "".join(part["text"] for part in content)
        else:
            raise DataError(f"{where}: content has a part of type {str(other)[:80]!r}.", "Only texts are read.")
    if not isinstance(content, str):
        raise DataError(f"{where}: content must be a text.", "null is allowed only beside tool_calls.")
    return check_text(content, where)


def _tool_calls(calls: Any, where: str) -> tuple[ToolCall, ...]:
    if not isinstance(calls, list):
        raise DataError(f"{where}: tool_calls must be a list.")
    made = []
    for number, call in enumerate(calls, 1):
        place = f"{where}, tool call {number}"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise DataError(f"{place}: function is needed.", 'Write {"function": {"name": "...", "arguments": "{}"}}.')
        made.append(tool_call(function, place, str(call.get("id") or "")))
    return tuple(made)


def tool_call(function: Mapping[str, Any], where: str, id_: str = "") -> ToolCall:
    """A call from its name and its arguments, which are an object or the JSON of one. Raises DataError."""
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
            canonical(arguments)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: arguments are not valid JSON: {error}.", "Correct them.") from error
    if not isinstance(arguments, dict):
        raise DataError(f"{where}: arguments must be a JSON object.", "Write {} for a call without any.")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: name must be a text.", "Name the function that is called.")
    return ToolCall(name=name, arguments=arguments, id=id_)


def chat_lines(chats: Sequence[Chat]) -> bytes:
    """Chats as JSON Lines: the same chats are the same bytes."""
    kept = (chat.model_dump(mode="json", exclude_defaults=True) for chat in chats)
    return "".join(canonical(value).decode().translate(LINE_ENDS) + "\n" for value in kept).encode()


def read_chat_lines(path: Path) -> list[Chat]:
    """What `chat_lines` made of chats. Raises NotFound, or CorruptFile with the line."""
    with os_errors(path, "Reading"):
        lines = path.read_bytes().split(b"\n")
    chats = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            chats.append(Chat.model_validate_json(line))
        except ValidationError as error:
            raise CorruptFile(f"{path}, line {number}: this is no chat.", "Start the training again.") from error
    return chats
