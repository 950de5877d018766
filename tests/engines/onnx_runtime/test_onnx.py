"""The engine that serves: batches of like length, long texts cut, broken files refused."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import CorruptFile, EngineError, NotFound
from linnet.engines.onnx_runtime.onnx import SPREAD_TEXTS, OnnxClassifier, like_length_batches
from tests.tiny import MAX_TOKENS, tiny_engine

LABELS = ["billing", "shipping", "refund"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_engine(tmp_path / "engine", LABELS)
    return tmp_path / "engine"


@pytest.mark.parametrize(
    ("lengths", "budget", "sizes"),
    [
        ([], 10, []),
        ([3], 10, [1]),
        ([2, 2, 2, 2, 2], 10, [5]),
        ([2, 2, 2, 2, 2, 2], 10, [5, 1]),
        ([1, 2, 5, 5], 10, [2, 2]),
        ([1, 4, 11, 12], 10, [2, 1, 1]),
    ],
)
def test_batches_on_hand_numbers(lengths: list[int], budget: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in like_length_batches(lengths, budget)] == sizes


def test_batches_hold_everything_once_in_order_within_the_budget() -> None:
    seeded = random.Random(3)
    for _ in range(50):
        lengths = sorted(seeded.randint(1, 40) for _ in range(seeded.randint(0, 60)))
        batches = like_length_batches(lengths, 64)
        assert [i for batch in batches for i in batch] == list(range(len(lengths)))
        assert all(len(batch) == 1 or len(batch) * lengths[batch[-1]] <= 64 for batch in batches)


def test_no_texts_give_no_rows(folder: Path) -> None:
    engine = OnnxClassifier(folder)
    assert engine.logits([]).shape[0] == 0
    assert engine.token_counts([]) == []


def test_answers_keep_the_order_of_the_texts(folder: Path) -> None:
    texts = [f"{LABELS[i % 3]} {'word1 ' * (i * 7 % 20)}" for i in range(3 * SPREAD_TEXTS)]
    found = OnnxClassifier(folder, thread_count=2).logits(texts)
    assert found.argmax(1).tolist() == [i % 3 for i in range(len(texts))]


def test_an_empty_text_is_answered(folder: Path) -> None:
    assert np.isfinite(OnnxClassifier(folder).logits(["", " "])).all()


def test_a_long_text_is_cut_and_keeps_its_last_token(folder: Path) -> None:
    """[CLS], as many words as fit, [SEP]: the word that would take the place of [SEP] must not be seen."""
    engine = OnnxClassifier(folder)
    assert engine.max_tokens == MAX_TOKENS
    fits = " ".join(["billing", *["word1"] * (MAX_TOKENS - 3)])
    long = f"{fits} shipping {'refund ' * 50}"
    assert engine.token_counts([fits, long]) == [MAX_TOKENS, MAX_TOKENS + 51]
    np.testing.assert_array_equal(engine.logits([long]), engine.logits([fits]))


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["broken", "empty", "absent"])
def test_a_broken_file_is_refused(folder: Path, name: str, damage: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "absent":
        (folder / name).write_bytes(content[: len(content) // 2] if damage == "broken" else b"")
    with pytest.raises(EngineError, match=r"could not be loaded(.|\n)*Build the specialist again"):
        OnnxClassifier(folder)


def test_a_missing_or_broken_description_is_refused(folder: Path) -> None:
    (folder / "engine.json").write_text("{")
    with pytest.raises(CorruptFile, match=r"engine\.json is not valid JSON"):
        OnnxClassifier(folder)
    (folder / "engine.json").unlink()
    with pytest.raises(NotFound, match=r"engine\.json"):
        OnnxClassifier(folder)


def test_many_threads_may_ask_at_once(folder: Path) -> None:
    engine = OnnxClassifier(folder, thread_count=2)
    texts = [f"{LABELS[i % 3]} please" for i in range(2 * SPREAD_TEXTS)]
    expected, found = engine.logits(texts), {}

    def ask(index: int) -> None:
        found[index] = engine.logits(texts)

    askers = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(30)
    assert len(found) == 4
    assert all(np.array_equal(one, expected) for one in found.values())


def test_closing_twice_is_no_error(folder: Path) -> None:
    engine = OnnxClassifier(folder, thread_count=2)
    engine.logits(["billing"] * SPREAD_TEXTS)
    engine.close()
    engine.close()
