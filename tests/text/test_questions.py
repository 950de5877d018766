"""Questions as an evaluation asks them: rows, references, groups, and the examples shown before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError, InputError
from linnet.text.questions import Asking, choose_shots, raw_prompt, read_questions, turns_of


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_columns_with_several_references_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"q": "one?", "a": ["1", "eins"], "who": "x", "n": 1.5}, {"q": "two?", "a": 2}])
    first, second = read_questions(path, Asking("Say: {q}", "a", group="who"))
    assert first.references == ("1", "eins")
    assert (first.asked, first.group, first.row) == ("Say: one?", "x", 1)
    assert first.example["n"] == 1.5
    assert (second.references, second.group) == (("2",), "")


def test_what_tune_reads_is_read_the_same_way(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Well."},
    ]  # fmt: skip
    (found,) = read_questions(write(tmp_path / "a.jsonl", [{"messages": messages}]))
    assert [turn.role for turn in found.turns] == ["system", "user", "assistant", "user"]
    assert found.references == ("Well.",)
    told = turns_of(found, "another instruction")
    assert told[0].content == "Be brief."
    assert len(told) == 4


@pytest.mark.parametrize(
    ("asking", "words"),
    [
        (Asking("nope", "a"), "no column 'nope'"),
        (Asking("q", "nope"), "no column 'nope'"),
        (Asking("q", "q"), "also in the question"),
        (Asking("", "a"), "needs --input"),
        (Asking("q", "a", format="messages"), "two ways"),
        (Asking("empty", "a"), "the question is empty"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, asking: Asking, words: str) -> None:
    path = write(tmp_path / "a.jsonl", [{"q": "one?", "a": "1", "empty": " "}])
    with pytest.raises(InputError, match=words):
        read_questions(path, asking)


def test_a_plain_text_is_no_question(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="plain text"):
        read_questions(write(tmp_path / "a.jsonl", [{"text": "Once."}]))


def test_shots_are_chosen_by_seed_and_never_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"q": f"{i}?", "a": str(i)} for i in range(20)])
    rows = read_questions(path, Asking("q", "a"))
    shots = choose_shots(rows, 5, 0, rows[:3])
    assert shots == choose_shots(rows[::-1], 5, 0, rows[:3])
    assert not {one.asked for one in shots} & {"0?", "1?", "2?"}
    assert choose_shots(rows, 5, 1, rows[:3]) != shots
    with pytest.raises(InputError, match="not asked themselves"):
        choose_shots(rows, 18, 0, rows[:3])
    told = turns_of(rows[0], "Do.", shots)
    assert [turn.role for turn in told] == ["system", *["user", "assistant"] * 5, "user"]
    assert raw_prompt(told).endswith("\n\n0?\n")
