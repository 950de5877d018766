"""The plot of a training step by step, as SVG text. Colours come from the page through class names."""

from __future__ import annotations

from collections.abc import Mapping

from linnet.pipeline import svg
from linnet.pipeline.svg import LETTER, Frame, Points, nice_ticks


def steps(lines: Mapping[str, Points], title: str, width: float = 860, height: float = 330) -> str:
    """Lines by step, each named at its end; the first without dots, because it has one point a step."""
    drawn = [(name, points) for name, points in lines.items() if points]
    xs, ys = [x for _, points in drawn for x, _ in points], [y for _, points in drawn for _, y in points]
    pad = 0.06 * (max(ys) - min(ys)) or 0.05
    right = width - 14 - LETTER * max(len(name) for name, _ in drawn)
    frame = Frame(48, right, 24, height - 40, (min(xs), max(xs)), (max(0.0, min(ys) - pad), max(ys) + pad))
    parts = [svg.text(0, 12, title, "axis"), svg.text((frame.left + right) / 2, height - 4, "step", "axis mid")]
    parts += [svg.line((frame.left, frame.bottom), (frame.right, frame.bottom), "grid"), *svg.grid_y(frame, 5)]
    whole = [tick for tick in nice_ticks(*frame.x_range, 8) if tick == int(tick)]
    parts += [svg.text(frame.x(tick), frame.bottom + 17, f"{tick:,.0f}", "tick mid") for tick in whole]
    parts += svg.named_lines(frame, drawn, 3, first_dotted=False)
    said = "; ".join(f"{name} from {points[0][1]:.3f} to {points[-1][1]:.3f}" for name, points in drawn)
    return svg.drawing(width, height, f"{title} by step: {said}", parts)
