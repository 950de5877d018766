"""Words, windows and tags: every word is read once, and the best sequence is the best of all that are one."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from linnet.engines.tags import Reader, Reading, Word, best_tags, entities, word_tags

LABELS = ["A", "B"]


def reader(folder: Path, max_tokens: int) -> Reader:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "ab": 3, "##c": 4, "x": 5, "-": 6}
    made = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    made.save(str(folder / "tokenizer.json"))
    return Reader(folder / "tokenizer.json", max_tokens)


def test_a_word_is_its_first_token_and_its_place(tmp_path: Path) -> None:
    (found,) = reader(tmp_path, 64).read(["abcc-x  abc "])
    assert found.words == [Word(0, 0, 4), Word(3, 4, 5), Word(4, 5, 6), Word(5, 8, 11)]
    assert found.windows[0].ids == [0, 3, 4, 4, 6, 5, 3, 4, 1]
    assert found.tokens == 7
    assert reader(tmp_path, 64).read([" "])[0].words == []


@pytest.mark.parametrize("count", [1, 5, 6, 7, 8, 11, 12, 50])
def test_windows_hold_every_token_and_each_word_has_one(tmp_path: Path, count: int) -> None:
    (found,) = reader(tmp_path, 8).read([" ".join(["x"] * count)])
    assert all(len(one.ids) <= 8 and one.ids[0] == 0 and one.ids[-1] == 1 for one in found.windows)
    covered = {place for one in found.windows for place in range(one.begin, one.begin + one.count)}
    assert covered == set(range(count))
    assert found.tokens == count
    for word in found.words:
        window = found.windows[found.owner(word)]
        assert window.begin <= word.token < window.begin + window.count


def test_words_get_the_tag_of_the_span_they_touch() -> None:
    words = [Word(i, 2 * i, 2 * i + 1) for i in range(5)]
    assert word_tags(words, [("B", 0, 3), ("A", 4, 5), ("A", 6, 7)], LABELS) == [3, 4, 1, 1, 0]


def is_one(tags: tuple[int, ...]) -> bool:
    before = 0
    for tag in tags:
        if tag and tag % 2 == 0 and before not in (tag - 1, tag):
            return False
        before = tag
    return True


@pytest.mark.parametrize("seed", range(20))
def test_the_best_sequence_is_the_best_of_all(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 5)).astype(np.float32)
    every = [tags for tags in itertools.product(range(5), repeat=4) if is_one(tags)]
    best = max(every, key=lambda tags: sum(float(scores[i, tag]) for i, tag in enumerate(tags)))
    assert tuple(best_tags(scores)) == best
    assert best_tags(scores[:0]) == []


def test_spans_have_their_words_and_their_least_sure_probability() -> None:
    text = "aa bb cc"
    reading = Reading(text, [Word(0, 0, 2), Word(1, 3, 5), Word(2, 6, 8)], [])
    shares = np.array([[0.1, 0.7, 0.1, 0.05, 0.05], [0.1, 0.1, 0.5, 0.2, 0.1], [0.9, 0.025, 0.025, 0.025, 0.025]])
    (found,) = entities(reading, np.log(shares).astype(np.float32), LABELS)
    assert found[:4] == ("A", 0, 5, "aa bb")
    assert found.probability == pytest.approx(0.6, abs=1e-5)
