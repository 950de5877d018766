"""Calibration text in tokens: the user's, with the model's template, or the model's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.engines.quantization.importance import OWN_TEXT, own_text, text_of, tokens_for
from linnet.engines.scoring.llama_context import Model
from linnet.text.calibration import Calibration
from linnet.text.conversations import Chat, Turn
from tests.gguf_files import F32, stories, tiny


@pytest.fixture
def model() -> Iterator[Model]:
    opened = Model(stories())
    yield opened
    opened.close()


def calibration(count: int, passage: str = "") -> Calibration:
    turns = () if passage else (Turn(role="user", content="Who is it?"), Turn(role="assistant", content="A red ball."))
    return Calibration("mine.csv", "0" * 64, tuple(Chat(turns=turns, row=i, passage=passage) for i in range(count)))


def test_a_model_writes_text_like_what_it_learned_and_the_same_again(model: Model) -> None:
    ids = own_text(model, 200, 1)
    assert len(ids) == 200
    assert ids == own_text(model, 200, 1)
    assert ids != own_text(model, 200, 1, seed=1)
    found = text_of(model, stories(), None, 200, 1)
    assert (found.name, found.tokens) == (OWN_TEXT, 201)
    assert found.windows[0][0] == model.bos
    assert set(model.tokenize("Once upon a time", False, False)) <= set(ids)


def test_text_of_the_user_is_cut_into_windows(model: Model) -> None:
    found = text_of(model, stories(), calibration(200, "Once upon a time there was a cat."), 1500, 1)
    assert found.name == "mine.csv"
    assert [len(window) for window in found.windows] == [512, 512, 479]
    assert all(window[0] == model.bos for window in found.windows)
    assert found.tokens == 1500 + len(found.windows)


def test_without_a_template_chats_are_lines(model: Model) -> None:
    found = text_of(model, stories(), calibration(4), 1500, 1)
    assert model.detokenize(found.windows[0], special=False).decode().count("Who is it?\nA red ball.\n") == 4


def test_with_a_template_they_are_written_with_it(tmp_path: Path) -> None:
    path = tiny(tmp_path / "tiny.gguf", llama__attention__layer_norm_rms_epsilon=(F32, 1e-5))
    opened = Model(path)
    try:
        found = text_of(opened, path, calibration(4), 1500, 1)
        text = opened.detokenize([token for window in found.windows for token in window], special=True).decode()
    finally:
        opened.close()
    assert text.count("<|im_start|>user") == 4


def test_too_little_text_is_refused(model: Model) -> None:
    with pytest.raises(InputError, match=r"mine\.csv: \d tokens are too few"):
        text_of(model, stories(), calibration(1, "Once"), 1500, 1)


def test_large_models_get_less_text() -> None:
    assert tokens_for(10**6) > tokens_for(10**10) >= 4096
