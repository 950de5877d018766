"""Evaluate: every candidate under one ruler. The same examples, metrics and resamples for all of them.

Temperature and threshold are fitted on the validation split; the test split is only looked at to report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, read_json, write_bytes, write_json
from linnet.core.records import Decision, Evaluation, Example
from linnet.core.store import Step, Store, verify_files
from linnet.engines.base import predict, softmax
from linnet.engines.hardware import machine
from linnet.engines.measure import measure
from linnet.engines.onnx import ENGINE_FOLDER, OnnxClassifier
from linnet.formats.tables import read_table
from linnet.metrics import calibration
from linnet.metrics.classification import confusion_matrix, estimate, per_class
from linnet.text.example_files import read_examples
from linnet.text.examples import Rules, examples_of, guess_columns

Split = Literal["validation", "test"]
SPLITS: tuple[Split, Split] = ("validation", "test")
BASELINES = ("majority", "tfidf_logistic")
Indices = NDArray[np.int64]


def indices(examples: Sequence[Example], labels: Sequence[str]) -> Indices:
    """The index of each example's label. Raises DataError for a label the model does not have."""
    place = {label: index for index, label in enumerate(labels)}
    unknown = [e for e in examples if e.label not in place]
    if unknown:
        raise DataError(
            f"Row {unknown[0].row}: label {unknown[0].label!r} is not one the specialist knows.",
            f"It knows: {', '.join(labels)}.",
        )
    return np.array([place[e.label] for e in examples], dtype=np.int64)


