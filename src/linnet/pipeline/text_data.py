"""The examples of a task that writes text: checked, without repetitions and leaks, split, and kept in the store.

train.jsonl and validation.jsonl are chats that `tune` reads; <split>.questions.jsonl are what is asked. Whole groups,
and rows that ask the same, stay on one side. Knows no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import canonical, sha256_file, write_bytes, write_json
from linnet.core.store import Step, Store
from linnet.core.task import DataPart, Task
from linnet.engines.requests.asking import enforceable
from linnet.metrics.extraction import read_answer, schema_checker
from linnet.pipeline.copied_fields import check_copied
from linnet.pipeline.evaluate import read_schema
from linnet.pipeline.tag_data import check_labels, label_counts, label_notes, labels_of, read_tag_questions
from linnet.text.conversations import named
from linnet.text.misplaced import HINT, answer_shift, shift_text
from linnet.text.normalize import normalize
from linnet.text.questions import Asking, Question, read_questions, turns_of
from linnet.text.splits import rank
from linnet.version import code_version

SPLITS = ("train", "validation", "test")
TEST_SHARE, VALIDATION_SHARE, VALIDATION_MOST = 0.2, 0.1, 200
FEWEST = 4
LabelsOf = Callable[[Question], frozenset[str]]


def task_schema(task: Task) -> Any:
    """The JSON schema of an extract task, or None. Raises NotFound, DataError."""
    return read_schema(task.data_path(task.task.answer_schema)) if task.task.answer_schema else None


def prepare_texts(store: Store, task: Task, on_event: OnEvent = silent) -> Step:
    """Read, check and split what `[data]` names; reused while files and task stay the same.

    The result holds counts and warnings, and the labels of a task that tags. Raises NotFound, or DataError for an
    answer that breaks the schema, rows of the test in the training file (unless leakage = "drop"), and too few rows.
    """
    data, part, schema = task.data, task.task, task_schema(task)
    asking = Asking(input=part.input, output=part.output, group=data.group or "")
    paths = {"train": task.data_path(data.train)} | ({"test": task.data_path(data.test)} if data.test else {})
    inputs: dict[str, Any] = {
        "files": {role: sha256_file(path) for role, path in paths.items()},
        "task": [part.kind, part.input, part.output, part.instruction, schema],
        "data": [data.group, data.leakage, data.seed, data.doubtful],
        "code": code_version("pipeline"),
    }
    if part.labels:
        inputs["labels"] = sorted(part.labels)

    def work(folder: Path) -> dict[str, Any]:
        notes = _schema_notes(schema)
        rows = {}
        for role, path in paths.items():
            rows[role], mended = _read(path, part.kind, asking)
            tips = _check(rows[role], schema, path.name)
            notes += mended + (tips if role == "train" else [])
            if step := answer_shift([one.asked for one in rows[role]], [one.references[0] for one in rows[role]]):
                doubt = shift_text(path.name, step, "answer")
                if data.doubtful == "refuse":
                    raise DataError(doubt, HINT)
                notes.append(doubt)
        labels = labels_of if part.kind == "tag" else lambda _: frozenset[str]()
        report, splits = _split(rows["train"], rows.get("test"), data, labels)
        if part.kind == "tag":
            names = {split: paths.get(split, paths["train"]).name for split in SPLITS}
            report["labels"] = check_labels(splits, part, names)
            report["spans"] = {split: label_counts(splits[split]) for split in SPLITS}
            notes += label_notes(splits)
        report["warnings"] += notes
        for name, chosen in splits.items():
            told = [one.model_copy(update={"turns": tuple(turns_of(one, part.instruction))}) for one in chosen]
            _write(folder / f"{name}.questions.jsonl", [one.to_json() for one in told])
            if name != "test":
                _write(folder / f"{name}.jsonl", [_chat(one) for one in told])
        write_json(folder / "report.json", report)
        for warning in report["warnings"]:
            on_event(Event("warning", "prepare", warning))
        return {key: report[key] for key in ("counts", "warnings", "labels") if key in report}

    return store.step("prepare", inputs, work, on_event, label=f"prepare {data.train}")


def _read(path: Path, kind: str, asking: Asking) -> tuple[list[Question], list[str]]:
    if kind == "tag":
        return read_tag_questions(path, asking.input, asking.output, asking.group)
    return read_questions(path, asking), []


def _schema_notes(schema: Any) -> list[str]:
    """What of the schema cannot be enforced. Raises InputError now for what would stop the first question."""
    dropped = [] if schema is None else enforceable(schema)[1]
    return [f"Not enforced while writing, but checked: {', '.join(dropped)}."] if dropped else []


def read_split(step: Step, split: str) -> list[Question]:
    """The questions of one split of a finished step."""
    lines = (step.folder / f"{split}.questions.jsonl").read_bytes().splitlines()
    return [Question.model_validate_json(line) for line in lines]


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_bytes(path, b"".join(canonical(row) + b"\n" for row in rows))


def _chat(question: Question) -> dict[str, Any]:
    turns = [turn.message() for turn in question.turns]
    return {"messages": [*turns, {"role": "assistant", "content": question.references[0]}]}


def _check(rows: Sequence[Question], schema: Any, name: str) -> list[str]:
    """Notes on the schema. Raises DataError for rows without an answer, or with one that the schema does not allow."""
    if empty := [one.row for one in rows if not one.references or not one.references[0].strip()]:
        raise DataError(f"{name}: {named(empty)} no answer.", "Remove them, or fill them.")
    if schema is None:
        return []
    problems = schema_checker(schema)
    for one in rows:
        for reference in one.references:
            try:
                wrong = problems(read_answer(reference))
            except DataError as error:
                wrong = [error.message]
            if wrong:
                raise DataError(f"{name}, row {one.row}: its answer breaks the schema: {wrong[0][:200]}",
                                "Correct the row, or the schema.")  # fmt: skip
    return check_copied(schema, rows, name)


def _unit(question: Question) -> str:
    """What stays on one side of a split."""
    return f"group:{question.group}" if question.group else f"text:{normalize(question.asked)}"


def _hold(
    rows: Sequence[Question], wanted: int, salt: str, labels_of: LabelsOf = lambda _: frozenset()
) -> tuple[list[Question], list[Question]]:
    """(rest, held): whole units in the order of their rank until `wanted` rows are held; at least one unit each.

    A unit that alone has one of the labels stays with the rest: what is not trained on cannot be known.
    """
    units: dict[str, int] = {}
    labels: dict[str, frozenset[str]] = {}
    for one in rows:
        units[_unit(one)] = units.get(_unit(one), 0) + 1
        labels[_unit(one)] = labels.get(_unit(one), frozenset()) | labels_of(one)
    left = Counter(label for found in labels.values() for label in found)
    held: set[str] = set()
    taken = 0
    for unit in sorted(units, key=lambda name: rank(salt, name)):
        if taken >= wanted or len(held) == len(units) - 1:
            break
        if any(left[label] == 1 for label in labels[unit]):
            continue
        if taken + units[unit] <= wanted or not held:
            held.add(unit)
            left.subtract(labels[unit])
            taken += units[unit]
    return [one for one in rows if _unit(one) not in held], [one for one in rows if _unit(one) in held]


def _split(
    train: list[Question], test: list[Question] | None, data: DataPart, labels_of: LabelsOf
) -> tuple[dict[str, Any], dict[str, list[Question]]]:
    warnings: list[str] = []
    seen: dict[str, Question] = {}
    for one in train:
        seen.setdefault(canonical(one.identity()).decode(), one)
    kept = list(seen.values())
    if len(kept) < len(train):
        warnings.append(f"{len(train) - len(kept):,} rows that repeat another were left out.")
    leaked: list[Question] = []
    if test is not None:
        asked = {normalize(one.asked) for one in test}
        leaked = [one for one in kept if normalize(one.asked) in asked]
        if leaked and data.leakage == "refuse":
            raise DataError(
                f"{named([one.row for one in leaked])} a question that is in the test too.",
                'Remove them from the training file, or set [data] leakage = "drop".',
            )
        kept = [one for one in kept if normalize(one.asked) not in asked]
        if leaked:
            warnings.append(
                f'{len(leaked):,} training rows ask what the test asks and were left out (leakage = "drop").'
            )
    answers: dict[str, set[str]] = {}
    for one in kept:
        answers.setdefault(normalize(one.asked), set()).add(one.references[0].strip())
    if twice := sum(len(found) > 1 for found in answers.values()):
        warnings.append(f"{twice:,} questions have different answers in different rows.")
    if len(answers) < FEWEST:
        raise DataError(f"There are {len(answers)} different questions; at least {FEWEST} are needed.", "Add rows.")
    splits: dict[str, list[Question]] = {}
    if test is None:
        kept, splits["test"] = _hold(kept, max(1, round(len(kept) * TEST_SHARE)), f"{data.seed}\ntest", labels_of)
    else:
        splits["test"] = test
    wanted = min(VALIDATION_MOST, max(1, round(len(kept) * VALIDATION_SHARE)))
    splits["train"], splits["validation"] = _hold(kept, wanted, f"{data.seed}\nvalidation", labels_of)
    report = {
        "counts": {name: len(splits[name]) for name in SPLITS}
        | {"read": len(train), "removed": len(train) - len(seen)},
        "leaked": len(leaked),
        "test_is": "given" if test is not None else "split",
        "warnings": warnings,
    }
    return report, splits
