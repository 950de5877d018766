"""What `linnet run` reads: text files, pipes, JSON. Everything is bounded and must be text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from linnet.core.errors import InputError, os_errors

if TYPE_CHECKING:
    from linnet.engines.requests.conversation import Conversation

MAX_BYTES = 8 << 20


def stdin_text() -> str | None:
    """What a pipe or a redirected file holds, nothing where there is no standard input; None for a terminal."""
    if sys.stdin is None or sys.stdin.closed:
        return ""
    if sys.stdin.isatty():
        return None
    return _text(sys.stdin.buffer, "standard input")


def file_text(path: Path) -> str:
    """The text of a file or a named pipe. Raises NotFound, InputError for what is no text or too long."""
    if path.is_dir():
        raise InputError(f"{path} is a folder.", "Give a text file.")
    with os_errors(path, "Reading"), path.open("rb") as handle:
        return _text(handle, str(path))


def _text(handle: BinaryIO, name: str) -> str:
    data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} is longer than {MAX_BYTES} bytes, the most that is read. Nothing was cut.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text: byte {error.start} is wrong.", "Convert it first.") from error
    if "\0" in text:
        raise InputError(f"{name} is not a text file: it holds NUL.", "Attach a text file.")
    return text


def joined(prompt: str | None, piped: str | None, files: list[Path], *, raw: bool) -> str | None:
    """One prompt of everything that was given: files, then the pipe, then the words. None when there is nothing.

    A last line break of a file or a pipe is left out. A raw prompt gets nothing between its parts.
    """
    parts = []
    for path in files:
        text = _without_last_break(file_text(path))
        parts.append(text if raw else f"File {path.name}:\n\n{text}")
    if piped:
        parts.append(_without_last_break(piped))
    if prompt is not None:
        parts.append(prompt)
    return ("" if raw else "\n\n").join(parts) if parts else None


def _without_last_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def read_schema(given: str) -> dict[str, Any] | bool:
    """A JSON schema: the JSON itself, or the file that holds it. Raises InputError when it cannot be enforced."""
    from linnet.engines.grammar.schema_limits import check_schema

    inline = given.lstrip().startswith("{")
    schema = _parsed(given if inline else file_text(Path(given)), "the JSON schema" if inline else given)
    check_schema(schema)
    if not isinstance(schema, dict | bool):
        raise InputError(f"the JSON schema is {type(schema).__name__}: it must be an object.")
    return schema


def read_chat(path: Path) -> Conversation:
    """A chat that /save wrote, or another program in the same shape. Raises InputError, NotFound."""
    from linnet.engines.requests.conversation import read_conversation

    value = _parsed(file_text(path), str(path))
    try:
        return read_conversation(value)
    except InputError as error:
        raise InputError(f"{path} was not loaded: {error.message}.", "The chat is as it was.") from error


def is_chat(path: Path) -> bool:
    """Whether a file is a saved chat, which may be replaced by another."""
    try:
        read_chat(path)
    except InputError:
        return False
    return True


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, character {error.colno}"
        raise InputError(f"{name} is not JSON: {error.msg}, {where}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON that can be read: {type(error).__name__}.") from error
