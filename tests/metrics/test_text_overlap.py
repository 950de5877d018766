"""BLEU, chrF and ROUGE are the libraries' own numbers, with gaps in the data answered in words."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from linnet.core.errors import DataError
from linnet.metrics.bootstrap import bootstrap, of_sums
from linnet.metrics.text_overlap import bleu, bleu_of_sums, bleu_sums, chrf, chrf_each, lengths, rouge
from tests.shared import shared_data

sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")

WORDS = ["the", "a", "cat", "dog", "sat", "mat", "ran", "home", ",", ".", "very", "12", "It's", "well-known"]


def corpus(n: int, references: int = 2) -> tuple[list[str], list[list[str]]]:
    chance = random.Random(0)
    wanted = [[" ".join(chance.choices(WORDS, k=chance.randint(3, 15))) for _ in range(references)] for _ in range(n)]
    return [" ".join(w if chance.random() < 0.8 else "x" for w in row[0].split()) for row in wanted], wanted


def test_equal_to_sacrebleu() -> None:
    predictions, references = corpus(60)
    streams = [list(stream) for stream in zip(*references, strict=True)]
    assert bleu(predictions, references).value == sacrebleu.corpus_bleu(predictions, streams).score
    assert chrf(predictions, references).value == sacrebleu.corpus_chrf(predictions, streams).score
    plus = sacrebleu.corpus_chrf(predictions, streams, word_order=2).score
    assert chrf(predictions, references, word_order=2).value == plus
    assert "tok:13a|smooth:exp|version:" in bleu(predictions, references).signature


def test_the_example_of_the_bleu_paper() -> None:
    # Papineni et al. 2002, section 2.1.1: "the" seven times; two of seven unigrams are allowed.
    reference = ["The cat is on the mat .".lower(), "There is a cat on the mat .".lower()]
    sums = bleu_sums(["the the the the the the the"], [reference])
    assert sums[0, [0, 4]].tolist() == [2, 7]


def test_bleu_of_sums_is_bleu() -> None:
    for predictions, references in (corpus(40), (["a b", "c"], [["a b"], ["d"]]), (["x y"], [["a b"]])):
        found = bleu_of_sums(bleu_sums(predictions, references).sum(axis=0)[None])[0]
        assert found == pytest.approx(bleu(predictions, references).value)


def test_an_interval_of_bleu() -> None:
    predictions, references = corpus(60)
    found = bootstrap(of_sums(bleu_sums(predictions, references), bleu_of_sums), 60)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(bleu(predictions, references).value)


def test_fewer_references_for_some() -> None:
    predictions = ["the cat sat", "a dog ran home"]
    found = bleu(predictions, [["the cat sat", "a cat sat"], ["the dog ran home"]])
    assert (
        found.value
        == sacrebleu.corpus_bleu(predictions, [["the cat sat", "the dog ran home"], ["a cat sat", None]]).score
    )


def test_gaps_are_said() -> None:
    predictions, references = ["the cat sat down", None, "a dog", "  "], [["the cat sat down"], ["x y"], [], ["z"]]
    found = bleu(predictions, references)
    assert found.examples == 3
    assert {place: words.partition(":")[0] for place, words in found.problems.items()} == {
        1: "there is no prediction",
        2: "there is no reference",
        3: "the prediction is empty",
    }
    assert found.value == sacrebleu.corpus_bleu(["the cat sat down", "", ""], [["the cat sat down", "x y", "z"]]).score
    each = rouge(predictions, references)["rouge1"]
    assert [score.value for score in each.per_example] == [1, 0, None, 0]
    assert each.value == pytest.approx(1 / 3)
    assert bleu_sums(predictions, references)[2].tolist() == [0] * 10


@pytest.mark.parametrize("metric", [bleu, chrf, rouge, lengths, chrf_each, bleu_sums])
@pytest.mark.parametrize("bad", [([], []), (["a"], [["a"], ["b"]]), (["a"], [[]]), (["a"], [[" "]]), (["a"], ["a"])])
def test_what_cannot_be_judged(metric, bad) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError):
        metric(*bad)


def test_rouge_is_the_best_of_several_references() -> None:
    predictions, references = corpus(30)
    for stem in (False, True):
        scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=stem)
        for name, found in rouge(predictions, references, stem=stem).items():
            best = [
                max(scorer.score(reference, text)[name].fmeasure for reference in wanted)
                for text, wanted in zip(predictions, references, strict=True)
            ]
            assert [score.value for score in found.per_example] == pytest.approx(best)
            assert found.value == pytest.approx(np.mean(best))


def test_rouge_by_hand() -> None:
    found = rouge(["police killed the gunman"], [["police kill the gunman"]])  # Lin 2004, section 3
    assert [found[name].value for name in ("rouge1", "rouge2", "rougeL")] == [0.75, pytest.approx(1 / 3), 0.75]
    assert rouge(["police killed the gunman"], [["police kill the gunman"]], stem=True)["rouge1"].value == 1
    lines = rouge(["one two\nthree four"], [["three four\none two"]])
    assert (lines["rougeL"].value, lines["rougeLsum"].value) == (0.5, 1)


def test_sentence_chrf_is_against_the_best_reference() -> None:
    found = chrf_each(["the cat"], [["the cat", "a dog"]])
    assert found.value == pytest.approx(100)
    assert found.version.startswith("sacrebleu ")


def test_lengths_by_hand() -> None:
    found = lengths(["a b c", "a", None], [["a b", "a b c d e f"], ["a b", "a b c d"], ["x"]])
    assert found.per_example == [1.5, 0.5, 0]
    assert found.ratio == pytest.approx(4 / 5)


def test_real_summaries() -> None:
    path = shared_data("scitldr") / "dev.jsonl"
    if not path.is_file():
        pytest.skip("scitldr is not here")
    rows = [json.loads(line) for line in path.read_text().splitlines()[:40]]
    predictions, references = [row["source"][0] for row in rows], [row["target"] for row in rows]
    found = rouge(predictions, references)
    assert 0 < found["rouge2"].value < found["rougeL"].value <= found["rouge1"].value < 0.6
    assert rouge([row[0] for row in references], references)["rouge1"].value == 1
