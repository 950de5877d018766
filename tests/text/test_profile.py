"""Counts of what a set of examples looks like."""

from __future__ import annotations

from linnet.core.records import Example
from linnet.text.profile import balance, lengths, pii_summary, similar_labels


def of_words(counts: list[int]) -> list[Example]:
    return [Example(text=" ".join(["w"] * count), label="x", row=row) for row, count in enumerate(counts)]


def test_lengths_are_values_that_occur() -> None:
    found = lengths(of_words(list(range(1, 101))))
    assert found["words"] == {"p50": 50, "p95": 95, "max": 100}
    assert found["characters"] == {"p50": 99, "p95": 189, "max": 199}


def test_one_long_text_gets_a_bar_of_its_own() -> None:
    bars = lengths(of_words([5] * 99 + [10_000]))["histogram"]
    assert sum(bar["count"] for bar in bars) == 100
    assert bars[-1]["high"] == 10_000
    assert bars[-1]["count"] == 1
    assert [bar["low"] for bar in bars[1:]] == [bar["high"] + 1 for bar in bars[:-1]]
    assert next(bar for bar in bars if bar["low"] <= 5 <= bar["high"])["count"] == 99


def test_balance() -> None:
    rows = [Example(text="t", label=label, row=0) for label in "aaaab"]
    assert balance(rows) == {"largest": ["a", 4], "smallest": ["b", 1], "ratio": 4.0}


def test_personal_data_is_counted_and_never_shown() -> None:
    rows = [
        Example(text="ann@mail.example.org and bob@mail.example.org", label="x", row=2),
        Example(text="nothing here", label="x", row=3),
        Example(text="from 84.12.9.201", label="x", row=4),
    ]
    assert pii_summary(rows) == {
        "rows": 2,
        "kinds": {"email": 2, "ipv4": 1},
        "examples": [{"row": 2, "kind": "email"}, {"row": 4, "kind": "ipv4"}],
    }


def test_labels_that_look_alike() -> None:
    assert similar_labels(["card_lost", "Card lost", "refund", "card-lost", "refunds"]) == [
        ("card_lost", "Card lost"),
        ("card_lost", "card-lost"),
    ]
