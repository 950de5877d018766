"""Prepare: the user's files become train, validation and test examples, and a report of what was found in them.

train.jsonl and validation.jsonl depend on the training file and on [task] and [data] alone. A test file can refuse
the build, but changes no byte of them (unless leakage = "drop" takes rows out). What is wrong with a row is decided
in linnet.text; this is the order of the questions. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from linnet.core.errors import DataError, did_you_mean
from linnet.core.events import Event, OnEvent, silent
from linnet.core.files import sha256_file, write_json
from linnet.core.records import Example
from linnet.core.store import Step, Store
from linnet.core.task import Task, template_columns
from linnet.formats.tables import Table, read_table
from linnet.text.cleaning import (
    Cleaned,
    Leak,
    clean,
    conflicting,
    find_leaks,
    leak_counts,
    refuse_conflicts,
    refuse_leaks,
)
from linnet.text.example_files import write_examples
from linnet.text.examples import Rules, check_classes, examples_of, guess_columns, label_counts, lines_text
from linnet.text.misplaced import HINT, doubts_of
from linnet.text.profile import balance, lengths, pii_summary, similar_labels
from linnet.text.splits import hold_out, make_units, members
from linnet.text.suspects import MOST_ROWS, MOST_SUSPECTS, Suspects, find_suspects

STAGE = "prepare"
TEST_PERCENT = 20
VALIDATION_PERCENT = 15
_SPLITS = ("train", "validation", "test")
_SHOWN_CHARACTERS = 120
_FEW_ROWS = 10
_UNBALANCED = 20


@dataclass(frozen=True, slots=True)
class Source:
    """A table and the name that messages and the report give it."""

    name: str
    table: Table


@dataclass(frozen=True, slots=True)
class Prepared:
    splits: dict[str, list[Example]]
    report: dict[str, Any]


def prepare(store: Store, task: Task, on_event: OnEvent = silent) -> Step:
    """Read, check, clean and split the files that `[data]` names; reused while they and the task stay the same.

    The step's folder holds train.jsonl, validation.jsonl and test.jsonl (one Example a line) and report.json. Its
    result is {"labels", "counts", "warnings"}; labels are those of the training file.
    Raises DataError or NotFound for anything wrong with the data; ResourceMissing when the train extra is absent.
    """
    data, part = task.data, task.task
    names = {"train": data.train} | ({"test": data.test} if data.test else {})
    hashes = {role: sha256_file(task.data_path(name)) for role, name in names.items()}
    if data.test and hashes["train"] == hashes["test"]:
        raise _same_file(data.train, data.test)
    rules = Rules(
        input=part.input,
        output=part.output,
        labels=tuple(sorted(part.labels)) if part.labels else None,
        out_of_scope=part.out_of_scope,
        group=data.group,
        leakage=data.leakage,
        seed=data.seed,
        doubtful=data.doubtful,
    )
    files = {role: {"name": name, "sha256": hashes[role]} for role, name in names.items()}

    def work(folder: Path) -> dict[str, Any]:
        sources = {}
        for role, name in names.items():
            on_event(Event("progress", STAGE, f"reading {name}"))
            sources[role] = Source(name, read_table(task.data_path(name)))
            if sources[role].table.sha256 != hashes[role]:
                raise DataError(f"{name}: the file changed while it was read.", "Run the same command again.")
        prepared = _analyse(sources["train"], sources.get("test"), rules, [], on_event)
        for split, examples in prepared.splits.items():
            write_examples(folder / f"{split}.jsonl", examples)
        write_json(folder / "report.json", prepared.report)
        counts = {split: len(examples) for split, examples in prepared.splits.items()}
        return {
            "labels": sorted(prepared.report["splits"]["train"]["labels"]),
            "counts": counts | {"read": prepared.report["rows"]["read"], "removed": len(prepared.report["removed"])},
            "warnings": prepared.report["warnings"],
        }

    return store.step(STAGE, {"files": files} | asdict(rules), work, on_event, label=f"prepare {data.train}")


def check(
    path: Path,
    input_column: str | None = None,
    output_column: str | None = None,
    test: Path | None = None,
    *,
    group: str | None = None,
    leakage: Literal["refuse", "drop"] = "refuse",
    seed: int = 0,
    on_event: OnEvent = silent,
) -> dict[str, Any]:
    """The report alone, as `prepare` would write it; nothing is stored. Columns that are not given are guessed.

    Raises what `prepare` raises: data that passes here is data that can be built from.
    """
    train = Source(str(path), read_table(path))
    other = Source(str(test), read_table(test)) if test else None
    if other and other.table.sha256 == train.table.sha256:
        raise _same_file(train.name, other.name)
    source, target = guess_columns(train.table, train.name, input_column, output_column)
    guessed = [
        f"{role} {column!r}"
        for role, column, given in (("input", source, input_column), ("output", target, output_column))
        if given is None
    ]
    rules = Rules(input=source, output=target, group=group, leakage=leakage, seed=seed)
    notes = [f"Columns were guessed: {', '.join(guessed)}. --input and --output choose others."] if guessed else []
    return _analyse(train, other, rules, notes, on_event).report


def _same_file(train: str, test: str) -> DataError:
    return DataError(
        f"The training file {train} and the test file {test} have the same content.",
        "Give a test file of other examples, or none: then a part of the training file is set aside.",
    )


def _analyse(train: Source, test: Source | None, rules: Rules, notes: list[str], on_event: OnEvent) -> Prepared:
    """The questions, in order: rows, conflicts, leaks, duplicates, labels, splits; then the report."""
    examples = examples_of(train.table, rules, train.name)
    tests = examples_of(test.table, rules, test.name) if test else []
    refuse_conflicts(examples, train.name)
    on_event(Event("progress", STAGE, "looking for rows that repeat"))
    leaks = find_leaks(examples, tests) if test else []
    if rules.leakage == "refuse" and test:
        refuse_leaks(leaks, train.name, test.name)
    leaked = {leak.train.row for leak in leaks}
    cleaned = clean([example for example in examples if example.row not in leaked])
    check_classes(cleaned.kept, train.name)
    splits, unsplit = _split(cleaned, tests if test else None, rules)
    if test:
        _check_test_labels(tests, cleaned.kept, rules, test.name)
    elif not splits["test"]:
        raise DataError(
            f"{train.name}: there are too few rows to set a test aside ({len(cleaned.kept)} after cleaning).",
            "Give at least 3 different texts of each label (in 3 groups, where rows have groups), or a test file.",
        )
    on_event(Event("progress", STAGE, "looking for labels that the other rows contradict"))
    asked = [pair for c in cleaned.conflicts for pair in _both_ways(cleaned.kept, c.first, c.second)]
    suspects = find_suspects(cleaned.kept, rules.seed, asked[:MOST_SUSPECTS])
    doubts = doubts_of((train.name, cleaned.kept), (test.name, tests) if test else None, suspects)
    if doubts and rules.doubtful == "refuse":
        raise DataError(doubts[0], HINT)
    report = {
        "files": [_file_entry(role, s) for role, s in (("train", train), ("test", test)) if s],
        "columns": {"input": template_columns(rules.input), "output": rules.output, "group": rules.group},
        "rows": _row_counts(examples, cleaned, leaks),
        "removed": _removed(train.name, cleaned, leaks),
        "splits": {name: {"rows": len(rows), "labels": label_counts(rows)} for name, rows in splits.items()},
        "test_is": "given" if test else "split",
        "lengths": lengths(cleaned.kept),
        "balance": balance(cleaned.kept),
        "leakage": leak_counts(leaks) | {"action": "drop" if leaks else "none"},
        "label_suspects": _suspects(cleaned, suspects),
        "pii": pii_summary(cleaned.kept),
        "test_duplicates": _test_duplicates(tests),
        "warnings": [],
    }
    warnings = notes + doubts + _row_warnings(report, examples, tests, rules, test)
    warnings += _label_warnings(report, rules, unsplit) + _finding_warnings(report, cleaned, suspects)
    report["warnings"] = warnings
    for warning in warnings:
        on_event(Event("warning", STAGE, warning))
    return Prepared(splits, report)


def _both_ways(kept: Sequence[Example], first: int, second: int) -> list[tuple[int, str]]:
    return [(first, kept[second].label), (second, kept[first].label)]


def _split(
    cleaned: Cleaned, tests: list[Example] | None, rules: Rules
) -> tuple[dict[str, list[Example]], dict[str, list[str]]]:
    """The three splits, and for those made here the labels that could not be put into them."""
    # Near duplicates under two labels stay on one side: else the test would hold rows that were trained on.
    units = make_units(cleaned.kept, [(c.first, c.second) for c in cleaned.conflicts])
    unsplit = {}
    chosen = {}
    if tests is None:
        held = hold_out(units, TEST_PERCENT, f"{rules.seed}:test", keep_units=2)
        units, chosen["test"], unsplit["test"] = held.rest, held.out, held.missing
    held = hold_out(units, VALIDATION_PERCENT, f"{rules.seed}:validation", keep_units=1)
    chosen["train"], chosen["validation"], unsplit["validation"] = held.rest, held.out, held.missing
    splits = {name: [cleaned.kept[index] for index in members(chosen.get(name, ()))] for name in _SPLITS}
    if tests is not None:
        splits["test"] = tests
    return splits, unsplit


def _check_test_labels(tests: list[Example], kept: list[Example], rules: Rules, name: str) -> None:
    known = sorted({example.label for example in kept})
    unknown = [e for e in tests if e.label not in known and e.label != rules.out_of_scope]
    if unknown:
        label = unknown[0].label
        rows = [example.row for example in unknown if example.label == label]
        raise DataError(
            f"{name}, {lines_text(rows)}: label {label[:80]!r} does not occur in the training file, so it cannot be"
            f" learned.{did_you_mean(label, known)}",
            "Correct it, add training examples of it, or name it out_of_scope in [task] if it means none of the rest.",
        )


def _file_entry(role: str, source: Source) -> dict[str, Any]:
    table = source.table
    return {
        "role": role,
        "name": source.name,
        "sha256": table.sha256,
        "format": table.format,
        "encoding": table.encoding,
        "delimiter": table.delimiter,
        "columns": table.columns,
        "rows": len(table.rows),
        "size_bytes": table.size_bytes,
        "notes": table.notes,
    }


def _row_counts(examples: list[Example], cleaned: Cleaned, leaks: list[Leak]) -> dict[str, int]:
    reasons = [removed.reason for removed in cleaned.removed]
    return {
        "read": len(examples),
        "kept": len(cleaned.kept),
        "exact_duplicates": reasons.count("exact duplicate"),
        "near_duplicates": reasons.count("near duplicate"),
        "conflicts": len(cleaned.conflicts),
        "leaked": len(leaks),
    }


def _removed(name: str, cleaned: Cleaned, leaks: list[Leak]) -> list[dict[str, Any]]:
    gone = [(removed.example, removed.reason, removed.kept_row) for removed in cleaned.removed]
    gone += [(leak.train, f"also in the test file ({leak.kind})", leak.test.row) for leak in leaks]
    return [
        {"file": name, "row": e.row, "reason": reason, "text": e.text[:_SHOWN_CHARACTERS], "kept_row": row}
        for e, reason, row in sorted(gone, key=lambda item: item[0].row)
    ]


def _suspects(cleaned: Cleaned, suspects: Suspects) -> list[dict[str, Any]]:
    """Rows that the classifier disputes, then those with a near duplicate under another label; each row once."""
    why: dict[int, str] = {}
    for conflict in cleaned.conflicts:
        for index, other in ((conflict.first, conflict.second), (conflict.second, conflict.first)):
            why.setdefault(index, f"nearly the same text as line {cleaned.kept[other].row}, which has another label")
    entries: dict[int, dict[str, Any]] = {}
    for suspect in suspects.found + suspects.asked:
        example = cleaned.kept[suspect.index]
        entry = {
            "row": example.row,
            "text": example.text[:_SHOWN_CHARACTERS],
            "label": example.label,
            "suggested": suspect.suggested,
            "probability": suspect.probability,
            "reason": why.get(suspect.index, "the other rows speak for the suggested label"),
        }
        entries.setdefault(suspect.index, entry)
    return list(entries.values())


def _test_duplicates(tests: list[Example]) -> dict[str, Any]:
    """Rows of the user's test file that repeat earlier ones. They are reported only: the test is the user's."""
    if not tests:
        return {"exact": 0, "near": 0, "conflicts": 0, "examples": []}
    # Labels are left aside: each text counts once, whatever its label says.
    repeated = clean([example.model_copy(update={"label": ""}) for example in tests]).removed
    reasons = [removed.reason for removed in repeated]
    return {
        "exact": reasons.count("exact duplicate"),
        "near": reasons.count("near duplicate"),
        "conflicts": len(conflicting(tests)),
        "examples": [{"row": r.example.row, "reason": r.reason, "first_row": r.kept_row} for r in repeated],
    }


def _row_warnings(
    report: dict[str, Any], examples: list[Example], tests: list[Example], rules: Rules, test: Source | None
) -> list[str]:
    rows, found = report["rows"], []
    if removed := rows["exact_duplicates"] + rows["near_duplicates"]:
        found.append(
            f"{removed:,} rows were left out as duplicates ({rows['exact_duplicates']:,} exact,"
            f" {rows['near_duplicates']:,} near); the report lists them."
        )
    if rows["leaked"]:
        found.append(
            f'{rows["leaked"]:,} training rows are also in the test file and were left out (leakage = "drop");'
            " training now depends on the test file."
        )
    if rows["conflicts"]:
        found.append(
            f"{rows['conflicts']:,} pairs of rows say nearly the same under different labels; see label_suspects."
        )
    repeated = report["test_duplicates"]
    if repeated["exact"] + repeated["near"]:
        found.append(
            f"The test file repeats itself: {repeated['exact']:,} exact and {repeated['near']:,} near duplicates."
            " They are kept, and count each time."
        )
    if repeated["conflicts"]:
        found.append(
            f"The test file contradicts itself: {repeated['conflicts']:,} pairs of rows have the same text and"
            " different labels. No model can be right on both."
        )
    if rules.group and (alone := [e.row for e in examples + tests if not e.group]):
        found.append(f"{len(alone):,} rows have no value in the group column {rules.group!r}; each is its own group.")
    if not test:
        found.append(
            f"No test file is given: {report['splits']['test']['rows']:,} rows ({TEST_PERCENT} %) of the training file"
            " were set aside as the test."
        )
    return found


def _label_warnings(report: dict[str, Any], rules: Rules, unsplit: dict[str, list[str]]) -> list[str]:
    train, test = report["splits"]["train"]["labels"], report["splits"]["test"]["labels"]
    totals = {label: n + report["splits"]["validation"]["labels"].get(label, 0) for label, n in train.items()}
    found = []
    if few := [label for label, count in totals.items() if count < _FEW_ROWS]:
        found.append(
            f"{len(few):,} of {len(totals):,} labels have fewer than {_FEW_ROWS} rows to learn from: {_names(few)}."
        )
    for split, labels in unsplit.items():
        if labels:
            found.append(f"The {split} split has no row of {_names(labels)}: too few rows or groups to spare one.")
    found += [f"Labels {a!r} and {b!r} look like the same label." for a, b in similar_labels(list(totals))]
    if unseen := [label for label in rules.labels or () if label not in totals]:
        found.append(f"[task] labels names {_names(unseen)}, but no training row has it, so it cannot be learned.")
    scope = rules.out_of_scope
    if scope and scope not in totals:
        where = "occurs in the test file only" if scope in test else "occurs in no row"
        near = "" if scope in test else did_you_mean(scope, list(totals))
        found.append(f"The out_of_scope label {scope!r} {where}.{near}")
    if report["test_is"] == "given" and (absent := [label for label in totals if label not in test]):
        found.append(f"The test file has no row of {_names(absent)}: nothing is known of them in the end.")
    if report["balance"]["ratio"] >= _UNBALANCED:
        (large, most), (small, least) = report["balance"]["largest"], report["balance"]["smallest"]
        found.append(f"The labels are unbalanced: {large!r} has {most:,} rows, {small!r} has {least:,}.")
    return found


def _finding_warnings(report: dict[str, Any], cleaned: Cleaned, suspects: Suspects) -> list[str]:
    found = []
    if suspects.total:
        found.append(
            f"{suspects.total:,} rows have a label that the other rows contradict; the clearest are in label_suspects."
        )
    if suspects.sampled < len(cleaned.kept):
        found.append(f"Labels were checked on a sample of {MOST_ROWS:,} of {len(cleaned.kept):,} rows.")
    if report["pii"]["rows"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report["pii"]["kinds"].items())
        found.append(f"{report['pii']['rows']:,} rows hold what looks like personal data ({kinds}).")
    return found


def _names(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label[:60]) for label in labels[:8])
    return f"{shown} and {len(labels) - 8:,} more" if len(labels) > 8 else shown
