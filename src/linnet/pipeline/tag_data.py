"""The examples of a task that tags spans, as questions whose answer is a list of spans. Knows no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from linnet.core.errors import DataError, did_you_mean
from linnet.core.records import Record
from linnet.core.spans import Span
from linnet.core.task import TaskPart
from linnet.metrics.spans import span_report
from linnet.metrics.tagged import read_spans, write_spans
from linnet.text.conversations import Turn, named
from linnet.text.questions import Question
from linnet.text.tagging import read_tagged

Spans = tuple[tuple[str, int, int], ...]
FEW = 10


def read_tag_questions(path: Path, text: str, spans: str, group: str = "") -> tuple[list[Question], list[str]]:
    """The rows of a file, and what was mended in them. Raises as `read_tagged`."""
    found = read_tagged(path, text, spans, group)
    questions = [
        Question(
            row=one.row,
            turns=(Turn(role="user", content=one.text),),
            references=(write_spans([Span(*span) for span in one.spans], one.text),),
            group=one.group,
        )
        for one in found.rows
    ]
    return questions, [f"{path.name}: {note}" for note in found.notes]


def spans_of(question: Question) -> Spans:
    """Its true spans, as (label, start, end)."""
    return tuple((one.kind, one.start, one.end) for one in read_spans(question.references[0]))


def labels_of(question: Question) -> frozenset[str]:
    """The labels of its spans."""
    return frozenset(label for label, _, _ in spans_of(question))


def examples_of(questions: Sequence[Question]) -> list[tuple[int, str, Spans]]:
    """(row, text, spans), as training takes them."""
    return [(one.row, one.asked, spans_of(one)) for one in questions]


def label_counts(questions: Sequence[Question]) -> dict[str, int]:
    """How many spans each label has, in the order of the labels."""
    return dict(sorted(Counter(label for one in questions for label, _, _ in spans_of(one)).items()))


def check_labels(splits: Mapping[str, Sequence[Question]], part: TaskPart, names: Mapping[str, str]) -> list[str]:
    """The labels that are learned: those of `[task] labels`, else of the training rows.

    Raises DataError for a label outside them, or one that no training row has.
    """
    learned = label_counts(splits["train"])
    known = sorted(part.labels) if part.labels else sorted(learned)
    for split, questions in splits.items():
        for label in label_counts(questions):
            if label not in known:
                rows = [one.row for one in questions if label in {kind for kind, _, _ in spans_of(one)}]
                why = "is not among [task] labels" if part.labels else "occurs in no row that is trained on"
                raise DataError(
                    f"{names[split]}: {named(rows)} the label {label[:80]!r}, which {why}.{did_you_mean(label, known)}",
                    "Correct it, or add training rows with it.",
                )
    if missing := [label for label in known if label not in learned]:
        raise DataError(f"No training row has the label {missing[0]!r} of [task] labels.", "Add rows, or remove it.")
    return known


def label_notes(splits: Mapping[str, Sequence[Question]]) -> list[str]:
    """What the rows of the labels are too few for."""
    learned, tested = (label_counts(splits[split]) for split in ("train", "test"))
    rare = [f"{label} ({count})" for label, count in learned.items() if count < FEW]
    unseen = [label for label in learned if label not in tested]
    return [
        *([f"Labels with fewer than {FEW} training spans: {', '.join(rare)}."] if rare else []),
        *([f"No test row has: {', '.join(unseen)}. Nothing is measured of them."] if unseen else []),
    ]


class LabelScore(Record):
    """Strict precision, recall and F1 of one label, and how many spans are true and found."""

    label: str
    precision: float
    recall: float
    f1: float
    true: int
    found: int


def label_scores(questions: Sequence[Question], answers: Sequence[str | None]) -> list[LabelScore]:
    """Of every label that is true or found, in their order."""
    true = [read_spans(one.references[0]) for one in questions]
    made = span_report(true, [read_spans(text or "[]") for text in answers])
    return [
        LabelScore(
            label=label, precision=one.precision, recall=one.recall, f1=one.f, true=one.true, found=one.predicted
        )
        for label, one in made.per_type.items()
    ]  # fmt: skip
