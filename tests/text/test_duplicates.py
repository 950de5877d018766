"""Exact and near duplicates, against the definition computed the slow way."""

from __future__ import annotations

import random

import pytest

from linnet.text.duplicates import (
    SIMILARITY,
    exact_duplicates,
    exact_matches,
    near_duplicates,
    near_matches,
    shingles,
    similarity,
)

pytest.importorskip("datasketch")


def sentences(count: int, seed: int = 7, words: int = 12) -> list[str]:
    chooser = random.Random(seed)
    known = ["".join(chooser.choices("abcdefghijklmnopqrstuvwxyz", k=chooser.randint(3, 9))) for _ in range(2000)]
    return [" ".join(chooser.choices(known, k=words)) for _ in range(count)]


def test_exact_groups_ignore_case_width_and_space() -> None:
    assert exact_duplicates(["A b", "c", "a  B", "C\u200b", "d", "ａ b"]) == [[0, 2, 5], [1, 3]]


def test_exact_matches_name_the_first_of_the_others() -> None:
    matches = exact_matches(["x", "Same", "same"], ["other", "SAME", "same"])
    assert [(m.index, m.other) for m in matches] == [(1, 1), (2, 1)]


def test_similarity_of_known_sets() -> None:
    assert similarity(shingles("abcdef"), shingles("ABCDEF")) == 1.0
    assert similarity(shingles("abcdef"), shingles("bcdefg")) == pytest.approx(1 / 3)
    assert shingles("abc") == {"abc"}


def test_near_duplicates_are_found_and_nothing_else() -> None:
    base = sentences(300)
    texts = base + [text + "." for text in base[:100]] + [text[3:] for text in base[100:200]]
    pieces = [shingles(text) for text in texts]
    true = {
        later
        for later in range(len(texts))
        for earlier in range(later)
        if similarity(pieces[later], pieces[earlier]) >= SIMILARITY
    }
    matches = near_duplicates(texts)
    found = {match.index for match in matches}
    assert len(true) > 150
    assert found <= true
    assert len(found) >= 0.99 * len(true)
    assert all(match.other < match.index and match.similarity >= SIMILARITY for match in matches)


def test_a_near_duplicate_points_at_the_first_kept_text() -> None:
    text = sentences(1)[0]
    matches = near_duplicates([text, text + ".", text + "!", "something else entirely"])
    assert [(match.index, match.other) for match in matches] == [(1, 0), (2, 0)]


def test_texts_of_other_labels_are_matched_and_stay() -> None:
    text = sentences(1)[0]
    matches = near_duplicates([text, text + ".", text + "!"], ["a", "b", "b"])
    # The second stays, under another label; the third repeats the second.
    assert [(match.index, match.other) for match in matches] == [(1, 0), (2, 1)]


def test_near_matches_between_two_lists() -> None:
    train, others = sentences(50), sentences(50, seed=8)
    test = [*others[:20], train[7] + "?", train[30]]
    assert [(match.index, match.other) for match in near_matches(train, test)] == [(7, 20), (30, 21)]


def test_empty_lists() -> None:
    assert near_duplicates([]) == []
    assert near_matches([], ["a"]) == []
    assert near_matches(["a"], []) == []


@pytest.mark.slow
def test_one_near_duplicate_is_found_among_thirteen_thousand_texts() -> None:
    texts = sentences(13_000)
    texts.append(texts[6_500] + " ok")
    found = {(match.index, match.other) for match in near_duplicates(texts)}
    assert (13_000, 6_500) in found


def test_many_texts_from_one_template_do_not_explode() -> None:
    chooser = random.Random(3)
    template = "Your parcel {} for order {} leaves our house on {} and comes soon."
    texts = [template.format(*(chooser.randrange(10**6) for _ in range(3))) for _ in range(2_000)]
    texts.append(texts[700] + ".")
    matches = near_duplicates(texts)
    # Counted in one go, as they are here, similarities are those of the sets.
    assert (matches[-1].index, matches[-1].other) == (2_000, 700)
    for match in matches:
        assert match.similarity == similarity(shingles(texts[match.index]), shingles(texts[match.other]))
