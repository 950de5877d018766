"""Which is better, in words that are true; and what may not be compared is refused with the difference named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from linnet.core.errors import InputError, NotFound
from linnet.core.store import Store
from linnet.metrics.identity import prompt_hash
from linnet.pipeline.compare import compare
from linnet.stages.evaluate import Answers, Ruler, evaluate_answers
from linnet.text.conversations import Turn
from linnet.text.questions import Question

RULER = Ruler(
    metrics=("exact_match", "token_f1"), split="test", prompt=prompt_hash("chat"), decoding={"temperature": 0}
)


def questions(count: int, group: str = "") -> list[Question]:
    turn = (Turn(role="user", content="What?"),)
    names = [f"{group}{i // 10}" if group else "" for i in range(count)]
    return [Question(row=i, turns=turn, references=(f"yes {i}",), group=names[i]) for i in range(count)]


def judged(store: Store, name: str, right: int, count: int = 200, ruler: Ruler = RULER, group: str = "") -> str:
    """The run of an evaluation in which the first `right` examples are right and the others half wrong."""
    texts = [f"yes {i}" if i < right else "no" if i % 7 else None for i in range(count)]
    answers = Answers("answer-x", texts, ["" if text else "it hung" for text in texts])
    return evaluate_answers(store, name, answers, questions(count, group), ruler).run.id


def test_a_real_difference_is_told_with_its_size(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [judged(store, "old", 100), judged(store, "new", 130)]
    (found,) = compare(runs, store=store)
    assert found.better == "new"
    assert found.difference.value == pytest.approx(0.15)
    assert 0 < found.difference.low < 0.15 < found.difference.high
    assert (found.only_first, found.only_second) == (0, 30)
    assert found.sentence.startswith("new is better than old by 15.0 points of exact_match (95 %: ")
    (back,) = compare(runs[::-1], store=store)
    assert back.better == "new"
    assert back.sentence.startswith("new is better than old by 15.0 points")
    assert back.difference.value == -found.difference.value


def test_chance_is_called_chance(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (found,) = compare([judged(store, "a", 100), judged(store, "b", 102)], store=store, max_loss=0.05)
    assert found.better == ""
    assert found.sentence.startswith("No difference is shown between a and b: +1.0 points")
    assert "is not reliably seen" in found.sentence or "no possible difference" in found.sentence
    assert found.loss.startswith("not inferior")


def test_many_are_corrected_by_holm(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [judged(store, str(n), n) for n in (100, 106, 107, 108)]
    alone = [compare([runs[0], run], store=store)[0].p_value for run in runs[1:]]
    together = compare(runs, store=store)
    assert "Holm over 3" in together[0].test
    assert together[2].p_value == pytest.approx(3 * alone[2])
    assert together[1].p_value == pytest.approx(max(3 * alone[2], 2 * alone[1]))
    assert len(compare(runs, store=store, pairs=True)) == 6


def test_another_metric_and_groups(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [judged(store, "a", 100, group="g"), judged(store, "b", 150, group="g")]
    (found,) = compare(runs, store=store, metric="token_f1")
    assert found.metric == "token_f1"
    assert found.test == "paired bootstrap of groups"
    assert found.better == "b"
    (plain,) = compare([judged(store, "a", 100), judged(store, "b", 150)], store=store)
    (grouped,) = compare(runs, store=store)
    assert grouped.difference.high - grouped.difference.low > plain.difference.high - plain.difference.low


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(RULER, prompt=prompt_hash("chat", "Do.")), "prompt template differs"),
        (replace(RULER, decoding={"temperature": 1}), "decoding setting temperature differs: 0 and 1"),
        (replace(RULER, split="validation"), "split differs: test and validation"),
        (replace(RULER, seed=1), "seed differs"),
    ],
)
def test_another_ruler_is_refused_by_name(tmp_path: Path, other: Ruler, words: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(InputError, match=words):
        compare([judged(store, "a", 100), judged(store, "b", 100, ruler=other)], store=store)


def test_other_examples_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(InputError, match="the examples differ"):
        compare([judged(store, "a", 100), judged(store, "b", 100, count=199)], store=store)


def test_what_is_no_evaluation(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = judged(store, "a", 10, count=20)
    with pytest.raises(NotFound):
        compare([run, "evaluate-nothing"], store=store)
    with pytest.raises(InputError, match="named twice"):
        compare([run, run], store=store)
    with pytest.raises(InputError, match="2 to 20"):
        compare([run], store=store)
    with pytest.raises(InputError, match="was not measured"):
        compare([run, judged(store, "b", 11, count=20)], store=store, metric="bleu")
