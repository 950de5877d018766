"""Evaluate: every candidate under one ruler. The same examples, metrics and resamples for all of them.

Temperature and threshold are fitted on the validation split; the test split is only looked at to report.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, InputError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, read_json, sha256_bytes, sha256_file, write_bytes, write_json
from linnet.core.records import Decision, Evaluation, Example, TaskEvaluation
from linnet.core.store import Step, Store, verify_files
from linnet.engines.base import predict, softmax
from linnet.engines.classifiers import open_classifier
from linnet.engines.fit_gate import check_fit
from linnet.engines.measure import measure
from linnet.engines.onnx_runtime.onnx import ENGINE_FOLDER
from linnet.engines.planning.hardware import machine
from linnet.formats.tables import read_table
from linnet.metrics import calibration, judging
from linnet.metrics.agreement import Agreement
from linnet.metrics.bootstrap import Drawing
from linnet.metrics.classification import confusion_matrix, estimate, per_class
from linnet.metrics.extraction import read_answer
from linnet.metrics.grading import Graded
from linnet.metrics.identity import EvaluationIdentity, dataset_hash
from linnet.metrics.user_metric import parse_name
from linnet.text.example_files import read_examples
from linnet.text.examples import Rules, examples_of, guess_columns
from linnet.text.questions import Question

Split = Literal["validation", "test"]
SPLITS: tuple[Split, Split] = ("validation", "test")
CLASS_FIELDS = 4
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
        classifier = open_classifier(entrant.engine)
        examples = {split: read_examples(prepared.folder / f"{split}.jsonl") for split in SPLITS}
        logits = {split: classifier.logits([e.text for e in rows]) for split, rows in examples.items()}
        classifier.close()
        true = {split: indices(rows, decision.labels) for split, rows in examples.items()}
        fitted = fit(decision, logits["validation"], true["validation"])
        check_fit(name, logits["validation"], true["validation"], fitted)
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
    """Judge `majority` or `tfidf_logistic`, trained on the same examples. Same files, no footprint.

    The result of the latter tells its `requests_per_second`: texts answered in one go.
    """
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
        model = linear.linear_model(rows["train"], rows["validation"], labels)
        started = time.perf_counter()
        found = model(texts)
        seconds = max(time.perf_counter() - started, 1e-9)
        cut = len(rows["validation"])
        shares = {"validation": found[:cut], "test": found[cut:]}
        _write(folder, name, true, labels, lambda s: (shares[s].argmax(axis=1), shares[s]))
        return {"requests_per_second": round(len(texts) / seconds, 1)}

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
    classifier = open_classifier(folder / ENGINE_FOLDER)
    logits = classifier.logits(texts)
    cut = sum(count > classifier.max_tokens for count in classifier.token_counts(texts))
    shares = softmax(logits, specialist.decision.temperature)
    predicted = predict(logits, specialist.decision)
    return judge(specialist.full_name, "test", true, predicted, labels, shares), cut


@dataclass(frozen=True, slots=True)
class Ruler:
    """How answers are judged: the metrics, the first of which decides, and what they need.

    `prompt` is the hash of what stands around a question, `decoding` what else decided the answers. `grades` are
    those that a model gave, for the metric judge, `agreement` how far people agree with it.
    """

    metrics: tuple[str, ...]
    split: str
    prompt: str
    decoding: dict[str, Any]
    schema: Any = None
    labels: tuple[str, ...] = ()
    seed: int = 0
    grades: Graded | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to judge: the run that holds them, one text for each question or None, and what was wrong with each."""

    run: str
    texts: Sequence[str | None]
    problems: Sequence[str]


