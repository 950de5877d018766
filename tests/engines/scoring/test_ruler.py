"""One ruler: its numbers are those of the scorer, and what a worker takes is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.engines.quantization.quantize_file import Wish, from_gguf
from linnet.engines.scoring.ruler import OWN_TEXT, TOKENS, Measured, measure_gguf, tokenized
from linnet.engines.scoring.scorer import Scorer
from linnet.formats.builtin import our_model
from tests.gguf_files import stories

TEXT = "Once upon a time there was a little girl called Lily. She liked to play in the park with her dog. " * 3


def test_a_file_is_measured_against_its_source(tmp_path: Path) -> None:
    small = tmp_path / "q.gguf"
    from_gguf(stories(), small, Wish("Q4_0", requantize=True))
    texts = tokenized(stories(), {"lily": TEXT, "short": TEXT[:60]}, 1)
    found = measure_gguf(small, texts, name="Q4_0", source=stories(), threads=1)
    assert Measured.model_validate_json(found.model_dump_json()) == found
    assert found.size_bytes == small.stat().st_size
    assert found.parameters == measure_gguf(stories(), {"lily": texts["lily"]}, threads=1).parameters
    assert 4 < found.bits_per_weight < 10
    assert sum(found.types.values()) < found.size_bytes
    assert list(found.texts) == ["lily", "short"]
    assert (found.loss.tokens, found.loss.text_tokens) == (len(texts["lily"]), len(texts["lily"]))
    with Scorer(stories(), context=512, threads=1) as one, Scorer(small, context=512, threads=1) as two:
        assert found.loss.divergence == one.kl_divergence(two, texts["lily"])
        assert found.loss.perplexity == two.perplexity(texts["lily"])
    assert found.cost.decode_tokens_per_s
    assert found.cost.prefill_tokens_per_s
    assert found.cost.peak_memory_bytes > found.size_bytes
    assert found.cost.load_s > 0


def test_a_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    ids = tokenized(stories(), {"long": TEXT * 30}, 1)
    found = measure_gguf(stories(), ids, threads=1)
    assert (found.loss.tokens, found.loss.text_tokens) == (TOKENS, len(ids["long"]))
    assert found.loss.divergence is None


def test_without_a_text_the_model_writes_one() -> None:
    found = tokenized(stories(), {}, 1)
    assert {name: len(ids) for name, ids in found.items()} == {OWN_TEXT: TOKENS}


def test_a_model_of_another_vocabulary_cannot_be_compared() -> None:
    other = Path(our_model("builtin:nano:Q8_0").path)
    with pytest.raises(InputError, match="different vocabularies"):
        measure_gguf(other, {"a": [1, 2, 3, 4, 5]}, source=stories(), threads=1)
