"""The conformance job tells the truth: failures are failures, and what is left out has a reason that still holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from conformance.__main__ import INTRODUCTION, Result, page, sorted_out

ROOT = Path(__file__).parents[2]
SUITES = tomllib.loads((ROOT / "conformance" / "suites.toml").read_text())["suite"]
PAGE = (ROOT / "docs" / "conformance.md").read_text()


def test_every_suite_and_every_reason_is_on_the_page() -> None:
    assert PAGE.startswith(INTRODUCTION)
    for suite in SUITES:
        assert f"| {suite['name']} |" in PAGE
        for left in suite.get("left_out", []):
            assert re.compile(left["tests"])
            assert left["reason"] in PAGE


def test_the_checks_of_every_suite_are_there() -> None:
    named = {name for suite in SUITES if "source" not in suite for name in suite["files"]}
    assert named == {path.name for path in (ROOT / "conformance" / "checks").glob("check_*.py")}


def test_outcomes_are_sorted_and_stale_reasons_found() -> None:
    left_out = [{"tests": "stored", "reason": "None are."}, {"tests": "gone", "reason": "Once."}]
    found = {"a::works": "", "a::stored[x]": "404", "a::broken": "500 here", "a::gone": ""}
    result = sorted_out(Result("suite", "1.0"), found, left_out)
    assert result.passed == ["a::works", "a::gone"]
    assert result.left_out == {"None are.": ["a::stored[x]"]}
    assert result.failed == {"a::broken": "500 here"}
    assert result.stale == ["gone"]
    told = page([], [result])
    assert "| suite | 1.0 | 4 | 2 | 1 | 1 |" in told
    assert "stored (1)" in told
    assert "500 here" in told