def evaluate_answers(
    store: Store,
    name: str,
    answers: Answers,
    questions: Sequence[Question],
    ruler: Ruler,
    on_event: OnEvent = silent,
) -> Step:
    """Judge a decoder's answers to these questions.

    The step holds evaluation.json (a TaskEvaluation) and judgement-<n>.json, one for each metric. Raises InputError
    for an unknown metric or one whose needs are missing, DataError when no example could be judged.
    """
    hashes = {metric: sha256_file(parse_name(metric)[0]) for metric in ruler.metrics if ".py" in metric}
    inputs = {
        "candidate": name,
        "answers": [answers.run, sha256_bytes(canonical(list(answers.texts)))],
        "questions": dataset_hash(one.identity() for one in questions),
        "ruler": [ruler.metrics, hashes, ruler.split, ruler.prompt, ruler.decoding, ruler.seed, ruler.labels],
        "schema": ruler.schema,
        "grades": sha256_bytes(canonical(ruler.grades.to_json())) if ruler.grades else "",
        "agreement": ruler.agreement.to_json() if ruler.agreement else None,
    }

    def work(folder: Path) -> dict[str, Any]:
        given = judging.Given(ruler.schema, ruler.labels, [one.example for one in questions], ruler.grades)
        references = [one.references for one in questions]
        found = [judging.judge(metric, answers.texts, references, given) for metric in ruler.metrics]
        for number, one in enumerate(found):
            write_bytes(folder / f"judgement-{number}.json", canonical(one.to_json()))
        made = _task_evaluation(name, answers, found, questions, ruler)
        write_json(folder / "evaluation.json", made.to_json())
        if groups := _groups(questions):
            write_bytes(folder / "groups.json", canonical(groups))
        if ruler.agreement:
            write_json(folder / "agreement.json", ruler.agreement.to_json())
        return {"metric": made.primary, "value": made.metrics[made.primary].value, "failed": made.failed}

    return store.step("evaluate", inputs, work, on_event, label=name)


def _task_evaluation(
    name: str, answers: Answers, found: Sequence[judging.Judgement], questions: Sequence[Question], ruler: Ruler
) -> TaskEvaluation:
    groups = _groups(questions)
    measured = {one.metric: judging.interval(one, Drawing(seed=ruler.seed, groups=groups)) for one in found}
    by = {"length": judging.length_names([len(one.asked) for one in questions])}
    by["group"] = [one.group for one in questions]
    if ruler.labels:
        by["class"] = [one.references[0].strip() if one.references else "" for one in questions]
    by |= _field_classes(ruler.schema, questions)
    said = Counter([text for text in answers.problems if text] + list(found[0].problems.values()))
    identity = {
        "dataset": dataset_hash(one.identity() for one in questions),
        "split": ruler.split,
        "examples": len(questions),
        "prompt": ruler.prompt,
        "decoding": ruler.decoding,
        "seed": ruler.seed,
    }
    identities = {
        one.metric: EvaluationIdentity(
            **identity, metric=one.metric, metric_version=one.version, judge=dict(one.judge)
        ).to_json()
        for one in found
    }
    return TaskEvaluation(
        candidate=name,
        split=ruler.split,
        examples=len(questions),
        counted=len(found[0].counted),
        failed=sum(text is None for text in answers.texts),
        primary=found[0].metric,
        metrics=measured,
        identities=identities,
        detectable={one.metric: judging.detectable(one, measured[one.metric]) for one in found},
        slices=[one.to_json() for one in judging.slices(found[0], by)],
        problems=dict(said.most_common(20)),
        answers=answers.run,
    )


def _field_classes(schema: Any, questions: Sequence[Question]) -> dict[str, list[str]]:
    """For each field that the schema gives a list of values: what it should be in each example, "" where it is absent.

    These are the classes of a task whose answers are records. The first CLASS_FIELDS of them.
    """
    found = schema.get("properties") if isinstance(schema, dict) else None
    fields = [n for n, part in found.items() if isinstance(part, dict) and "enum" in part] if found else []
    records = [_record(one.references[0]) if one.references else {} for one in questions] if fields else []
    return {
        f"field {name}": [str(one[name])[:80] if one.get(name) is not None else "" for one in records]
        for name in fields[:CLASS_FIELDS]
    }


def _record(text: str) -> dict[str, Any]:
    """The JSON object of a reference; empty where it is none."""
    try:
        found = read_answer(text)
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}


def _groups(questions: Sequence[Question]) -> list[str] | None:
    """What is drawn together in a resample; a row without a group is its own."""
    if not any(one.group for one in questions):
        return None
    return [f"group {one.group}" if one.group else f"row {one.row}" for one in questions]


def task_evaluation(step: Step) -> TaskEvaluation:
    """The record of a finished step of `evaluate_answers`."""
    return TaskEvaluation.model_validate(read_json(step.folder / "evaluation.json"))


def judgement(step: Step, metric: str = "") -> judging.Judgement:
    """What was kept of one metric, by default the first. Raises InputError for one that was not measured."""
    return judgement_in(step.folder, metric)


def judgement_in(folder: Path, metric: str = "") -> judging.Judgement:
    """`judgement` of a step's folder."""
    names = []
    for path in sorted(folder.glob("judgement-*.json")):
        found = judging.Judgement.model_validate(read_json(path))
        if metric in ("", found.metric):
            return found
        names.append(found.metric)
    raise InputError(f"{metric} was not measured.", f"Measured: {', '.join(names) or 'nothing'}.")
