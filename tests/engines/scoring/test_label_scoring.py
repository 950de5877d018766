"""A decoder as a classifier: probabilities of whole answers, texts that are too long cut from behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import InputError
from linnet.core.files import write_json
from linnet.core.records import Decision
from linnet.engines.base import GGUF, answers
from linnet.engines.classifiers import open_classifier
from linnet.engines.scoring.label_scoring import CLASSIFIER, DecoderClassifier, LabelScorer
from linnet.formats.builtin import our_model
from tests.engines.made_llama import make_gguf, needs_stories

LABELS = ["refund", "delivery", "refund of a delivery"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    shutil.copyfile(our_model("builtin:nano:Q8_0").path, folder / GGUF)
    write_json(folder / CLASSIFIER, {"instruction": "Which label?", "labels": LABELS, "context": 128})
    return folder


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Iterator[DecoderClassifier]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_THREADS", "1")
        opened = open_classifier(folder)
        assert isinstance(opened, DecoderClassifier)
        yield opened
        opened.close()


def test_alone_and_among_others_a_text_scores_the_same(classifier: DecoderClassifier) -> None:
    texts = ["Where is my parcel?", "I want my money back.", "Hello", "x " * 20]
    together = classifier.logits(texts)
    assert together.shape == (4, 3)
    assert (together < 0).all()
    for text, row in zip(texts, together, strict=True):
        # 8-bit weights round activations in blocks: a large batch takes another kernel than a single row.
        np.testing.assert_allclose(classifier.logits([text])[0], row, rtol=0.02)
    found = answers(together, Decision(labels=LABELS))
    assert sum(found[0].probabilities.values()) == pytest.approx(1, abs=1e-3)


def test_a_long_text_is_cut_to_what_fits(classifier: DecoderClassifier) -> None:
    (count,) = classifier.token_counts(["word " * 500])
    assert count > classifier.max_tokens
    assert np.isfinite(classifier.logits(["word " * 500])).all()


def test_an_instruction_that_leaves_no_room_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(folder / GGUF, tmp_path / GGUF)
    write_json(tmp_path / CLASSIFIER, {"instruction": "word " * 300, "labels": LABELS, "context": 128})
    opened = open_classifier(tmp_path)
    with pytest.raises(InputError, match="instruction alone"):
        opened.logits(["x"])
    opened.close()


@needs_stories
def test_a_base_model_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no chat template"):
        LabelScorer(make_gguf(tmp_path / "base.gguf"), LABELS)
