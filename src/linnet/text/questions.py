"""What a decoder is asked in an evaluation: questions with their references, and the examples shown before them.

Rows are read as `tune` reads them, so that a model is asked in the words it was trained on. Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from linnet.core.errors import DataError, InputError
from linnet.core.files import canonical
from linnet.core.records import Record
from linnet.core.task import fill_template, template_columns
from linnet.text.conversation_formats import read_conversations
from linnet.text.conversation_rows import RawRows, check_column, read_rows, text_of
from linnet.text.conversations import Chat, Turn
from linnet.text.splits import rank

MAX_SHOTS = 64


class Question(Record):
    """One example: the turns up to the answer, every reference, the group it belongs to.

    `example` holds the row's own fields for metrics that need more than texts; values as they were read.
    """

    row: int
    turns: tuple[Turn, ...]
    references: tuple[str, ...]
    group: str = ""
    example: dict[str, Any] = Field(default={})

    @property
    def asked(self) -> str:
        """The texts that are asked, without a system turn."""
        return "\n".join(turn.content for turn in self.turns if turn.role != "system")

    def identity(self) -> dict[str, Any]:
        """What makes it this question, whatever file it lies in."""
        return {
            "turns": [[turn.role, turn.content] for turn in self.turns],
            "references": list(self.references),
            "group": self.group,
        }


@dataclass(frozen=True, slots=True)
class Asking:
    """Where question and references are in a file. Without `input` the format is recognised, as in `tune`.

    `output` may hold one reference or a list of them. `limit` takes the first so many rows; 0: all.
    """

    input: str = ""
    output: str = ""
    format: str = ""
    group: str = ""
    limit: int = 0


def read_questions(path: Path, asking: Asking = Asking()) -> list[Question]:
    """The questions of a file, in its order.

    Raises NotFound, ResourceMissing (Parquet without its library), or DataError that names file, row and column.
    """
    if asking.input and asking.format:
        raise InputError("--format and --input say the same thing in two ways.", "Leave one out.")
    if asking.input:
        return _by_columns(read_rows(path), asking)
    if asking.output:
        raise InputError("--output needs --input: question and answer.", "Name both, or neither.")
    chats = read_conversations(path, format_=asking.format).chats
    groups = _groups(path, asking.group) if asking.group else {}
    return [question_of(chat, groups.get(chat.row, "")) for chat in chats[: asking.limit or None]]


def question_of(chat: Chat, group: str = "") -> Question:
    """A chat without its last answer, which becomes the reference. Raises DataError for a plain text."""
    if chat.passage:
        raise DataError(
            f"Row {chat.row} is plain text: it holds no question.", "Measure texts with --metric perplexity."
        )
    last = max(index for index, turn in enumerate(chat.turns) if turn.role == "assistant")
    if not last:
        raise DataError(f"Row {chat.row} begins with its answer: nothing is asked.", "Remove the row.")
    return Question(row=chat.row, turns=chat.turns[:last], references=(chat.turns[last].content,), group=group)


def _groups(path: Path, column: str) -> dict[int, str]:
    rows = read_rows(path)
    check_column(rows, column)
    texts = (text_of(row.get(column), rows.where(index)) for index, row in enumerate(rows.rows))
    return dict(zip(rows.numbers, texts, strict=True))


def _by_columns(rows: RawRows, asking: Asking) -> list[Question]:
    for column in (*template_columns(asking.input), *filter(None, (asking.output, asking.group))):
        check_column(rows, column)
    if asking.output in template_columns(asking.input):
        raise DataError(f"The answer {asking.output!r} is also in the question.", "Take it out of the input.")
    found = []
    for index, row in enumerate(rows.rows[: asking.limit or None]):
        where = rows.where(index)
        texts = {column: text_of(row.get(column), where) for column in template_columns(asking.input)}
        asked = fill_template(asking.input, texts)
        if not asked.strip():
            raise DataError(f"{where}: the question is empty.", "Remove the row, or fill it.")
        found.append(
            Question(
                row=rows.numbers[index],
                turns=(Turn(role="user", content=asked),),
                references=_references(row.get(asking.output), where) if asking.output else (),
                group=text_of(row.get(asking.group), where) if asking.group else "",
                example=_plain(row),
            )
        )
    return found


def _references(value: Any, where: str) -> tuple[str, ...]:
    """A list of texts is a list of references; anything else is one."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    text = text_of(value, where)
    return (text,) if text else ()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON can hold it."""
    return {key: float(value) if isinstance(value, float) else value for key, value in row.items()}


def choose_shots(rows: Sequence[Question], count: int, seed: int, asked: Sequence[Question]) -> list[Question]:
    """`count` rows to show before each question: the same for the same rows and seed, none that is asked itself.

    Raises InputError for a count out of range or more than there are.
    """
    if not 0 <= count <= MAX_SHOTS:
        raise InputError(f"{count} examples were asked for: 0 to {MAX_SHOTS} are possible.")
    if not count:
        return []
    taken = {one.asked for one in asked}
    left = {one.asked: one for one in rows if one.references and one.asked not in taken}
    if len(left) < count:
        raise InputError(
            f"{count} examples are to be shown; {len(left)} of the rows are not asked themselves.",
            "Give a file of other rows with --shots-from.",
        )
    order = sorted(left.values(), key=lambda one: rank(f"{seed}\nshots", canonical(one.identity()).decode()))
    return order[:count]


def turns_of(question: Question, instruction: str, shots: Sequence[Question] = ()) -> list[Turn]:
    """Everything a model reads before it answers: the system turn, the examples with their answers, the question."""
    own = [turn for turn in question.turns if turn.role == "system"]
    told = instruction.strip()
    head = own or ([Turn(role="system", content=told)] if told else [])
    shown: list[Turn] = []
    for shot in shots:
        shown += [turn for turn in shot.turns if turn.role != "system"]
        shown.append(Turn(role="assistant", content=shot.references[0]))
    return [*head, *shown, *(turn for turn in question.turns if turn.role != "system")]


def raw_prompt(turns: Sequence[Turn]) -> str:
    """The turns as one text, for a model without a chat template: blank lines between them, a line break before an
    answer."""
    text = ""
    for turn in turns:
        text += turn.content.strip() + ("\n\n" if turn.role in ("assistant", "system") else "\n")
    return text
