"""From rows to chats: prompt and completion, OpenAI's messages, or the columns that a task names.

Every row becomes turns of a role and a text. Nothing is cut; a row that cannot be used is named. Knows no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from linnet.core.errors import DataError, did_you_mean, os_errors
from linnet.core.records import Record
from linnet.core.task import fill_template, template_columns
from linnet.formats.lines import Lines
from linnet.formats.tables import read_table

ROLES = ("system", "user", "assistant", "tool")
MESSAGES, LISTED = "messages", 10
# Column names that say themselves what they are.
KNOWN = (("prompt", "completion"), ("instruction", "output"), ("question", "answer"))


class Turn(Record):
    """One message of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Chat(Record):
    """The turns of one row. `row` is its line in the file it came from."""

    turns: tuple[Turn, ...]
    row: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Where question and answer are: `input` is a column or a template of columns, `output` a column.

    A question is asked behind `instruction`, which becomes the system turn where there is one.
    """

    input: str
    output: str
    instruction: str = ""


def read_chats(path: Path, columns: Columns | None = None) -> list[Chat]:
    """The chats of a file: of a table by `columns`, else messages, else columns of a known name.

    Raises NotFound, or DataError that names the file, the row and what to do.
    """
    if columns is None and _has_messages(path):
        chats = list(_read_messages(path))
        if not chats:
            raise DataError(f"{path}: the file holds nothing but blank lines.", "Put examples into it.")
        return chats
    table = read_table(path)
    columns = columns or _known_columns(table.columns, path.name)
    return chats_of_rows(table.rows, table.row_numbers, columns, path.name)


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


def _known_columns(found: Sequence[str], name: str) -> Columns:
    for question, answer in KNOWN:
        if question in found and answer in found:
            return Columns(question, answer)
    raise DataError(
        f"{name}: which column is the question and which the answer? It has {', '.join(map(repr, found))[:300]}.",
        "Name them as input and output, or write prompt and completion, or messages, in each row.",
    )


def _has_messages(path: Path) -> bool:
    """Whether the first line is an object with a list of messages."""
    if not path.is_file():
        return False
    with os_errors(path, "Reading"), path.open("rb") as handle:
        for text in Lines(path, handle):
            if text.strip():
                try:
                    value = json.loads(text)
                except (ValueError, RecursionError):
                    return False
                return isinstance(value, dict) and isinstance(value.get(MESSAGES), list)
    return False


def _read_messages(path: Path) -> Iterator[Chat]:
    with os_errors(path, "Reading"), path.open("rb") as handle:
        lines = Lines(path, handle)
        for text in lines:
            if text.strip():
                yield chat_of_messages(_object(text, f"{path}, line {lines.number}"), lines.number, str(path))


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}.", "Each line must be one whole JSON object.") from error
    if not isinstance(value, dict) or not isinstance(value.get(MESSAGES), list):
        raise DataError(f'{where}: {{"messages": [...]}} is needed.', "Give every row the shape of the first one.")
    if extra := sorted(set(value) - {MESSAGES}):
        raise DataError(
            f"{where}: the key {extra[0][:80]!r} beside messages is not read by this version.",
            "Remove it: nothing is passed over in silence.",
        )
    return value


def chat_of_messages(value: Mapping[str, Any], row: int, name: str) -> Chat:
    """A chat from OpenAI's messages. Raises DataError for anything but a role and a text in each."""
    turns = []
    for number, message in enumerate(value[MESSAGES], 1):
        where = f"{name}, line {row}, message {number}"
        if not isinstance(message, dict) or not {"role", "content"} <= set(message):
            raise DataError(f"{where}: role and content are needed.", 'Write {"role": "user", "content": "..."}.')
        if extra := sorted(set(message) - {"role", "content"}):
            raise DataError(
                f"{where}: the key {extra[0][:80]!r} is not read by this version.",
                "Write a tool call as text in content, or remove the key.",
            )
        if message["role"] not in ROLES:
            raise DataError(f"{where}: the role {str(message['role'])[:80]!r} is none of {', '.join(ROLES)}.")
        if not isinstance(message["content"], str):
            raise DataError(f"{where}: content must be a text.", "Lists of parts and null are not read yet.")
        if message["role"] == "assistant" and not message["content"].strip():
            raise DataError(f"{where}: the answer is empty.", "Remove the row, or fill it.")
        turns.append(Turn(role=message["role"], content=message["content"]))
    if not any(turn.role == "assistant" for turn in turns):
        raise DataError(f"{name}, line {row}: no message is an answer of the assistant.", "Remove the row, or fill it.")
    return Chat(turns=tuple(turns), row=row)
