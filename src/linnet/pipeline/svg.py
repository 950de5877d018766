"""What every plot is drawn with: a frame of values, ticks, and SVG elements as text.

Colours come from the page's style sheet through class names. Every text that is drawn is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

LETTER = 7.2  # mean width of a bold 12 px letter in the widest usual font
Box = tuple[float, float, float, float]  # left, top, right, bottom
Points = Sequence[tuple[float, float]]  # (x, value) in order


class Frame(NamedTuple):
    """A rectangle of the drawing and the values at its edges."""

    left: float
    right: float
    top: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        return scale(value, self.x_range, (self.left, self.right))

    def y(self, value: float) -> float:
        return scale(value, self.y_range, (self.bottom, self.top))


def scale(value: float, domain: tuple[float, float], target: tuple[float, float]) -> float:
    """Map a value linearly; an empty domain maps to the middle of the target."""
    width = domain[1] - domain[0]
    share = (value - domain[0]) / width if width else 0.5
    return target[0] + share * (target[1] - target[0])


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (steps of 1, 2 or 5 times a power of ten) inside [low, high], roughly `about` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def spread(positions: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Move positions as little as possible so that neighbours lie `gap` apart, or what room there is; keeps order."""
    gap = min(gap, (high - low) / max(1, len(positions) - 1))
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks: list[tuple[float, int]] = []  # isotonic regression by pooling neighbours that are out of order
    for rank, index in enumerate(order):
        blocks.append((positions[index] - rank * gap, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    flat = [value for value, count in blocks for _ in range(count)]
    roof = high - gap * (len(positions) - 1)
    moved = dict(zip(order, (max(low, min(value, roof)) + rank * gap for rank, value in enumerate(flat)), strict=True))
    return [moved[index] for index in range(len(positions))]


def tag(name: str, css: str, body: str = "", **numbers: float) -> str:
    places = "".join(f' {key}="{f"{value:.2f}".rstrip("0").rstrip(".")}"' for key, value in numbers.items())
    return f'<{name} class="{css}"{places}>{body}</{name}>'


def text(x: float, y: float, content: str, css: str = "tick") -> str:
    return tag("text", css, escape(content), x=x, y=y)


def line(start: tuple[float, float], end: tuple[float, float], css: str) -> str:
    return tag("line", css, x1=start[0], y1=start[1], x2=end[0], y2=end[1])


def rect(box: Box, css: str, opacity: float = 1) -> str:
    return tag("rect", css, x=box[0], y=box[1], width=box[2] - box[0], height=box[3] - box[1], opacity=opacity)


def group(title: str, *parts: str) -> str:
    return f"<g><title>{escape(title)}</title>{''.join(parts)}</g>"


def drawing(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<svg class="plot" role="img" {size}><title>{escape(title)}</title>{"".join(parts)}</svg>'


def tick_text(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.001
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def grid_y(frame: Frame, about: int = 5) -> list[str]:
    ticks = nice_ticks(*frame.y_range, about)
    lines = [line((frame.left, frame.y(tick)), (frame.right, frame.y(tick)), "grid") for tick in ticks]
    return lines + [text(frame.left - 7, frame.y(tick) + 4, tick_text(tick, ticks), "tick end") for tick in ticks]


def named_lines(frame: Frame, drawn: Sequence[tuple[str, Points]], radius: float, *, first_dotted: bool) -> list[str]:
    """Lines through points, each named at its end, the first in colour; dots of `radius`, on the first if wanted."""
    parts = []
    ends = spread([frame.y(points[-1][1]) for _, points in drawn], 15, frame.top + 6, frame.bottom)
    for index, ((name, points), end) in enumerate(zip(drawn, ends, strict=True)):
        css = "second" if index else "first"
        places = [(frame.x(x), frame.y(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" class="curve {css}"/>')
        if index or first_dotted:
            parts += [tag("circle", "dot " + css, cx=x, cy=y, r=radius) for x, y in places]
        parts.append(text(frame.right + 8, end + 4, name, "name " + css))
    return parts
