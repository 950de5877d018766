"""One ruler for every candidate, and the same ruler for a finished specialist on a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import CorruptFile, DataError, NotFound
from linnet.core.files import read_json
from linnet.core.records import Decision, Example, Footprint
from linnet.core.store import Store
from linnet.engines.base import predict
from linnet.engines.onnx_runtime.onnx import OnnxClassifier
from linnet.stages.evaluate import evaluate, evaluate_file, evaluations, fit, indices, judge, predictions
from linnet.text.example_files import read_examples
from tests.tiny import tiny_specialist
from tests.tiny_encoder import write_rows
from tests.tiny_made import Made, entrant

pytestmark = pytest.mark.usefixtures("one_core")
CANDIDATES = ["full-fp32", "full-int8", "majority", "tfidf_logistic"]


@pytest.mark.parametrize("name", CANDIDATES)
def test_both_splits_are_judged_whole(made: Made, name: str) -> None:
    found = evaluations(made.evaluated[name])
    assert set(found) == {"validation", "test"}
    for split, evaluation in found.items():
        assert (evaluation.candidate, evaluation.split) == (name, split)
        assert evaluation.examples == made.prepared.result["counts"][split] == np.sum(evaluation.confusion)
        for interval in (evaluation.macro_f1, evaluation.accuracy):
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
        assert sum(row["support"] for row in evaluation.per_class.values()) == evaluation.examples


@pytest.mark.parametrize("name", CANDIDATES)
def test_predictions_are_those_that_were_judged(made: Made, name: str) -> None:
    step = made.evaluated[name]
    for split, evaluation in evaluations(step).items():
        kept = predictions(step, split)
        true, predicted = np.array(kept["true"]), np.array(kept["predicted"])
        assert (true == predicted).mean() == pytest.approx(evaluation.accuracy.value)
        assert (kept["probability"] is None) == (name == "majority")


def test_the_decision_is_fitted_and_is_what_answers(made: Made) -> None:
    step = made.evaluated["full-fp32"]
    decision = Decision.model_validate(read_json(step.folder / "decision.json"))
    assert decision.labels == made.labels
    assert decision.temperature != 1.0
    assert decision.threshold == 0.0
    texts = [e.text for e in read_examples(made.prepared.folder / "test.jsonl")]
    answered = predict(OnnxClassifier(entrant(made, "full", "fp32").engine).logits(texts), decision)
    assert answered.tolist() == predictions(step, "test")["predicted"]


@pytest.mark.parametrize("name", ["full-fp32", "full-int8"])
def test_the_footprint_is_positive(made: Made, name: str) -> None:
    footprint = Footprint.model_validate(read_json(made.evaluated[name].folder / "footprint.json"))
    assert footprint.size_bytes == sum(p.stat().st_size for p in entrant(made, *name.split("-")).engine.iterdir())
    assert 0 < footprint.latency_ms_p50 <= footprint.latency_ms_p95
    assert footprint.documents_per_second > 0
    assert footprint.peak_memory_bytes > footprint.size_bytes
    assert (footprint.energy_joules_per_1000 is None) == (footprint.energy_note != "package energy by RAPL")
    assert not (made.evaluated[name].folder / ".texts.json").exists()


def test_baselines_learn_and_cost_nothing(made: Made) -> None:
    majority, linear = (evaluations(made.evaluated[b])["test"] for b in ("majority", "tfidf_logistic"))
    assert linear.accuracy.value > majority.accuracy.value
    assert majority.expected_calibration_error is None
    assert linear.expected_calibration_error is not None
    assert len(set(predictions(made.evaluated["majority"], "test")["predicted"])) == 1
    assert not (made.evaluated["majority"].folder / "footprint.json").exists()


def test_the_same_candidate_is_not_judged_again(made: Made) -> None:
    assert evaluate(made.store, entrant(made, "full", "fp32"), made.prepared, made.decision).reused


def test_a_label_the_model_does_not_have_is_refused() -> None:
    rows = [Example(text="t", label=label, row=row) for row, label in ((2, "a"), (7, "c"))]
    assert indices(rows[:1], ["b", "a"]).tolist() == [1]
    with pytest.raises(DataError, match=r"Row 7: label 'c' is not one the specialist knows\.\nIt knows: b, a\."):
        indices(rows, ["b", "a"])


# In scope the right one of two leads clearly; out of scope nothing does, and the third column says nothing.
LOGITS = np.array([[4, 0, 0], [0, 4, 0], [5, 0, 1], [0, 5, 1], [1, 1, 0.9], [0.9, 1, 1], [1, 1.1, 0]] * 4, np.float32)
TRUE = np.array([0, 1, 0, 1, 2, 2, 2] * 4)


def test_with_an_out_of_scope_label_a_threshold_is_fitted() -> None:
    decision = fit(Decision(labels=["a", "b", "none"], out_of_scope="none"), LOGITS, TRUE)
    assert 0 < decision.threshold < 1
    assert decision.temperature > 0
    assert predict(LOGITS, decision).tolist() == TRUE.tolist()


def test_without_one_there_is_no_threshold_and_no_answer_changes() -> None:
    decision = fit(Decision(labels=["a", "b", "c"]), LOGITS, TRUE)
    assert decision.threshold == 0.0
    assert decision.out_of_scope is None
    assert predict(LOGITS, decision).tolist() == LOGITS.argmax(1).tolist()


def test_a_model_too_sure_of_itself_is_cooled() -> None:
    true = np.array([0, 1, 0, 1])
    logits = np.array([[9, 0], [9, 0], [9, 0], [0, 9]], np.float32)
    assert fit(Decision(labels=["a", "b"]), logits, true).temperature > 2


def test_judge_on_hand_numbers() -> None:
    found = judge("m", "test", np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["a", "b"])
    assert found.accuracy.value == 0.75
    assert found.macro_f1.value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found.confusion == [[1, 1], [0, 2]]
    assert found.expected_calibration_error is None


ROWS = [("please billing", "billing"), ("my shipping order", "shipping"), ("the refund", "refund")]


@pytest.fixture
def specialised(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    tiny_specialist(store, "mail", ["billing", "shipping", "refund"])
    return store


def test_a_specialist_is_judged_on_a_table(specialised: Store, tmp_path: Path) -> None:
    rows = [*ROWS, ("refund i want", "billing"), ("shipping " + "word1 " * 60, "shipping")]
    write_rows(tmp_path / "table.csv", rows)
    evaluation, cut = evaluate_file(specialised, "mail", tmp_path / "table.csv")
    assert (evaluation.candidate, evaluation.examples, cut) == ("mail:1", 5, 1)
    assert evaluation.accuracy.value == pytest.approx(0.8)


def test_a_table_with_an_unknown_label_is_refused(specialised: Store, tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", [*ROWS, ("the order", "weather")])
    with pytest.raises(DataError, match=r"label 'weather' is not one the specialist knows\.\nIt knows: billing"):
        evaluate_file(specialised, "mail", tmp_path / "table.csv")


def test_a_specialist_that_is_not_there_or_damaged_is_refused(specialised: Store, tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", ROWS)
    with pytest.raises(NotFound, match='Did you mean "mail"'):
        evaluate_file(specialised, "mial", tmp_path / "table.csv")
    model = specialised.path("specialists", "mail", "1") / "engine" / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(CorruptFile, match=r"model\.onnx is not the file that was written"):
        evaluate_file(specialised, "mail", tmp_path / "table.csv")
