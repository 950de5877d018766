"""The rule for support by sources, on sentences whose answer is known."""

from __future__ import annotations

import pytest

from linnet.metrics.groundedness import groundedness, grounding, sentences
from linnet.metrics.scores import score_each

SOURCE = "The museum opened in 1,987 and holds 12.5 million objects. Entry is free on Sundays for students."


@pytest.mark.parametrize(
    ("sentence", "supported"),
    [
        ("The museum opened in 1987.", True),
        ("The museum opened in 1988.", False),
        ("Students enter free on Sundays.", True),
        ("It holds 12.5 million objects.", True),
        ("It holds 12 million objects.", False),
        ("Dinosaurs fill the eastern hall.", False),
    ],
)
def test_one_sentence(sentence: str, supported: bool) -> None:
    assert grounding(sentence, [SOURCE]).share == float(supported)


def test_the_share_and_the_rest_named() -> None:
    found = grounding("So. The museum opened in 1987. It was built by Romans in stone.", ["Other text.", SOURCE])
    assert (found.share, found.sentences) == (0.5, 2)
    assert found.unsupported == ["It was built by Romans in stone."]
    assert grounding("", [SOURCE]).share is None
    assert grounding("The museum opened in 1987.", []).share == 0


def test_support_must_come_from_one_source() -> None:
    assert grounding("Entry was free in 1987.", ["Entry is free.", "The year 1987."]).share == 0


def test_as_a_metric() -> None:
    found = score_each(("grounded", "1"), groundedness(), ["The museum opened in 1987.", ""], [[SOURCE], [SOURCE]])
    assert [score.value for score in found.per_example] == [1, 0]


def test_sentences() -> None:
    assert sentences('One. "Two!" Three?\nfour 3.5 e.g. five') == ["One.", '"Two!', "Three?", "four 3.5 e.g. five"]
