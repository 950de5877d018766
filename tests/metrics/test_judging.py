"""Metrics by name: values as the reference libraries', rows that can be drawn again, problems in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import DataError, InputError
from linnet.metrics.judging import (
    Given,
    Judgement,
    detectable,
    difference,
    interval,
    judge,
    length_names,
    slices,
    statistic_of,
)

TRUE = ["a", "b", "c", "a", "b", "c", "a", "a"]
SAID = ["a", "b", "a", "a", "c", "c", "b", None]


def value(found: Judgement) -> float:
    rows = [found.rows[place] for place in found.counted]
    return float(statistic_of(found.statistic, rows)(np.ones((1, len(rows))))[0])


def test_macro_f1_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    found = judge("macro_f1", SAID, [[t] for t in TRUE])
    answers = [s or "none" for s in SAID]
    assert value(found) == pytest.approx(f1_score(TRUE, answers, labels=["a", "b", "c"], average="macro"))
    assert found.problems == {7: "there is no prediction: counted as 0"}


def test_accuracy_counts_what_is_no_label_as_wrong() -> None:
    found = judge("accuracy", ["a", " b\n", "x"], [["a"], ["b"], ["a"]])
    assert found.values == [1.0, 1.0, 0.0]
    assert "none of the labels" in found.problems[2]


def test_bleu_is_sacrebleus() -> None:
    import sacrebleu

    said = ["the cat sat on the mat", "a dog ran in the park today", ""]
    true = [["the cat sat on a mat"], ["a dog ran in the park", "the dog ran today"], ["nothing"]]
    found = judge("bleu", said, true)
    streams = [[t[0] for t in true], [t[1] if len(t) > 1 else None for t in true]]
    assert value(found) == pytest.approx(sacrebleu.corpus_bleu(said, streams).score)


def test_rouge_is_rouge_scores() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    found = judge("rougeL", ["the cat sat"], [["the cat sat down"]])
    assert value(found) == RougeScorer(["rougeL"]).score("the cat sat down", "the cat sat")["rougeL"].fmeasure


def test_records_are_compared_as_json_values() -> None:
    true = [['{"a": 1, "b": true}']] * 5
    said = ['{"b":true,"a":1.0}', '{"a": true, "b": 1}', "no json", None, '```json\n{"a": 1, "b": true}\n```']
    assert judge("exact_match", said, true).values == [1.0, 0.0, 0.0, 0.0, 1.0]
    fields = judge("field_f1", said, true)
    assert fields.values == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert value(fields) == pytest.approx(2 * 4 / (2 + 2 + 2 + 10))  # micro: what is no JSON predicts nothing
    assert set(fields.problems) == {2, 3}
    assert judge("exact_match", ["The Cat."], [["cat"]]).values == [1.0]


def test_a_reference_that_is_no_record_costs_its_example_alone() -> None:
    found = judge("field_f1", ['{"a":1}', '{"a":1}', '{"a":1}'], [['{"a":1}'], ["text"], []])
    assert found.counted == [0]
    assert "no record" in found.problems[1]
    assert "no reference" in found.problems[2]


def test_schema_validity() -> None:
    schema = {"type": "object", "required": ["a"]}
    found = judge("schema_valid", ['{"a":1}', "{}", "x", None], [[]] * 4, Given(schema=schema))
    assert found.values == [1.0, 0.0, 0.0, 0.0]
    with pytest.raises(InputError, match="needs a schema"):
        judge("schema_valid", ["{}"], [[]])


def test_a_users_metric_that_raises_is_named_beside_its_example(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def score(prediction, references):\n    return 1 / (len(prediction) - 1)\n")
    found = judge(str(file), ["abc", "x"], [["a"], ["b"]])
    assert found.values == [0.5, None]
    assert "ZeroDivisionError" in found.problems[1]
    assert found.metric == "user:mine.py:score"


def test_programs_need_their_tests() -> None:
    with pytest.raises(DataError, match="a column test"):
        judge("pass_at_1", ["x"], [[]], Given(examples=[{"question": "?"}]))


@pytest.mark.parametrize(("name", "near"), [("macro_f", "macro_f1"), ("blue", "bleu"), ("nothing-like-it", "")])
def test_an_unknown_metric_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InputError, match=f'mean "{near}"' if near else "No metric is called"):
        judge(name, ["a"], [["a"]])


def test_a_judgement_survives_json_and_draws_the_same() -> None:
    found = judge("field_f1", ['{"a":1}', '{"a":2,"b":1}'] * 10, [['{"a":1}']] * 20)
    again = Judgement.model_validate(json.loads(json.dumps(found.to_json())))
    assert interval(again) == interval(found)


def test_a_share_of_none_still_has_an_interval() -> None:
    found = interval(judge("exact_match", ["x"] * 20, [["y"]] * 20))
    assert found.value == found.low == 0
    assert 0.1 < found.high < 0.2


def test_paired_difference_counts_only_what_both_have() -> None:
    first = judge("exact_match", ["y", "y", "x", "y"], [["y"], ["y"], ["y"], []])
    second = judge("exact_match", ["y", "x", "x", "y"], [["y"]] * 4)
    found, places = difference(first, second)
    assert places == [0, 1, 2]
    assert found.value == pytest.approx(1 / 3)


def test_nothing_to_count_is_an_error_that_says_why() -> None:
    with pytest.raises(DataError, match=r"no reference|No example"):
        interval(judge("token_f1", ["a"], [[]]))


def test_slices_have_intervals_where_there_are_enough() -> None:
    found = judge("exact_match", ["y"] * 30, [["y"]] * 15 + [["x"]] * 15)
    by = {"group": ["g"] * 12 + [""] * 15 + ["h"] * 3}
    made = {one.name: one for one in slices(found, by)}
    assert set(made) == {"g", "h"}
    assert made["g"].value == 1
    assert made["g"].low is not None
    assert (made["h"].value, made["h"].low, made["h"].examples) == (0, None, 3)


def test_thirds_by_length() -> None:
    names = length_names([1, 2, 3, 10, 20, 30, 100, 200, 300])
    assert len(set(names)) == 3
    assert names[0] == names[2] != names[4]
    assert set(length_names([5] * 9)) == {""}


def test_the_least_difference_that_can_be_seen_is_told() -> None:
    found = judge("exact_match", ["y"] * 100 + ["x"] * 100, [["y"]] * 200)
    assert "With two sets of 200 examples" in detectable(found, interval(found))
    fields = judge("token_f1", ["x y", "x"] * 50, [["x"]] * 100)
    assert "With 100 examples" in detectable(fields, interval(fields))
