"""pass@k against all draws, and HumanEval's own solutions in the sandbox."""

from __future__ import annotations

import gzip
import json
import os
from itertools import combinations

import pytest

from linnet.core.errors import DataError, ResourceMissing
from linnet.metrics.pass_at_k import Problem, code_of, judge_code, pass_at_k, program_of
from linnet.metrics.sandbox import Limits, run_program
from tests.shared import shared_data

LIMITS = Limits(wall_s=60, cpu_s=10)
ADD = Problem(name="add", prompt="def add(a, b):\n", test="def check(f):\n    assert f(1, 2) == 3\n", entry_point="add")


@pytest.fixture(scope="module")
def sandbox() -> None:
    try:
        run_program("pass", LIMITS)
    except ResourceMissing as error:
        pytest.skip(f"programs cannot be shut in here: {error.message}")


@pytest.mark.parametrize("n", [1, 4, 7])
def test_the_estimate_is_the_share_of_draws_with_a_pass(n: int) -> None:
    for passed in range(n + 1):
        for k in range(1, n + 1):
            drawn = list(combinations([True] * passed + [False] * (n - passed), k))
            assert pass_at_k(n, passed, k) == pytest.approx(sum(map(any, drawn)) / len(drawn))


@pytest.mark.parametrize("numbers", [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4), (0, 0, 1)])
def test_numbers_that_give_none(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(DataError):
        pass_at_k(*numbers)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("    return a + b", "    return a + b"),
        ("Here:\n```python\nx = 1\n```\nDone.\n```\ny\n```", "x = 1"),
        ("```\nx = 1", "x = 1"),
        ("use `x`", "use `x`"),
    ],
)
def test_code_of_an_answer(answer: str, code: str) -> None:
    assert code_of(answer) == code


def test_answers_are_judged(sandbox: None) -> None:
    good, bad, whole = "    return a + b\n", "    return a - b\n", "    pass\ndef add(a, b): return b + a\n"
    found = judge_code(
        [ADD, ADD.model_copy(update={"name": "two"})], [[good, bad, whole], [None, " ", bad]], (1, 2, 5), LIMITS
    )
    assert [s.outcome for s in found.samples["add"]] == ["passed", "failed", "passed"]
    assert [s.outcome for s in found.samples["two"]] == ["no answer", "no answer", "failed"]
    assert found.pass_at == {1: pytest.approx(1 / 3), 2: 0.5}
    assert found.isolation is not None
    assert found.isolation.network


def test_bad_input() -> None:
    with pytest.raises(DataError, match="there twice"):
        judge_code([ADD, ADD], [["x"], ["x"]])
    with pytest.raises(DataError, match="one has 0"):
        judge_code([ADD], [[]])
    with pytest.raises(DataError, match="answers to 0"):
        judge_code([ADD], [])
    with pytest.raises(DataError, match="not a Python name"):
        program_of(ADD.model_copy(update={"entry_point": "add); import os"}), "")


def test_humaneval(sandbox: None) -> None:
    path = shared_data("humaneval") / "HumanEval.jsonl.gz"
    if not path.is_file():
        pytest.skip("humaneval is not here")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(rows) == 164
    if os.environ.get("LINNET_NIGHTLY") != "1":
        rows = rows[::33]  # all of them are for the night
    problems = [
        Problem(name=r["task_id"], prompt=r["prompt"], test=r["test"], entry_point=r["entry_point"]) for r in rows
    ]
    answers = [[r["canonical_solution"], "    return None\n"] for r in rows]
    found = judge_code(problems, answers, (1, 2), LIMITS)
    assert [name for name, made in found.samples.items() if made[0].outcome != "passed"] == []
    assert found.pass_at[2] == 1
    assert found.pass_at[1] < 0.6
