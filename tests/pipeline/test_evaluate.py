"""`linnet evaluate` from a file of rows to a record: one ruler, failures counted, likelihoods of texts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.core.store import Store
from linnet.pipeline.compare import compare
from linnet.pipeline.evaluate import EvaluateOptions, evaluate
from linnet.text.questions import Asking

ROWS = [{"q": f"What colour is thing {i}?", "a": "red" if i % 2 else "blue", "who": f"p{i % 3}"} for i in range(12)]


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_base_and_few_shot_are_two_rulers(rows: Path, tmp_path: Path) -> None:
    store, asking = Store(tmp_path / "s"), Asking("q", "a", limit=4)
    first = EvaluateOptions(metrics=("exact_match", "token_f1"), asking=asking, max_tokens=1)
    one = evaluate("builtin:nano", rows, first, store=store)
    assert set(one.evaluation.metrics) == {"exact_match", "token_f1"}
    assert one.evaluation.examples == 4
    assert one.evaluation.problems.get("the answer was cut at its longest", 0) >= 1
    assert evaluate("builtin:nano", rows, first, store=store).step.reused
    shown = EvaluateOptions(metrics=("exact_match",), asking=asking, max_tokens=4, shots=2, shots_from=str(rows))
    two = evaluate("builtin:nano", rows, shown, store=store)
    with pytest.raises(InputError, match="prompt template differs"):
        compare([one.step.run.id, two.step.run.id], store=store)


def test_labels_are_scored_for_classes(rows: Path, tmp_path: Path) -> None:
    options = EvaluateOptions(metrics=("macro_f1", "accuracy"), asking=Asking("q", "a", group="who"))
    made = evaluate("builtin:nano", rows, options, store=Store(tmp_path / "s"))
    assert made.evaluation.counted == 12
    assert {one["name"] for one in made.evaluation.slices if one["by"] == "class"} == {"red", "blue"}
    assert {one["name"] for one in made.evaluation.slices if one["by"] == "group"} == {"p0", "p1", "p2"}
    assert made.evaluation.identities["macro_f1"]["decoding"]["method"] == "label scoring"


def test_likelihoods_of_texts(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    whole = tmp_path / "a.txt"
    whole.write_text("The quick brown fox jumps over the lazy dog. " * 10)
    options = EvaluateOptions(metrics=("perplexity", "bits_per_byte"))
    one = evaluate("builtin:nano", whole, options, store=store).evaluation
    assert one.metrics["perplexity"].low < one.metrics["perplexity"].value < one.metrics["perplexity"].high
    many = tmp_path / "b.jsonl"
    many.write_text("".join(json.dumps({"text": f"The cat number {i} sat on the mat."}) + "\n" for i in range(8)))
    two = evaluate("builtin:nano", many, options, store=store)
    assert two.evaluation.examples == 8
    assert math.isfinite(two.evaluation.metrics["bits_per_byte"].value)
    other = evaluate("builtin:nano", many, EvaluateOptions(metrics=("bits_per_byte",)), store=store)
    assert other.evaluation.metrics["bits_per_byte"] == two.evaluation.metrics["bits_per_byte"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (EvaluateOptions(), "Which metric"),
        (EvaluateOptions(metrics=("nope",)), "No metric is called"),
        (EvaluateOptions(metrics=("perplexity", "bleu")), "measured on texts"),
        (EvaluateOptions(metrics=("perplexity",), endpoint="http://127.0.0.1:9"), "measured on texts"),
        (EvaluateOptions(metrics=("bleu",), asking=Asking("q", "a"), shots=2), "belong together"),
        (EvaluateOptions(metrics=("accuracy",), asking=Asking("q", "a"), labels=("x",)), "at least two"),
    ],
)
def test_what_has_no_meaning_is_refused(rows: Path, tmp_path: Path, options: EvaluateOptions, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate("builtin:nano", rows, options, store=Store(tmp_path / "s"))


def test_an_encoder_gives_no_text(rows: Path, tmp_path: Path) -> None:
    options = EvaluateOptions(metrics=("bleu",), asking=Asking("q", "a"))
    with pytest.raises(InputError, match="is an encoder"):
        evaluate("builtin:minilm", rows, options, store=Store(tmp_path / "s"))
