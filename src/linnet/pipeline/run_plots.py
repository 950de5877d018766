"""The plot of a training step by step, as SVG text. Colours come from the page through class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnet.pipeline.report_plots import LETTER, Frame, _grid_y, _line, _svg, _tag, _text, nice_ticks, spread

Points = Sequence[tuple[float, float]]


def steps(lines: Mapping[str, Points], title: str, width: float = 860, height: float = 330) -> str:
    """Lines by step, each named at its end; the first without dots, because it has one point a step."""
    drawn = [(name, points) for name, points in lines.items() if points]
    xs, ys = [x for _, points in drawn for x, _ in points], [y for _, points in drawn for _, y in points]
    pad = 0.06 * (max(ys) - min(ys)) or 0.05
    right = width - 14 - LETTER * max(len(name) for name, _ in drawn)
    frame = Frame(48, right, 24, height - 40, (min(xs), max(xs)), (max(0.0, min(ys) - pad), max(ys) + pad))
    parts = [_text(0, 12, title, "axis"), _text((frame.left + right) / 2, height - 4, "step", "axis mid")]
    parts += [_line((frame.left, frame.bottom), (frame.right, frame.bottom), "grid"), *_grid_y(frame, 5)]
    whole = [tick for tick in nice_ticks(*frame.x_range, 8) if tick == int(tick)]
    parts += [_text(frame.x(tick), frame.bottom + 17, f"{tick:,.0f}", "tick mid") for tick in whole]
    ends = spread([frame.y(points[-1][1]) for _, points in drawn], 15, frame.top + 6, frame.bottom)
    for index, ((name, points), end) in enumerate(zip(drawn, ends, strict=True)):
        css = "second" if index else "first"
        places = [(frame.x(x), frame.y(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" class="curve {css}"/>')
        parts += [_tag("circle", "dot " + css, cx=x, cy=y, r=3) for x, y in places if index]
        parts.append(_text(frame.right + 8, end + 4, name, "name " + css))
    said = "; ".join(f"{name} from {points[0][1]:.3f} to {points[-1][1]:.3f}" for name, points in drawn)
    return _svg(width, height, f"{title} by step: {said}", parts)
