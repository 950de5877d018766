"""Preference rows: their shapes, the columns that are named instead, and what is refused with row and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import CorruptFile, DataError
from linnet.text.preferences import (
    JUDGED,
    PREFERENCE,
    PROMPTS,
    Choices,
    Named,
    choice_lines,
    read_choice_lines,
    read_choices,
)

USER, GOOD, BAD = ({"role": r, "content": c} for r, c in (("user", "q"), ("assistant", "a"), ("assistant", "b")))
SYSTEM = {"role": "system", "content": "s"}


def read(tmp_path: Path, wanted: str, *rows: dict[str, Any], **options: Any) -> Choices:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_choices(path, wanted, **options)


@pytest.mark.parametrize(
    ("row", "roles"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, ["user"]),
        ({"prompt": [SYSTEM, USER], "chosen": [GOOD], "rejected": [BAD]}, ["system", "user"]),
        ({"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, ["user"]),
        ({"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]}, ["system", "user"]),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "system": "s"}, ["system", "user"]),
        ({"prompt": [USER, BAD, USER], "chosen": "a", "rejected": "b"}, ["user", "assistant", "user"]),
    ],
)
def test_a_pair_in_every_form(tmp_path: Path, row: dict[str, Any], roles: list[str]) -> None:
    (choice,) = read(tmp_path, PREFERENCE, row).rows
    assert [turn.role for turn in choice.prompt] == roles
    assert choice.chosen is not None
    assert choice.rejected is not None
    assert (choice.asked, choice.chosen.content, choice.rejected.content) == ("q", "a", "b")
    assert [[turn.learned for turn in chat.turns] for chat in choice.chats()] == [[False] * len(roles) + [True]] * 2


def test_what_is_read_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, PREFERENCE, {"prompt": "q", "chosen": "a", "rejected": "b", "score": 3})
    assert (found.fields, found.unread) == (("prompt", "chosen", "rejected"), ("score",))
    assert found.facts()["reason"] == "by its keys chosen and rejected"


@pytest.mark.parametrize("label", [True, "true", 1, "1"])
def test_judged_answers(tmp_path: Path, label: Any) -> None:
    good, bad = read(
        tmp_path, JUDGED,
        {"prompt": "q", "completion": "a", "label": label}, {"prompt": "q", "completion": "b", "label": False},
    ).rows  # fmt: skip
    assert good.chosen is not None
    assert bad.rejected is not None
    assert (good.rejected, bad.chosen) == (None, None)


def test_pairs_are_judged_answers_too(tmp_path: Path) -> None:
    good, bad = read(tmp_path, JUDGED, {"prompt": "q", "chosen": "a", "rejected": "b"}).rows
    assert (good.row, good.rejected, bad.row, bad.chosen) == (1, None, 1, None)


@pytest.mark.parametrize(
    ("row", "reference"),
    [
        ({"prompt": "q"}, ""),
        ({"question": "q", "answer": "a"}, "a"),
        ({"prompt": "q", "solution": "a"}, "a"),
        ({"messages": [USER, GOOD]}, "a"),
        ({"messages": [USER]}, ""),
        ({"prompt": [USER]}, ""),
    ],
)
def test_prompts_with_and_without_an_answer(tmp_path: Path, row: dict[str, Any], reference: str) -> None:
    (choice,) = read(tmp_path, PROMPTS, {**row, "level": 3}).rows
    assert (choice.asked, choice.reference, choice.fields) == ("q", reference, {"level": "3"})
    assert (choice.chosen, choice.rejected) == (None, None)


def test_columns_can_be_named(tmp_path: Path) -> None:
    row = {"ask": "q", "more": "m", "win": "a", "lose": "b", "ok": "yes"}
    (pair,) = read(tmp_path, PREFERENCE, row, named=Named("{ask}: {more}", ("win", "lose"), "s")).rows
    assert [turn.content for turn in pair.prompt] == ["s", "q: m"]
    (judged,) = read(tmp_path, JUDGED, row, named=Named("ask", ("win", "ok"))).rows
    assert judged.chosen is not None
    (asked,) = read(tmp_path, PROMPTS, row, named=Named("ask", ("win",))).rows
    assert asked.reference == "a"
    with pytest.raises(DataError, match=r"no 'loser'\. Did you mean"):
        read(tmp_path, PREFERENCE, row, named=Named("ask", ("win", "loser")))


@pytest.mark.parametrize(
    ("wanted", "row", "said"),
    [
        (PREFERENCE, {"prompt": "q", "chosen": "a"}, "are not preference pairs"),
        (PREFERENCE, {"prompt": "q", "chosen": "a", "rejected": " "}, "line 1: rejected is empty"),
        (PREFERENCE, {"prompt": "q", "chosen": "a", "rejected": None}, "line 1: rejected is empty"),
        (PREFERENCE, {"prompt": "q", "chosen": "a", "rejected": "a"}, "line 1: chosen and rejected are the same"),
        (PREFERENCE, {"chosen": "a", "rejected": "b"}, "line 1: prompt is needed"),
        (PREFERENCE, {"prompt": "p", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "begins with another prompt"),
        (PREFERENCE, {"prompt": [GOOD], "chosen": "a", "rejected": "b"}, "must end with a message that is not"),
        (PREFERENCE, {"prompt": "q", "chosen": [GOOD, USER], "rejected": "b"}, "chosen must be one answer"),
        (PREFERENCE, {"prompt": "q", "chosen": [{"role": "assistant"}], "rejected": "b"}, "chosen, message 1"),
        (JUDGED, {"prompt": "q", "completion": "a", "label": "maybe"}, "label 'maybe' is neither"),
        (JUDGED, {"prompt": "q", "completion": "a"}, "are not judged answers"),
        (PROMPTS, {"text": "q"}, "are not prompts"),
        (PROMPTS, {"prompt": ""}, "line 1: prompt is empty"),
    ],
)
def test_what_does_not_have_the_shape_is_refused(tmp_path: Path, wanted: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, wanted, row)


def test_lines_hold_choices_unchanged(tmp_path: Path) -> None:
    rows = read(tmp_path, PREFERENCE, {"prompt": "q\u2028", "chosen": "a", "rejected": "b"}).rows
    path = tmp_path / "kept.jsonl"
    path.write_bytes(choice_lines(rows))
    assert read_choice_lines(path) == list(rows)
    assert len(path.read_text().splitlines()) == 1
    path.write_text('{"row": 1}\n')
    with pytest.raises(CorruptFile, match="line 1: this is no choice"):
        read_choice_lines(path)
