"""Labels that the other rows contradict."""

from __future__ import annotations

import random

import pytest

from linnet.core.records import Example
from linnet.text.suspects import MOST_ROWS, find_suspects

pytest.importorskip("sklearn")


def examples(count: int) -> list[Example]:
    chooser = random.Random(5)
    words = {"warm": ["sun", "beach", "summer", "heat"], "cold": ["snow", "ice", "winter", "frost"]}
    labels = [chooser.choice(("warm", "cold")) for _ in range(count)]
    return [
        Example(text=" ".join([*chooser.choices(words[label], k=3), f"n{row}"]), label=label, row=row)
        for row, label in enumerate(labels)
    ]


def flip(example: Example) -> Example:
    return example.model_copy(update={"label": "cold" if example.label == "warm" else "warm"})


def test_flipped_labels_are_found_and_no_others() -> None:
    rows = examples(200)
    for index in (3, 50):
        rows[index] = flip(rows[index])
    found = find_suspects(rows, seed=0)
    assert {suspect.index for suspect in found.found} == {3, 50}
    assert found.total == 2
    assert found.sampled == 200
    assert find_suspects(rows, seed=0) == found


def test_questions_are_answered() -> None:
    rows = examples(100)
    answers = find_suspects(rows, 0, [(0, rows[0].label), (1, flip(rows[1]).label)]).asked
    assert answers[0].probability > 0.5 > answers[1].probability


def test_two_examples_of_each_label_are_enough() -> None:
    rows = [Example(text=f"text {row}", label=f"label {row // 2}", row=row) for row in range(4)]
    assert find_suspects(rows, 0).sampled == 4


def test_texts_of_signs_alone_have_words_too() -> None:
    rows = [Example(text="?!" * (row + 1), label=f"label {row // 2}", row=row) for row in range(4)]
    assert find_suspects(rows, 0).sampled == 4


@pytest.mark.slow
def test_beyond_twenty_thousand_a_sample_is_looked_at() -> None:
    rows = examples(MOST_ROWS + 500)
    rows.append(Example(text="a lonely text", label="rare", row=-1))
    rows.append(Example(text="another lonely text", label="rare", row=-2))
    last = len(rows) - 1
    found = find_suspects(rows, 0, [(last, "rare"), (7, "warm")])
    assert found.sampled == MOST_ROWS
    assert [answer.index for answer in found.asked] == [last, 7]
