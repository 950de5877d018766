"""Prepare and `data check`: real files in, three splits and a report out, or an error that says where."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.core.errors import DataError, NotFound
from linnet.core.events import Event
from linnet.core.records import Example
from linnet.core.store import Step, Store
from linnet.core.task import Task, parse_task
from linnet.stages.prepare import check, prepare
from linnet.text.example_files import read_examples

pytest.importorskip("datasketch")
pytest.importorskip("sklearn")

Row = tuple[str, ...]
WORDS = {
    "refund": ["money", "back", "return", "cash", "repay", "reimburse", "sum", "charge"],
    "delivery": ["parcel", "courier", "late", "arrive", "ship", "track", "post", "driver"],
    "other": ["weather", "football", "poem", "holiday", "recipe", "guitar", "moon", "river"],
}


def rows_of(counts: dict[str, int], seed: int = 1) -> list[Row]:
    """Texts of some label words and much noise: easy to tell apart, never alike."""
    chooser = random.Random(seed)
    noise = ["".join(chooser.choices("abcdefghijklmnop", k=6)) for _ in range(500)]
    return [
        (" ".join(chooser.sample(WORDS[label], 4) + chooser.sample(noise, 4)), label)
        for label, count in counts.items()
        for _ in range(count)
    ]


def write(path: Path, rows: Sequence[Row], header: Row = ("text", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def make_task(folder: Path, data: dict[str, Any] | None = None, **part: Any) -> Task:
    return parse_task(
        {
            "task": {"name": "demo", "kind": "classify", "input": "text", "output": "label"} | part,
            "data": {"train": "train.csv"} | (data or {}),
        },
        folder,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def read(step: Step, split: str) -> list[Example]:
    return read_examples(step.folder / f"{split}.jsonl")


def report_of(step: Step) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((step.folder / "report.json").read_text())
    return report


GOOD = {"refund": 30, "delivery": 20}


def test_a_file_alone_gives_three_splits(tmp_path: Path, store: Store) -> None:
    rows = rows_of(GOOD)
    write(tmp_path / "train.csv", rows)
    step = prepare(store, make_task(tmp_path))
    assert set(step.run.files) == {"train.jsonl", "validation.jsonl", "test.jsonl", "report.json"}
    splits = {split: read(step, split) for split in ("train", "validation", "test")}
    assert {split: len(found) for split, found in splits.items()} == {"train": 34, "validation": 6, "test": 10}
    together = [(e.row, e.text, e.label) for found in splits.values() for e in found]
    assert sorted(together) == [(number, text, label) for number, (text, label) in enumerate(rows, 2)]
    assert step.result["labels"] == ["delivery", "refund"]
    assert step.result["counts"] == {"train": 34, "validation": 6, "test": 10, "read": 50, "removed": 0}
    assert report_of(step)["test_is"] == "split"
    assert any("No test file" in warning for warning in step.result["warnings"])


def test_the_report_has_every_field(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "train.csv", [*rows_of(GOOD), ("mail me at ann@mail.example.org about the parcel", "delivery")])
    write(tmp_path / "test.csv", rows_of({"refund": 3, "delivery": 3}, seed=2))
    report = report_of(prepare(store, make_task(tmp_path, {"test": "test.csv"})))
    assert [(f["role"], f["name"], f["format"], f["rows"]) for f in report["files"]] == [
        ("train", "train.csv", "csv", 51),
        ("test", "test.csv", "csv", 6),
    ]
    assert report["columns"] == {"input": ["text"], "output": "label", "group": None}
    assert report["rows"] == {
        "read": 51,
        "kept": 51,
        "exact_duplicates": 0,
        "near_duplicates": 0,
        "conflicts": 0,
        "leaked": 0,
    }
    assert report["removed"] == []
    assert report["test_is"] == "given"
    assert report["splits"]["test"] == {"rows": 6, "labels": {"delivery": 3, "refund": 3}}
    assert report["lengths"]["words"] == {"p50": 8, "p95": 8, "max": 8}
    assert sum(bar["count"] for bar in report["lengths"]["histogram"]) == 51
    assert report["balance"] == {"largest": ["refund", 30], "smallest": ["delivery", 21], "ratio": 1.43}
    assert report["leakage"] == {"exact": 0, "near": 0, "group": 0, "action": "none"}
    assert report["pii"] == {"rows": 1, "kinds": {"email": 1}, "examples": [{"row": 52, "kind": "email"}]}
    assert "ann@" not in json.dumps(report["pii"]) + json.dumps(report["warnings"])


def test_the_same_again_is_reused_and_an_edit_is_not(tmp_path: Path, store: Store) -> None:
    rows = rows_of(GOOD)
    write(tmp_path / "train.csv", rows)
    first = prepare(store, make_task(tmp_path))
    events: list[Event] = []
    again = prepare(store, make_task(tmp_path), events.append)
    assert (first.reused, again.reused) == (False, True)
    assert [event.kind for event in events] == ["reused"]
    assert not prepare(store, make_task(tmp_path, {"seed": 1})).reused
    write(tmp_path / "train.csv", rows[:-1])
    assert not prepare(store, make_task(tmp_path)).reused


def test_train_and_validation_do_not_depend_on_the_test_file(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "train.csv", rows_of(GOOD))
    tests = rows_of({"refund": 5, "delivery": 5}, seed=2)
    write(tmp_path / "test.csv", tests)
    first = prepare(store, make_task(tmp_path, {"test": "test.csv"}))
    write(tmp_path / "test.csv", [("quite another text", "refund"), *tests[1:]])
    second = prepare(store, make_task(tmp_path, {"test": "test.csv"}))
    assert not second.reused
    for split in ("train", "validation"):
        assert first.sha256(f"{split}.jsonl") == second.sha256(f"{split}.jsonl")
    assert first.sha256("test.jsonl") != second.sha256("test.jsonl")


def test_an_edit_of_one_row_leaves_the_split_of_the_others(tmp_path: Path, store: Store) -> None:
    rows = rows_of({"refund": 60, "delivery": 40})
    write(tmp_path / "train.csv", rows)

    def places() -> dict[int, str]:
        step = prepare(store, make_task(tmp_path))
        return {e.row: split for split in ("train", "validation", "test") for e in read(step, split)}

    before = places()
    rows[10] = ("an entirely edited row", rows[10][1])
    write(tmp_path / "train.csv", rows)
    after = places()
    # At most one row at the border of each of the two cuts may move with it.
    assert len([row for row in before if row != 12 and before[row] != after[row]]) <= 2


def test_duplicates_are_left_out_and_listed(tmp_path: Path, store: Store) -> None:
    rows = rows_of(GOOD)
    copies = [(rows[0][0].upper(), "refund"), (rows[1][0] + ".", "refund"), (rows[2][0] + ".", "delivery")]
    write(tmp_path / "train.csv", rows + copies)
    step = prepare(store, make_task(tmp_path))
    report = report_of(step)
    assert report["rows"] == {
        "read": 53,
        "kept": 51,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "conflicts": 1,
        "leaked": 0,
    }
    assert [(r["file"], r["row"], r["reason"], r["kept_row"]) for r in report["removed"]] == [
        ("train.csv", 52, "exact duplicate", 2),
        ("train.csv", 53, "near duplicate", 3),
    ]
    assert report["removed"][0]["text"] == rows[0][0].upper()[:120]
    conflict = {s["row"]: s for s in report["label_suspects"] if "nearly the same text" in s["reason"]}
    assert set(conflict) == {4, 54}
    assert conflict[54]["suggested"] == "refund"
    where = {e.row: split for split in ("train", "validation", "test") for e in read(step, split)}
    assert where[4] == where[54]


def test_near_duplicates_under_two_labels_stay_on_one_side(tmp_path: Path, store: Store) -> None:
    rows = rows_of(GOOD)
    twins = [(text + ".", "delivery" if label == "refund" else "refund") for text, label in rows[:20]]
    write(tmp_path / "train.csv", rows + twins)
    step = prepare(store, make_task(tmp_path))
    where = {e.row: split for split in ("train", "validation", "test") for e in read(step, split)}
    assert report_of(step)["rows"]["conflicts"] == 20
    assert {where[row] for row in range(2, 22)} == {"train", "validation", "test"}
    assert all(where[row] == where[row + 50] for row in range(2, 22))


def test_a_wrong_label_is_suspected(tmp_path: Path) -> None:
    rows = rows_of({"refund": 40, "delivery": 40})
    rows[5] = (rows[5][0], "delivery")
    report = check(write(tmp_path / "a.csv", rows))
    assert [(s["row"], s["label"], s["suggested"]) for s in report["label_suspects"]] == [(7, "delivery", "refund")]
    assert report["label_suspects"][0]["probability"] > 0.5


def test_groups_never_straddle(tmp_path: Path, store: Store) -> None:
    rows = [(text, label, f"customer {place % 13}") for place, (text, label) in enumerate(rows_of(GOOD))]
    write(tmp_path / "train.csv", rows, ("text", "label", "who"))
    step = prepare(store, make_task(tmp_path, {"group": "who"}))
    groups = [{e.group for e in read(step, split)} for split in ("train", "validation", "test")]
    assert all(groups)
    assert sum(map(len, groups)) == 13


def test_leaks_are_refused_by_line_or_dropped(tmp_path: Path, store: Store) -> None:
    rows = [(*row, f"c{place}") for place, row in enumerate(rows_of(GOOD))]
    tests = [(*row, f"t{place}") for place, row in enumerate(rows_of({"refund": 5, "delivery": 5}, seed=2))]
    leaks = [(rows[3][0].title(), "refund", "t97"), (rows[4][0] + "!", "refund", "t98"), ("only you", "refund", "c6")]
    header = ("text", "label", "who")
    write(tmp_path / "train.csv", rows, header)
    write(tmp_path / "test.csv", tests + leaks, header)
    with pytest.raises(DataError) as caught:
        prepare(store, make_task(tmp_path, {"test": "test.csv", "group": "who"}))
    assert "3 rows are also in test.csv (1 exact, 1 near, 1 group)" in caught.value.message
    assert "5 and 12 (exact); 6 and 13 (near); 8 and 14 (group)" in caught.value.message
    assert 'leakage = "drop"' in caught.value.hint
    step = prepare(store, make_task(tmp_path, {"test": "test.csv", "group": "who", "leakage": "drop"}))
    report = report_of(step)
    assert report["leakage"] == {"exact": 1, "near": 1, "group": 1, "action": "drop"}
    assert [(r["row"], r["reason"], r["kept_row"]) for r in report["removed"]] == [
        (5, "also in the test file (exact)", 12),
        (6, "also in the test file (near)", 13),
        (8, "also in the test file (group)", 14),
    ]
    assert len(read(step, "test")) == 13
    assert not {5, 6, 8} & {e.row for split in ("train", "validation") for e in read(step, split)}


def test_duplicates_in_the_test_file_are_kept_and_reported(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "train.csv", rows_of(GOOD))
    tests = rows_of({"refund": 4, "delivery": 4}, seed=2)
    write(tmp_path / "test.csv", [*tests, tests[0], (tests[1][0], "delivery"), (tests[2][0] + ".", "refund")])
    step = prepare(store, make_task(tmp_path, {"test": "test.csv"}))
    assert len(read(step, "test")) == 11
    found = report_of(step)["test_duplicates"]
    assert (found["exact"], found["near"], found["conflicts"]) == (2, 1, 1)
    assert [(e["row"], e["first_row"]) for e in found["examples"]] == [(10, 2), (11, 3), (12, 4)]
    assert any("contradicts itself" in warning for warning in step.result["warnings"])


def test_an_out_of_scope_label_may_be_in_the_test_only(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "train.csv", rows_of(GOOD))
    write(tmp_path / "test.csv", rows_of({"refund": 3, "delivery": 3, "other": 3}, seed=2))
    with pytest.raises(DataError, match=r"test\.csv, lines 8, 9, 10: label 'other' does not occur"):
        prepare(store, make_task(tmp_path, {"test": "test.csv"}))
    step = prepare(store, make_task(tmp_path, {"test": "test.csv"}, out_of_scope="other"))
    assert step.result["labels"] == ["delivery", "refund"]
    assert any("'other' occurs in the test file only" in warning for warning in step.result["warnings"])


def test_a_template_of_columns(tmp_path: Path, store: Store) -> None:
    rows = [(text, f"subject {text[:5]}" if place else "", label) for place, (text, label) in enumerate(rows_of(GOOD))]
    write(tmp_path / "train.csv", rows, ("body", "subject", "label"))
    step = prepare(store, make_task(tmp_path, input="{subject}\n{body}"))
    texts = {e.row: e.text for split in ("train", "validation", "test") for e in read(step, split)}
    assert texts[2] == "\n" + rows[0][0]
    assert texts[3] == f"{rows[1][1]}\n{rows[1][0]}"


def refused(folder: Path, rows: Sequence[Row], tests: Sequence[Row] | None = None, **part: Any) -> DataError:
    write(folder / "train.csv", rows)
    if tests is not None:
        write(folder / "test.csv", tests)
    task = make_task(folder, {"test": "test.csv"} if tests is not None else {}, **part)
    with pytest.raises(DataError) as caught:
        prepare(Store(folder / "store"), task)
    assert not list((folder / "store").rglob("record.json"))
    return caught.value


BASE = rows_of({"refund": 6, "delivery": 6})
SECOND = rows_of({"refund": 2, "delivery": 2}, seed=2)
CASES: dict[str, tuple[Sequence[Row], Sequence[Row] | None, dict[str, Any], list[str]]] = {
    "empty text": ([*BASE, ("", "refund"), (" \u200b", "refund")], None, {}, ["lines 14, 15", "no text", "'text'"]),
    "empty label": ([("a text", ""), *BASE], None, {}, ["line 2", "1 row has no label", "'label'"]),
    "many empty texts": ([*BASE, *[("", "refund")] * 12], None, {}, ["12 rows", "14, 15", "and 2 more"]),
    "empty text in the test": (BASE, [*SECOND, ("", "refund")], {}, ["test.csv", "line 6"]),
    "unknown column": (BASE, None, {"output": "lable"}, ["'lable' (output)", 'mean "label"', "'text', 'label'"]),
    "unknown template column": (BASE, None, {"input": "{text} {body}"}, ["'body' (input)"]),
    "unlisted label": (
        [*BASE, ("a new text", "refunds")],
        None,
        {"labels": ["refund", "delivery"]},
        ["line 14", "'refunds'", 'mean "refund"'],
    ),
    "unlisted label in the test": (
        BASE,
        [*SECOND, ("a new text", "delivry")],
        {"labels": ["refund", "delivery"]},
        ["test.csv, line 6", 'mean "delivery"'],
    ),
    "one class": ([row for row in BASE if row[1] == "refund"], None, {}, ["every row has the label 'refund'"]),
    "a label seen once": ([*BASE, ("ask for a loan", "loan")], None, {}, ["line 14", "'loan'", "at least one more"]),
    "a label seen once, twice over": (
        [*BASE, ("ask for a loan", "loan"), ("Ask for a  LOAN", "loan")],
        None,
        {},
        ["line 14", "'loan'", "duplicates not counted"],
    ),
    "a label of the test only": (BASE, [*SECOND, ("a loan", "delivry")], {}, ["test.csv, line 6", 'mean "delivery"']),
    "the same file twice": (BASE, BASE, {}, ["train.csv", "test.csv", "same content"]),
    "conflicting labels": (
        [*BASE, (BASE[1][0].upper(), "delivery")],
        None,
        {},
        ["1 pair of rows", "lines 3 ('refund') and 14 ('delivery')", "Decide which label"],
    ),
    "too few rows for a test": (
        [row for row in BASE if row[1] == "refund"][:2] + [row for row in BASE if row[1] == "delivery"][:2],
        None,
        {},
        ["too few rows to set a test aside (4", "at least 3"],
    ),
    "a leak": (BASE, [*SECOND, BASE[0]], {}, ["1 row is also in test.csv (1 exact)", "2 and 6 (exact)"]),
}


@pytest.mark.parametrize("case", CASES, ids=[name.replace(" ", "-") for name in CASES])
def test_wrong_data_is_refused_with_place_and_next_step(tmp_path: Path, case: str) -> None:
    rows, tests, part, expected = CASES[case]
    error = refused(tmp_path, rows, tests, **part)
    assert error.exit_code == 2
    assert error.hint
    assert [text for text in expected if text not in str(error)] == []


def test_a_missing_file(tmp_path: Path, store: Store) -> None:
    with pytest.raises(NotFound, match=r"train\.csv"):
        prepare(store, make_task(tmp_path))


def test_small_and_odd_data_is_warned_of(tmp_path: Path) -> None:
    extra = [("a loan for a house", "Refund "), ("who lends me a sum", "Refund ")]
    report = check(write(tmp_path / "a.csv", rows_of({"refund": 60, "delivery": 8}) + extra))
    text = "\n".join(report["warnings"])
    assert "Labels 'Refund ' and 'refund' look like the same label" in text
    assert "2 of 3 labels have fewer than 10 rows to learn from" in text
    assert "The test split has no row of 'Refund '" in text
    assert "The labels are unbalanced: 'refund' has 60 rows, 'Refund ' has 2" in text
    assert report["splits"]["validation"]["labels"]["Refund "] == 1


def test_columns_are_guessed_and_said(tmp_path: Path) -> None:
    rows = [(str(n), text, label, "web") for n, (text, label) in enumerate(rows_of(GOOD))]
    report = check(write(tmp_path / "a.csv", rows, ("id", "body", "topic", "channel")))
    assert report["columns"] == {"input": ["body"], "output": "topic", "group": None}
    assert any("input 'body', output 'topic'" in warning for warning in report["warnings"])
    chosen = check(tmp_path / "a.csv", "body", "topic")
    assert not any("guessed" in warning for warning in chosen["warnings"])
    with pytest.raises(DataError, match="no column looks like a label"):
        check(write(tmp_path / "b.csv", [(str(n), text) for n, (text, _) in enumerate(rows_of(GOOD))], ("id", "body")))


def test_a_report_on_check_is_the_one_of_prepare(tmp_path: Path, store: Store) -> None:
    write(tmp_path / "train.csv", rows_of(GOOD))
    made = report_of(prepare(store, make_task(tmp_path)))
    checked = check(tmp_path / "train.csv", "text", "label")
    assert made | {"files": 0} == checked | {"files": 0}


def test_the_result_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    rows = rows_of(GOOD)
    write(tmp_path / "a.csv", [*rows, (rows[0][0] + ".", "refund"), (rows[1][0] + ".", "delivery")])
    program = (
        "import json, pathlib, sys; from linnet.stages.prepare import check;"
        "print(json.dumps(check(pathlib.Path(sys.argv[1])), sort_keys=False))"
    )
    reports = {
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "a.csv")],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(reports) == 1


def test_data_check_on_the_command_line(tmp_path: Path) -> None:
    from linnet.cli.data import app

    path = write(tmp_path / "a.csv", [*rows_of(GOOD), ("[red]\x1b[31mplain[/red] words of mine", "refund")])
    shown = CliRunner().invoke(app, ["check", str(path), "--input", "text", "--output", "label"])
    assert shown.exit_code == 0
    assert "51 read, 51 kept" in shown.stdout
    assert "\x1b[31m" not in shown.stdout
    as_json = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert as_json.exit_code == 0
    assert json.loads(as_json.stdout)["rows"]["read"] == 51
    failed = CliRunner().invoke(app, ["check", str(path), "--output", "labl"])
    assert isinstance(failed.exception, DataError)
