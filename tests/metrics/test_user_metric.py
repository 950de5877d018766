"""A user's metric that works, raises, hangs, crashes, prints, or is no metric at all."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import psutil
import pytest

from linnet.core.errors import InputError, NotFound
from linnet.metrics.user_metric import Caps, user_metric

FILE = """
import os, sys, time
import helper

print("loading")

def score(prediction, references):
    print("noise" * 100)
    if prediction == "raise":
        raise KeyError("gone")
    if prediction == "exit":
        sys.exit(3)
    if prediction == "die":
        os._exit(7)
    if prediction == "abort":
        os.abort()
    if prediction == "sleep":
        time.sleep(600)
    if prediction == "text":
        return "high"
    if prediction == "nan":
        return float("nan")
    return helper.half * (prediction in references)

def with_example(prediction, references, example):
    return example["weight"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("half = 0.5\n")
    path = tmp_path / "metric.py"
    path.write_text(FILE)
    return path


def test_scores(file: Path) -> None:
    found = user_metric(str(file), ["a", "b", None, "d"], [["a"], ["x"], ["c"], []])
    assert [score.value for score in found.per_example] == [0.5, 0, 0, None]
    assert found.metric == "user:metric.py:score"
    assert found.version == hashlib.sha256(FILE.encode()).hexdigest()


def test_every_failure_is_its_examples_own(file: Path) -> None:
    predictions = ["raise", "exit", "die", "abort", "sleep", "text", "nan", "a"]
    found = user_metric(str(file), predictions, [["a"]] * 8, caps=Caps(example_s=2))
    assert [score.value for score in found.per_example] == [None] * 7 + [0.5]
    wanted = [
        "KeyError: 'gone' (line 10)", "SystemExit: 3", "ended its process (exit code 7)", "ended by signal 6",
        "ran longer than 2 s", "gave str, need a number", "gave nan, need a finite number",
    ]  # fmt: skip
    for place, words in enumerate(wanted):
        assert words in found.problems[place]


def test_it_gives_up_after_five_in_a_row(file: Path) -> None:
    found = user_metric(str(file), ["die"] * 7 + ["a"], [["a"]] * 8)
    assert found.value is None
    assert found.problems[5] == "not run: the metric ended 5 times in a row"


def test_the_example_is_handed_over(file: Path) -> None:
    found = user_metric(f"{file}:with_example", ["a", "b"], [["a"], ["b"]], [{"weight": 1}, {"weight": 3}])
    assert found.value == 2


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def score(", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("def other(p, r): return 1", "no function 'score'; it has: other"),
        ("raise SystemExit(2)", "SystemExit"),
        ("import os; os._exit(4)", "exit code 4"),
    ],
)
def test_a_file_that_cannot_be_loaded(tmp_path: Path, source: str, words: str) -> None:
    path = tmp_path / "m.py"
    path.write_text(source)
    with pytest.raises(InputError, match="could not be loaded") as caught:
        user_metric(str(path), ["a"], [["a"]])
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["metric.txt", "metric", "metric.py:a b", ":score", "metric.py:"])
def test_names(name: str) -> None:
    with pytest.raises(InputError, match=r"FILE\.py:FUNCTION"):
        user_metric(name, ["a"], [["a"]])


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        user_metric(str(tmp_path / "no.py"), ["a"], [["a"]])


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    mark = f"linnet-left-{time.monotonic_ns()}"
    (tmp_path / "m.py").write_text(
        "import subprocess, sys\n"
        "def score(p, r):\n"
        f"    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'])\n"
        "    return 1\n"
    )
    assert user_metric(str(tmp_path / "m.py"), ["a"], [["a"]]).value == 1
    until = time.monotonic() + 20  # a process that was killed is still listed until the system has put it away
    while left := [p.pid for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]:
        assert time.monotonic() < until, left
        time.sleep(0.05)
