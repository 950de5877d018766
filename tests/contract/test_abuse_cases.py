"""docs/security.md names a test for every abuse case of requests, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs" / "security.md").read_text().splitlines() if re.match(r"\| \d", line)]
CASES = {int(row.split("|")[1]): re.findall(r"`(tests/[^`]+)`", row) for row in ROWS}


def test_every_case_has_a_test() -> None:
    assert set(CASES) == {*range(1, 13), *range(16, 28)}
    assert all(CASES.values())


def test_every_named_test_is_there() -> None:
    named: dict[str, set[str]] = {}
    for path, name in (one.split("::") for tests in CASES.values() for one in tests):
        named.setdefault(path, set()).add(name)
    for path, names in named.items():
        tree = ast.parse((ROOT / path).read_text())
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert names <= there, f"{path} has no {sorted(names - there)}"


def test_every_numbered_test_of_these_cases_is_named() -> None:
    """A case that gets a new test gets it in the table too, at least where the case's tests are kept."""
    text = (ROOT / "tests" / "http" / "test_abuse.py").read_text()
    for name in re.findall(r"def (test_abuse_\d+\w+)", text):
        assert f"tests/http/test_abuse.py::{name}" in CASES[int(name.split("_")[2])]
