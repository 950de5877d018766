"""A curve drawn with letters: for terminals, logs and pipes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]
MARKS = "·o×+"


def curve_lines(lines: Mapping[str, Points], width: int = 64, height: int = 12) -> list[str]:
    """Each named line with a mark of its own, on common axes; later ones are drawn over earlier ones.

    A column of the drawing shows the mean of the points that fall into it.
    """
    drawn = {name: points for name, points in lines.items() if points}
    if not drawn:
        return []
    xs = [x for points in drawn.values() for x, _ in points]
    cells = {name: _columns(points, min(xs), max(xs), width) for name, points in drawn.items()}
    ys = [y for columns in cells.values() for y in columns.values()]
    low, high = min(ys), max(ys)
    grid = [[" "] * width for _ in range(height)]
    for mark, columns in zip(MARKS, cells.values(), strict=False):
        for column, y in columns.items():
            share = (y - low) / (high - low) if high > low else 0.5
            grid[round((1 - share) * (height - 1))][column] = mark
    labels = [f"{high - (high - low) * row / (height - 1):8.3f}" if row % 3 == 0 else " " * 8 for row in range(height)]
    made = [f"{label} │{''.join(row).rstrip()}" for label, row in zip(labels, grid, strict=True)]
    made.append(" " * 9 + "└" + "─" * width)
    made.append(f"{'':10}{min(xs):<{width // 2}g}{max(xs):>{width - width // 2}g}")
    return [*made, f"{'':10}" + "   ".join(f"{mark} {name}" for mark, name in zip(MARKS, drawn, strict=False))]


def _columns(points: Points, low: float, high: float, width: int) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for x, y in points:
        share = (x - low) / (high - low) if high > low else 0.0
        found.setdefault(round(share * (width - 1)), []).append(y)
    return {column: sum(values) / len(values) for column, values in found.items()}
