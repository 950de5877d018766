"""Curves of letters: every line on the same axes, and nothing that breaks on odd values."""

from __future__ import annotations

import pytest

from linnet.cli.curve import curve_lines
from linnet.cli.tune_output import sparkline


def test_a_falling_line_falls() -> None:
    drawn = curve_lines({"a": [(x, 10 - x) for x in range(10)], "b": [(9, 0)]}, width=20, height=10)
    body = [line.split("│")[1] for line in drawn if "│" in line]
    columns = [row.index("·") for row in body if "·" in row]
    assert columns == sorted(columns)
    assert body[0].startswith("·")
    assert "o" in body[-1]
    assert drawn[-1].strip() == "· a   o b"
    assert {len(line) for line in drawn if "└" in line} == {30}


@pytest.mark.parametrize("points", [[(1, 2.0)], [(1, 2.0), (2, 2.0)], [(5, -1e9), (5, 1e9)]])
def test_lines_without_extent_are_drawn(points: list[tuple[float, float]]) -> None:
    assert any("·" in line for line in curve_lines({"a": points}))
    assert curve_lines({"a": []}) == []


def test_a_sparkline() -> None:
    assert sparkline([0, 1, 2]) == "▁▅█"
    assert sparkline([1, 1]) == "▁▁"