def judge(
    name: str,
    split: Split,
    true: Indices,
    predicted: Indices,
    labels: list[str],
    probabilities: NDArray[np.float32] | None = None,
) -> Evaluation:
    """One evaluation: metrics with 95 % intervals, per-class scores, confusion, calibration error."""
    matrix = confusion_matrix(true, predicted, len(labels))
    error = calibration.expected_calibration_error(probabilities, true) if probabilities is not None else None
    return Evaluation(
        candidate=name,
        split=split,
        examples=len(true),
        macro_f1=estimate(true, predicted, len(labels), "macro_f1"),
        accuracy=estimate(true, predicted, len(labels), "accuracy"),
        expected_calibration_error=error,
        per_class=per_class(matrix, labels),
        confusion=matrix.tolist(),
        labels=labels,
    )


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model to judge: its name, the ONNX folder, and the hashes of the files in it."""

    name: str
    engine: Path
    files: dict[str, str]


def evaluate(store: Store, entrant: Entrant, prepared: Step, decision: Decision, on_event: OnEvent = silent) -> Step:
    """Judge one candidate and measure its cost here.

    `decision` carries the labels and the out-of-scope label; temperature and threshold are fitted. The folder gets
    `evaluation.json` (by split), `decision.json`, `footprint.json`, and `<split>.predictions.json`.
    """
    here = machine(store.root)
    name = entrant.name
    inputs = _inputs(name, prepared, decision) | {
        "files": entrant.files,
        "machine": [here.processor, here.usable_cores, here.instruction_sets],
    }

    def work(folder: Path) -> dict[str, Any]:
        classifier = OnnxClassifier(entrant.engine)
        examples = {split: read_examples(prepared.folder / f"{split}.jsonl") for split in SPLITS}
        logits = {split: classifier.logits([e.text for e in rows]) for split, rows in examples.items()}
        classifier.close()
        true = {split: indices(rows, decision.labels) for split, rows in examples.items()}
        fitted = fit(decision, logits["validation"], true["validation"])
        write_json(folder / "decision.json", fitted.to_json())
        _write(
            folder,
            name,
            true,
            fitted.labels,
            lambda s: (predict(logits[s], fitted), softmax(logits[s], fitted.temperature)),
        )
        raw = softmax(logits["test"])
        error = calibration.expected_calibration_error(raw, true["test"])
        on_event(Event("progress", "evaluate", f"{name}: measuring speed and memory"))
        footprint = measure(entrant.engine, [e.text for e in examples["test"]], folder)
        write_json(folder / "footprint.json", footprint.to_json())
        return {"expected_calibration_error_before": error}

    return store.step("evaluate", inputs, work, on_event, label=name)


def evaluate_baseline(store: Store, name: str, prepared: Step, decision: Decision, on_event: OnEvent = silent) -> Step:
    """Judge `majority` or `tfidf_logistic`, trained on the same examples. Same files, no footprint."""
    inputs = _inputs(name, prepared, decision) | {"train": prepared.sha256("train.jsonl")}

    def work(folder: Path) -> dict[str, Any]:
        from linnet.training import linear

        rows = {s: read_examples(prepared.folder / f"{s}.jsonl") for s in ("train", *SPLITS)}
        true = {split: indices(rows[split], decision.labels) for split in SPLITS}
        labels = decision.labels
        if name == "majority":
            _write(
                folder,
                name,
                true,
                labels,
                lambda s: (linear.majority(rows["train"], [""] * len(true[s]), labels), None),
            )
            return {}
        texts = [e.text for split in SPLITS for e in rows[split]]
        found = linear.tfidf_logistic(rows["train"], rows["validation"], texts, labels)
        cut = len(rows["validation"])
        shares = {"validation": found[:cut], "test": found[cut:]}
        _write(folder, name, true, labels, lambda s: (shares[s].argmax(axis=1), shares[s]))
        return {}

    return store.step("evaluate", inputs, work, on_event, label=name)


def fit(decision: Decision, logits: NDArray[np.float32], true: Indices) -> Decision:
    """The decision with its temperature, and its threshold where there is an out-of-scope label."""
    temperature = calibration.fit_temperature(logits, true)
    threshold = 0.0
    if decision.out_of_scope is not None:
        outside = decision.labels.index(decision.out_of_scope)
        threshold = calibration.fit_threshold(softmax(logits, temperature), true, outside)
    return decision.model_copy(update={"temperature": temperature, "threshold": threshold})


def _inputs(name: str, prepared: Step, decision: Decision) -> dict[str, Any]:
    return {
        "candidate": name,
        "labels": decision.labels,
        "out_of_scope": decision.out_of_scope,
        **{split: prepared.sha256(f"{split}.jsonl") for split in SPLITS},
    }


Answered = tuple[Indices, NDArray[np.float32] | None]


def _write(
    folder: Path, name: str, true: dict[Split, Indices], labels: list[str], answer: Callable[[Split], Answered]
) -> None:
    judged = {}
    for split in SPLITS:
        predicted, shares = answer(split)
        judged[split] = judge(name, split, true[split], predicted, labels, shares).to_json()
        kept = {
            "true": true[split].tolist(),
            "predicted": predicted.tolist(),
            "probability": None if shares is None else shares[np.arange(len(predicted)), predicted].round(6).tolist(),
            "reliability": None if shares is None else calibration.reliability(shares, true[split]),
        }
        write_bytes(folder / f"{split}.predictions.json", canonical(kept))
    write_json(folder / "evaluation.json", judged)


def evaluations(step: Step) -> dict[str, Evaluation]:
    """The evaluations of a finished step, by split."""
    return {
        split: Evaluation.model_validate(found) for split, found in read_json(step.folder / "evaluation.json").items()
    }


def predictions(step: Step, split: Split) -> dict[str, Any]:
    """True and predicted indices, probability of the answer, and reliability bins of one split."""
    found: dict[str, Any] = read_json(step.folder / f"{split}.predictions.json")
    return found


def evaluate_file(
    store: Store, name: str, file: Path, input_column: str | None = None, output_column: str | None = None
) -> tuple[Evaluation, int]:
    """A finished specialist judged on a table by the same ruler, and how many texts were longer than it reads.

    Raises NotFound, CorruptFile, or DataError for a bad table or a label that the specialist does not know.
    """
    specialist, folder = store.find(name)
    verify_files(folder, specialist.files)
    table = read_table(file)
    source, target = guess_columns(table, str(file), input_column, output_column)
    examples = examples_of(table, Rules(input=source, output=target), str(file))
    labels, texts = specialist.decision.labels, [e.text for e in examples]
    true = indices(examples, labels)
    classifier = OnnxClassifier(folder / ENGINE_FOLDER)
    logits = classifier.logits(texts)
    cut = sum(count > classifier.max_tokens for count in classifier.token_counts(texts))
    shares = softmax(logits, specialist.decision.temperature)
    predicted = predict(logits, specialist.decision)
    return judge(specialist.full_name, "test", true, predicted, labels, shares), cut
