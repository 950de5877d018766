"""Texts that a person would call the same come out equal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.text.normalize import normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello \t\n World ", "hello world"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("zero\u200bwidth\ufeff and soft\u00adhyphen", "zerowidth and softhyphen"),
        ("bell\x07 and null\x00", "bell and null"),
        ("Straße", "strasse"),
        ("cafe\u0301", "café"),
        ("❤\ufe0f", "❤"),
        ("ﬁne", "fine"),
        ("no\u00a0break", "no break"),
        ("\u200b \ufeff", ""),
        ("", ""),
    ],
)
def test_folding(text: str, expected: str) -> None:
    assert normalize(text) == expected


def test_what_carries_meaning_stays() -> None:
    assert normalize("Why?") != normalize("Why!")
    assert normalize("naïve") != normalize("naive")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_twice_is_once(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)
