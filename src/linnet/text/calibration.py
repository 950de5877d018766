"""The user's own text to calibrate a quantisation with: training data of a task, a table of examples, or plain text.

Never a task's test data: what chose the types may not judge them. Knows no tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from linnet.core.errors import DataError, InputError, LinnetError, NotFound, os_errors
from linnet.core.files import sha256_file
from linnet.core.task import read_toml
from linnet.core.tune_task import read_tune_task
from linnet.formats.tables import read_table
from linnet.text.conversation_formats import read_conversations
from linnet.text.conversations import Chat, Columns

PLAIN = (".txt", ".md", ".text", "")
TASK = "task.toml"
UPWARD = 2  # folders above a file in which its task is looked for
PREPARED_TEST = "test.jsonl"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Texts and chats, under the name and the sha256 of the file they came from."""

    name: str
    sha256: str
    chats: tuple[Chat, ...]


def read_calibration(path: Path) -> Calibration:
    """A task (its `task.toml` or folder: the training data), a table of examples, or a plain text.

    Raises InputError for the test data of a task, NotFound, DataError or TaskError for what cannot be read.
    """
    columns = None
    if path.is_dir() or path.suffix == ".toml":
        task = read_tune_task(path)
        path, columns = Path(task.train), Columns(task.input, task.output, task.instruction)
    with os_errors(path, "Reading"):
        if not path.is_file():
            raise NotFound(f"There is no file {path}.", "Give a text, a table of examples, or a task.toml.")
    _refuse_test(path)
    chats = _passage(path) if path.suffix.lower() in PLAIN else _table(path, columns)
    return Calibration(path.name, sha256_file(path), chats)


def _refuse_test(path: Path) -> None:
    """Raise InputError where a task near the file, or a prepared dataset, calls it its test data."""
    digest = sha256_file(path)
    refused = path.name == PREPARED_TEST and (path.parent / "record.json").is_file()
    for folder in path.absolute().parents[: UPWARD + 1]:
        if not (folder / TASK).is_file():
            continue
        try:
            test = read_toml(folder / TASK)[1].get("data", {}).get("test")
        except LinnetError:
            continue  # a broken task is no reason to refuse a text beside it
        named = folder / str(test) if isinstance(test, str) else None
        refused = refused or bool(named and named.is_file() and sha256_file(named) == digest)
    if refused:
        raise InputError(
            f"{path} is test data: a model whose types were chosen on it cannot be judged by it any more.",
            "Calibrate with training data: --calibration task.toml takes that of the task.",
        )


def _passage(path: Path) -> tuple[Chat, ...]:
    with os_errors(path, "Reading"):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}.", "Save it as UTF-8 text.") from error
    if not text.strip():
        raise DataError(f"{path}: the file has no text.", "Put text of the kind that the model will read into it.")
    return (Chat(turns=(), row=1, passage=text),)


def _table(path: Path, columns: Columns | None) -> tuple[Chat, ...]:
    """The rows as chats; where their columns mean nothing known, each row's values as a passage."""
    try:
        return tuple(read_conversations(path, columns=columns).chats)
    except DataError:
        if columns is not None:
            raise
    table = read_table(path)
    passages = ["\n".join(value for value in row.values() if value.strip()) for row in table.rows]
    return tuple(Chat(turns=(), row=n, passage=text) for n, text in enumerate(passages, 1) if text)
