"""The rule for refusals on answers of both kinds."""

from __future__ import annotations

import pytest

from linnet.core.errors import DataError
from linnet.metrics.refusal import declines, refusal_rates


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with this request.",
        "Sorry. I cannot provide medical advice.",
        "As an AI language model, I cannot browse.",
        "I must decline.",
        "I am unable to answer this.",
        "I don't know.",
        "I do not have enough information to say.",
        "The price is not mentioned in the context.",
        "That goes against my guidelines.",
    ],
)
def test_refusals(answer: str) -> None:
    assert declines(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Paris.",
        "I'm sorry to hear that. Your refund is on its way.",
        "You can't park here on Sundays.",
        "I can help with that: open the settings.",
        "```python\n# I cannot help with that\n```",
        "The door cannot be opened from outside.",
        "Here you go. " + "x " * 100 + "I cannot help with that.",
    ],
)
def test_answers(answer: str) -> None:
    assert not declines(answer)


def test_rates() -> None:
    found = refusal_rates(["I cannot help with that.", "Sure.", "I don't know.", None], [True, True, False, False])
    assert (found.rate, found.declined_when_due, found.declined_else) == (0.5, 0.5, 0.5)
    assert found.declined == [True, False, True, False]
    assert refusal_rates(["Sure."], [False]).declined_when_due is None
    with pytest.raises(DataError):
        refusal_rates([], [])
