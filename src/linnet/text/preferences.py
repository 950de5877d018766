"""Rows that say which answer is better: pairs (chosen, rejected), judged answers (completion, label), or prompts alone.

Prompt and answers are texts or lists of OpenAI's messages. What is recognised can be overridden by naming columns. A
row that does not have the shape is an error with its file, row and field: none is passed over. Knows no tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from linnet.core.errors import CorruptFile, DataError, did_you_mean, os_errors
from linnet.core.files import canonical
from linnet.core.records import Record
from linnet.core.task import fill_template, template_columns
from linnet.text.conversation_formats import PAIRS, Recognised, recognised, system_turns, tools_of
from linnet.text.conversation_rows import RawRows, parsed_if_text, read_rows, text_of
from linnet.text.conversations import LINE_ENDS, Chat, Turn, turns_of_messages

Row = Mapping[str, Any]
PREFERENCE, JUDGED, PROMPTS = "preference", "judged", "prompts"
QUESTIONS = ("prompt", "question", "query", "instruction")
YES, NO = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")


class Choice(Record):
    """One row: what was asked, and the answer to prefer, the one to avoid, or both; neither for a prompt alone.

    `reference` is the right answer of a prompt where there is one, `fields` the other short values of its row: what a
    reward may look at.
    """

    row: int
    prompt: tuple[Turn, ...]
    chosen: Turn | None = None
    rejected: Turn | None = None
    reference: str = ""
    fields: dict[str, str] = Field(default_factory=dict)
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def asked(self) -> str:
        """The text of the last message of the prompt."""
        return self.prompt[-1].content

    def chat(self, answer: Turn) -> Chat:
        """The prompt with an answer of it, which alone is learned."""
        before = tuple(turn.model_copy(update={"learned": False}) for turn in self.prompt)
        return Chat(turns=(*before, answer.model_copy(update={"learned": True})), row=self.row, tools=self.tools)

    def chats(self) -> tuple[Chat, ...]:
        """One chat for each answer; of a prompt alone its last message as plain text."""
        found = tuple(self.chat(answer) for answer in (self.chosen, self.rejected) if answer is not None)
        return found or (Chat(turns=(), row=self.row, passage=self.asked),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices(Recognised):
    """A file of preferences."""

    rows: tuple[Choice, ...]

    def facts(self) -> dict[str, Any]:
        return self.told(len(self.rows))


@dataclass(frozen=True, slots=True)
class Named:
    """Columns that the user names: the question, or a template of columns; chosen and rejected, completion and label,
    or a reference; and what is told before each question."""

    question: str
    answers: tuple[str, ...] = ()
    instruction: str = ""


def read_choices(path: Path, wanted: str, *, named: Named | None = None, split: str = "") -> Choices:
    """Read a file as `wanted`: PREFERENCE, JUDGED (pairs are taken apart) or PROMPTS (answers become references).

    Raises NotFound, InputError for an unknown split, ResourceMissing, or DataError with file, row and field.
    """
    found = read_rows(path, split=split, plain="no")
    rows = found.rows if named is None else [_renamed(found, i, wanted, named) for i in range(len(found.rows))]
    kind, reason = _recognise(rows[0], found.path.name, wanted)
    reason = "as named" if named else reason
    choices: list[Choice] = []
    read: set[str] = set()
    for index, row in enumerate(rows):
        made, used = _READ[kind](row, found.numbers[index], found.where(index))
        choices += made if wanted != PROMPTS else [made[0].model_copy(update={"fields": _short(row, used)})]
        read |= used
    if named:
        read = {*template_columns(named.question), *named.answers}
    if wanted == JUDGED:
        choices = [part for choice in choices for part in _apart(choice)]
    return Choices(rows=tuple(choices), **recognised(found, kind, reason, read))


def _recognise(row: Row, name: str, wanted: str) -> tuple[str, str]:
    keys = set(row)
    if wanted == PROMPTS:
        if "messages" in keys:
            return "prompts in messages", "by its key messages"
        if key := next((key for key in QUESTIONS if key in keys), ""):
            return PROMPTS, f"by its key {key}"
        hint = "A row needs a prompt (or question, messages). Or name columns: --input QUESTION [--output REFERENCE]."
    else:
        if {"chosen", "rejected"} <= keys:
            return PREFERENCE, "by its keys chosen and rejected"
        if wanted == JUDGED and {"prompt", "completion", "label"} <= keys:
            return JUDGED, "by its keys prompt, completion and label"
        hint = "Name them: --input PROMPT --output CHOSEN,REJECTED."
        if wanted == JUDGED:
            hint = "Name them: --input PROMPT --output COMPLETION,LABEL."
    raise DataError(f"{name}: its columns {', '.join(map(repr, row))[:300]} are not {_SHAPE[wanted]}.", hint)


_SHAPE = {
    PREFERENCE: "preference pairs: prompt, chosen, rejected",
    JUDGED: "judged answers: prompt, completion, label; nor preference pairs",
    PROMPTS: "prompts",
}


def _renamed(found: RawRows, index: int, wanted: str, named: Named) -> dict[str, Any]:
    """A row under the names that are recognised."""
    row, where = found.rows[index], found.where(index)
    known = list(row)
    questions = template_columns(named.question)
    for column in (*questions, *named.answers):
        if column not in row:
            hint = f"Its columns are: {', '.join(map(repr, known))[:300]}."
            raise DataError(f"{where}: there is no {column!r}.{did_you_mean(column, known)}", hint)
    asked = row[named.question] if len(questions) == 1 and "{" not in named.question else None
    if asked is None:
        asked = fill_template(named.question, {c: text_of(row[c], f"{where}, {c!r}") for c in questions})
    names = {PREFERENCE: ("chosen", "rejected"), JUDGED: ("completion", "label"), PROMPTS: ("reference",)}[wanted]
    made = {"prompt": asked, **dict(zip(names, (row[column] for column in named.answers), strict=True))}
    if wanted == PROMPTS:
        made = {**{key: value for key, value in row.items() if key not in QUESTIONS}, **made}
    return made | ({"system": named.instruction} if named.instruction.strip() else {})


def _pair(row: Row, number: int, where: str) -> tuple[list[Choice], set[str]]:
    sides = [_side(row, key, where) for key in ("chosen", "rejected")]
    shared = 0
    while shared < min(map(len, sides)) - 1 and sides[0][shared] == sides[1][shared]:
        shared += 1
    prompt = _prompt(row, where) if row.get("prompt") is not None else ()
    if shared and prompt and tuple(sides[0][:shared])[-len(prompt) :] != prompt:
        raise DataError(f"{where}: chosen begins with another prompt than prompt.", "Correct it, or leave prompt out.")
    prompt = (*system_turns(row, where), *(sides[0][:shared] if shared else prompt))
    if not prompt:
        raise DataError(f"{where}: prompt is needed.", "Fill it, or give chosen and rejected as whole conversations.")
    answers = [_one(side[shared:], key, where) for side, key in zip(sides, ("chosen", "rejected"), strict=True)]
    if answers[0] == answers[1]:
        raise DataError(f"{where}: chosen and rejected are the same.", "Remove the row: it says nothing.")
    made = Choice(row=number, prompt=prompt, chosen=answers[0], rejected=answers[1], tools=tools_of(row, where))
    return [made], {"prompt", "chosen", "rejected", "system", "tools"}


def _judged(row: Row, number: int, where: str) -> tuple[list[Choice], set[str]]:
    answer = _one(_side(row, "completion", where), "completion", where)
    said = text_of(row.get("label"), f"{where}, 'label'").strip().lower()
    if said not in (*YES, *NO):
        raise DataError(f"{where}: label {said[:80]!r} is neither true nor false.", "Write true for a good answer.")
    kept = {"chosen" if said in YES else "rejected": answer}
    prompt = (*system_turns(row, where), *_prompt(row, where))
    made = Choice(row=number, prompt=prompt, tools=tools_of(row, where), **kept)
    return [made], {"prompt", "completion", "label", "system", "tools"}


def _asked(row: Row, number: int, where: str) -> tuple[list[Choice], set[str]]:
    key = next((key for key in QUESTIONS if key in row), QUESTIONS[0])
    answers = ("reference", *(answer for question, answer in PAIRS if question == key), "solution", "answer")
    answer = next((name for name in answers if row.get(name) is not None), "")
    reference = text_of(row[answer], f"{where}, {answer!r}") if answer else ""
    prompt = (*system_turns(row, where), *_prompt(row, where, key))
    made = Choice(row=number, prompt=prompt, reference=reference, tools=tools_of(row, where))
    return [made], {key, "system", "tools", *([answer] if answer else [])}


def _asked_in_messages(row: Row, number: int, where: str) -> tuple[list[Choice], set[str]]:
    turns = _messages(row.get("messages"), f"{where}, messages")
    reference = turns[-1].content if turns[-1].role == "assistant" else ""
    prompt = _checked_prompt(turns[:-1] if turns[-1].role == "assistant" else turns, where)
    made = Choice(row=number, prompt=prompt, reference=reference, tools=tools_of(row, where))
    return [made], {"messages", "tools"}


_READ = {PREFERENCE: _pair, JUDGED: _judged, PROMPTS: _asked, "prompts in messages": _asked_in_messages}


def _messages(value: Any, where: str) -> tuple[Turn, ...]:
    return turns_of_messages(parsed_if_text(value, where), where)


def _prompt(row: Row, where: str, key: str = "prompt") -> tuple[Turn, ...]:
    value = row.get(key)
    if isinstance(value, list):
        return _checked_prompt(_messages(value, f"{where}, {key}"), where)
    found = text_of(value, f"{where}, {key!r}")
    if not found.strip():
        raise DataError(f"{where}: {key} is empty.", "Fill it, or remove the row.")
    return (Turn(role="user", content=found),)


def _checked_prompt(turns: tuple[Turn, ...], where: str) -> tuple[Turn, ...]:
    if not turns or turns[-1].role == "assistant":
        raise DataError(f"{where}: the prompt must end with a message that is not the assistant's.", "Correct the row.")
    return turns


def _side(row: Row, key: str, where: str) -> tuple[Turn, ...]:
    value = row.get(key)
    if isinstance(value, list):
        return _messages(value, f"{where}, {key}")
    found = text_of(value, f"{where}, {key!r}")
    if not found.strip():
        raise DataError(f"{where}: {key} is empty.", "Fill it, or remove the row.")
    return (Turn(role="assistant", content=found),)


def _one(turns: Sequence[Turn], key: str, where: str) -> Turn:
    if len(turns) != 1 or turns[0].role != "assistant":
        said = ", ".join(turn.role for turn in turns)
        raise DataError(f"{where}: {key} must be one answer of the assistant, not {said}.", "Put the rest into prompt.")
    return turns[0]


def _apart(choice: Choice) -> list[Choice]:
    """A pair as two judged answers."""
    if choice.chosen is None or choice.rejected is None:
        return [choice]
    return [choice.model_copy(update={"rejected": None}), choice.model_copy(update={"chosen": None})]


def _short(row: Row, used: set[str]) -> dict[str, str]:
    """The values beside the prompt that are no lists or objects, as texts."""
    return {key: str(value) for key, value in row.items() if key not in used and not isinstance(value, list | dict)}


def choice_lines(choices: Sequence[Choice]) -> bytes:
    """Choices as JSON Lines: the same choices are the same bytes."""
    kept = (choice.model_dump(mode="json", exclude_defaults=True) for choice in choices)
    return "".join(canonical(value).decode().translate(LINE_ENDS) + "\n" for value in kept).encode()


def read_choice_lines(path: Path) -> list[Choice]:
    """What `choice_lines` made of choices. Raises NotFound, or CorruptFile with the line."""
    with os_errors(path, "Reading"):
        lines = path.read_bytes().split(b"\n")
    choices = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            choices.append(Choice.model_validate_json(line))
        except ValidationError as error:
            raise CorruptFile(f"{path}, line {number}: this is no choice.", "Start the training again.") from error
    return choices
