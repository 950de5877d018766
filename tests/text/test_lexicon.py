"""The words of the training rows, found again."""

from __future__ import annotations

from linnet.text.lexicon import Lexicon


def test_the_longest_known_words_are_found_whatever_their_case() -> None:
    known = Lexicon([("Ann met Bob Lee", [("NAME", 0, 3), ("NAME", 8, 15)]), ("Bob of Oslo", [("PLACE", 7, 11)])])
    text = "in OSLO, bob lee and Ann"
    assert [(kind, text[start:end]) for kind, start, end in known.spans(text)] == [
        ("PLACE", "OSLO"), ("NAME", "bob lee"), ("NAME", "Ann"),
    ]  # fmt: skip
    assert Lexicon([]).spans(text) == []


def test_words_that_are_mostly_untagged_are_left_alone() -> None:
    rows = [("May came", [("NAME", 0, 3)]), ("in May", []), ("last May", [])]
    assert Lexicon(rows).spans("May") == []
    assert Lexicon(rows[:1]).spans("may be") == [("NAME", 0, 3)]
