"""Held-out chats: the same after edits elsewhere, and never one half of a question."""

from __future__ import annotations

import pytest

from linnet.core.errors import DataError
from linnet.text.conversation_splits import MOST, hold_out_chats, question
from linnet.text.conversations import Chat, Turn


def chat(asked: str, row: int, answer: str = "a") -> Chat:
    return Chat(turns=(Turn(role="user", content=asked), Turn(role="assistant", content=answer)), row=row)


def test_a_tenth_is_held_out_whatever_else_is_edited() -> None:
    rows = [chat(f"q{i}", i) for i in range(200)]
    train, held = hold_out_chats(rows, 0)
    assert (len(train), len(held)) == (180, 20)
    changed = [chat("other", 7) if c.row == 7 else c for c in rows]
    assert len({c.row for c in held} ^ {c.row for c in hold_out_chats(changed, 0)[1]} - {7}) <= 2
    assert {c.row for c in held} != {c.row for c in hold_out_chats(rows, 1)[1]}
    assert len(hold_out_chats([chat(f"q{i}", i) for i in range(5000)], 0)[1]) == MOST


def test_the_same_question_is_on_one_side() -> None:
    rows = [chat(f"q{i % 15}", i, str(i)) for i in range(150)]
    train, held = hold_out_chats(rows, 3)
    assert held
    assert not {question(c) for c in train} & {question(c) for c in held}


def test_two_rows_are_enough_and_one_question_is_not() -> None:
    assert [len(side) for side in hold_out_chats([chat("a", 1), chat("b", 2)], 0)] == [1, 1]
    with pytest.raises(DataError, match="All 3 rows ask the same"):
        hold_out_chats([chat("a", i) for i in range(3)], 0)
