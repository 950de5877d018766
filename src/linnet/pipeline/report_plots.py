"""The report's plots: pure functions from values to SVG text.

Knows nothing of reports, files or pages. Colours come from the page's style sheet through class names, so that one
drawing serves light, dark and paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from linnet.pipeline import svg
from linnet.pipeline.svg import LETTER, Box, Frame, Points, nice_ticks, scale, spread

MOST_NAMES = 6  # with more candidates their discs carry numbers
Spot = tuple[float, float, float]  # x, y, radius


class Mark(NamedTuple):
    """A candidate or baseline: its quality with an interval, its size and its latency where they are known."""

    name: str
    value: float
    low: float
    high: float
    status: str = "baseline"
    size_bytes: float = 0.0
    latency_ms: float | None = None
    on_front: bool = False


class Axis(NamedTuple):
    """What a plot of quality stands against: its words, the value of a mark (0: unknown), and a tick's text."""

    words: str
    value: Callable[[Mark], float]
    tick: Callable[[float], str]
    by_latency: bool = False


class Bin(NamedTuple):
    """Answers of similar probability: mean confidence, share that is right, and that share's interval."""

    answers: int
    confidence: float
    accuracy: float
    low: float
    high: float


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten inside [low, high]; both positive."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def overlap(box: Box, others: Iterable[Box]) -> float:
    """The area that a box shares with others."""
    sides = ((min(box[2], o[2]) - max(box[0], o[0]), min(box[3], o[3]) - max(box[1], o[1])) for o in others)
    return sum(max(0.0, wide) * max(0.0, tall) for wide, tall in sides)


def short(text: str, letters: int) -> str:
    """The text, or its start and an ellipsis."""
    return text if len(text) <= letters else text[: max(1, letters - 1)].rstrip() + "…"


def size_text(size_bytes: float) -> str:
    """'22.9 MB': decimal units, three digits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor * 0.9995:
            value = size_bytes / factor
            return f"{value:,.0f} {unit}" if value >= 99.95 else f"{value:.3g} {unit}"
    return f"{size_bytes:.0f} B"


def interval_text(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def seconds_text(seconds: float) -> str:
    """'50 ms' or '2 s'."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


BY_SIZE = Axis("size on disk", lambda mark: mark.size_bytes, size_text)
BY_LATENCY = Axis("time for one request, p95", lambda mark: (mark.latency_ms or 0.0) / 1000, seconds_text, True)


def bar(value: float, low: float | None = None, high: float | None = None) -> str:
    """A bar for a table cell, from 0 to 1, with a whisker where an interval is known. The number stands beside it."""
    parts = [svg.rect((0, 0, 100, 10), "trough"), svg.rect((0, 0, 100 * max(0.0, min(1.0, value)), 10), "fill")]
    if low is not None and high is not None:
        parts.append(svg.line((100 * low, 5), (100 * high, 5), "whisker"))
    return f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'


def levels(rows: Sequence[Mark], floor: float | None, metric: str, width: float = 380) -> str:
    """A few values with their intervals on one axis, and the floor that was asked for."""
    ends = [end for row in rows for end in (row.low, row.high)] + ([floor] if floor else [])
    pad = max(0.01, 0.08 * (max(ends) - min(ends)))
    bottom = 46 * len(rows) + 8.0
    frame = Frame(10, width - 10, 4, bottom, (max(0.0, min(ends) - pad), min(1.0, max(ends) + pad)), (0, 1))
    ticks = nice_ticks(*frame.x_range, 4)
    parts = [svg.line((frame.x(tick), frame.top), (frame.x(tick), bottom), "grid") for tick in ticks]
    parts += [svg.text(frame.x(tick), bottom + 15, svg.tick_text(tick, ticks), "tick mid") for tick in ticks]
    if floor:
        parts.append(svg.line((frame.x(floor), frame.top), (frame.x(floor), bottom + 20), "floor"))
        parts.append(svg.text(max(60.0, min(width - 60, frame.x(floor))), bottom + 33, f"floor: {floor:g}", "tick mid"))
    for index, row in enumerate(rows):
        y = 46 * index + 36.0
        words = f"{short(row.name, int(width / LETTER) - 26)}  {interval_text(row.value, row.low, row.high)}"
        half = len(words) * LETTER / 2 + 4
        parts.append(
            svg.text(max(half, min(width - half, frame.x(row.value))), y - 14, words, "name mid " + row.status)
        )
        parts.append(svg.line((frame.x(row.low), y), (frame.x(row.high), y), "error thick " + row.status))
        parts.append(svg.tag("circle", "mark " + row.status, cx=frame.x(row.value), cy=y, r=5.5))
    said = "; ".join(f"{row.name} {interval_text(row.value, row.low, row.high)}" for row in rows)
    return svg.drawing(width, bottom + (38 if floor else 20), f"{metric} with 95 % intervals: {said}", parts)


def y_domain(marks: Sequence[Mark], baselines: Sequence[Mark]) -> tuple[float, float]:
    """The quality axis: all marks with their intervals, each baseline that does not squash them, and room at the foot
    for the names of the others."""
    low, high = min(mark.low for mark in marks), max(mark.high for mark in marks)
    reach = low - 2.5 * max(high - low, 0.04)
    near = [line for line in baselines if line.low >= reach]
    low, high = min([low, *(line.low for line in near)]), max([high, *(line.high for line in near)])
    low -= 0.06 * (high - low) * sum(line.low < reach and line.value < low for line in baselines)
    pad, top = max(0.005, 0.06 * (high - low)), 1.0 if high <= 1 else 100.0 if high <= 100 else math.inf
    return max(min(0.0, low), low - pad), min(top, high + pad)


def name_spot(spot: Spot, wide: float, taken: list[Box], inside: Frame) -> Box:
    """Where a text of width `wide` covers least near a disc; nearer places first."""
    (x, y, r), tries = spot, list[tuple[float, Box]]()
    for more in (0, 10, 22, 38, 58, 82):
        for dx, dy in ((1, 0), (-1, 0), (0.7, -1), (-0.7, -1), (0.7, 1), (-0.7, 1), (0, -1), (0, 1)):
            left = x + (r + 5 + more) * dx - (wide if dx < 0 else 0 if dx else wide / 2)
            middle = y + (r + more + (4 if dx else 8)) * dy
            box = (left, middle - 8, left + wide, middle + 8)
            cut = box[0] < inside.left or box[2] > inside.right or box[1] < inside.top or box[3] > inside.bottom
            tries.append((overlap(box, taken) + more * 0.05 + 5000 * cut, box))
    return min(tries, key=lambda found: found[0])[1]


def _names(frame: Frame, spots: Sequence[Spot], marks: Sequence[Mark], taken: list[Box]) -> list[str]:
    """Names beside the discs, with a thin line where one had to move away; numbers above the bars where many."""
    parts = []
    for number, ((x, y, r), mark) in enumerate(zip(spots, marks, strict=True), 1):
        if len(marks) > MOST_NAMES:
            parts.append(svg.text(x, frame.y(mark.high) - 6, str(number), "name mid " + mark.status))
            continue
        name = short(mark.name, 30) + " (chosen)" * (mark.status == "chosen")
        box = name_spot((x, y, r), len(name) * LETTER + 4, taken, frame)
        taken.append(box)
        end = (max(box[0], min(box[2], x)), max(box[1], min(box[3], y)))
        way = math.dist((x, y), end)
        if way > r + 14:
            edge = (x + (end[0] - x) * (r + 2) / way, y + (end[1] - y) * (r + 2) / way)
            parts.append(svg.line(edge, end, "leader"))
        parts.append(svg.text(box[0] + 2, box[3] - 4, name, "name"))
    return parts


def _baselines(
    frame: Frame, baselines: Sequence[Mark], taken: list[Box], *, numbered: bool
) -> tuple[list[str], list[str]]:
    """Bands with dashed lines, and their names; names of lines that lie below the axis stand at its foot.

    Where discs are `numbered` a name may stand further below its line, to leave the numbers free.
    """
    shapes, texts, foot = [], [], frame.bottom - 6
    for line in baselines:
        where = "↓ below: " if line.value < frame.y_range[0] else ""
        room = int((frame.right - frame.left) / LETTER) - 23 - len(where)
        words = f"{where}{short(line.name, room)} {interval_text(line.value, line.low, line.high)}"
        if where:
            boxes = [(frame.left + 4, foot - 11, frame.left + 4 + len(words) * LETTER, foot + 4)]
            foot -= 16
        else:
            y, top, bottom = frame.y(line.value), frame.y(line.high), min(frame.bottom, frame.y(line.low))
            shapes.append(svg.rect((frame.left, top, frame.right, bottom), "band"))
            shapes.append(svg.line((frame.left, y), (frame.right, y), "level"))
            wide = len(words) * LETTER
            lefts = [scale(step, (0, 8), (frame.right - wide - 4, frame.left + 4)) for step in range(9)]
            steps = [-6, 15, *(dy for dy in (31, 47, 63, 79) if numbered and y + dy < foot - 12)]
            boxes = [(left, y + dy - 11, left + wide, y + dy + 4) for dy in steps for left in lefts]
        box = min(boxes, key=lambda box: overlap(box, taken))  # the first of the best is nearest to its line
        taken.append(box)
        texts.append(svg.text(box[0], box[3] - 4, words, "name baseline"))
    return shapes, texts


def _disc(frame: Frame, mark: Mark, spot: Spot) -> str:
    x, y, r = spot
    low, high = frame.y(mark.low), frame.y(mark.high)
    said = f"{mark.name}: {interval_text(mark.value, mark.low, mark.high)}, {size_text(mark.size_bytes)}, "
    said += f"p95 {mark.latency_ms:.3g} ms" if mark.latency_ms is not None else "latency not measured"
    ends = [((x, low), (x, high)), ((x - 4, low), (x + 4, low)), ((x - 4, high), (x + 4, high))]
    lines = [svg.line(*pair, "error " + mark.status) for pair in ends]
    if mark.status == "chosen":
        lines.append(svg.tag("circle", "ring", cx=x, cy=y, r=r + 4))
    return svg.group(said, *lines, svg.tag("circle", "mark " + mark.status, cx=x, cy=y, r=r))


def _x_axis(frame: Frame, height: float, across: Axis) -> list[str]:
    parts, last = [svg.line((frame.left, frame.bottom), (frame.right, frame.bottom), "rule")], -math.inf
    for tick in log_ticks(10 ** frame.x_range[0], 10 ** frame.x_range[1]):
        x = frame.x(math.log10(tick))
        parts.append(svg.line((x, frame.bottom), (x, frame.bottom + 4), "rule"))
        if x - last > 56 and x < frame.right - 18:
            parts.append(svg.text(x, frame.bottom + 18, across.tick(tick), "tick mid"))
            last = x
    words = f"{across.words}, logarithmic"
    return [*parts, svg.text((frame.left + frame.right) / 2, height - 6, words, "axis mid")]


def _front_line(frame: Frame, spots: Sequence[Spot], marks: Sequence[Mark]) -> list[str]:
    """Steps through the marks that nothing beats: what the best quality is up to each size or time."""
    places = sorted((x, y) for (x, y, _), mark in zip(spots, marks, strict=True) if mark.on_front)
    if not places:
        return []
    steps = [(places[0][0], frame.bottom)]
    for x, y in places:
        steps += [(x, steps[-1][1]), (x, y)]
    steps.append((frame.right, places[-1][1]))
    return [f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in steps)}" class="front-line"/>']


def quality(
    marks: Sequence[Mark], baselines: Sequence[Mark], metric: str, width: float = 760, *, across: Axis = BY_SIZE
) -> str:
    """Quality with error bars against size or time (log); baselines are levels; the front is a stepped line.

    Against size the area of a disc is its latency.
    """
    sizes = [math.log10(across.value(mark)) for mark in marks]
    pad = max(0.2, 0.18 * (max(sizes) - min(sizes)))
    height, gap = (430, 30) if width > 500 else (350, 20)
    frame = Frame(42, width - 8, 56, height - 44, (min(sizes) - pad, max(sizes) + pad), y_domain(marks, baselines))
    slowest = max(mark.latency_ms or 0.0 for mark in marks)
    xs = spread([frame.x(value) for value in sizes], gap, frame.left + 14, frame.right - 14)
    radii = [5.5 if across.by_latency else _radius(mark.latency_ms, slowest) for mark in marks]
    spots = [(x, frame.y(m.value), r) for x, m, r in zip(xs, marks, radii, strict=True)]
    taken = [(x - r - 3, y - r, x + r + 3, y + r) for x, y, r in spots]
    taken += [(x - 6, frame.y(m.high) - 18, x + 6, frame.y(m.low)) for x, m in zip(xs, marks, strict=True)]
    shapes, texts = _baselines(frame, baselines, taken, numbered=len(marks) > MOST_NAMES)
    parts = [svg.text(0, 12, f"{metric} on the test split, 95 % interval", "axis"), *svg.grid_y(frame, 6), *shapes]
    parts += ([] if across.by_latency else _latency_key(marks, slowest)) + _x_axis(frame, height, across)
    parts += _front_line(frame, spots, marks)
    parts += [_disc(frame, mark, spot) for mark, spot in zip(marks, spots, strict=True)]
    parts += texts + _names(frame, spots, marks, taken)
    chosen = next((mark.name for mark in marks if mark.status == "chosen"), "none")
    title = f"{across.words.capitalize()} against {metric} for {len(marks)} candidates; chosen: {chosen}. "
    title += "Every number is in the table below."
    return svg.drawing(width, height, title, parts)


def _radius(latency_ms: float | None, slowest: float) -> float:
    return max(3.5, 11 * math.sqrt(latency_ms / slowest)) if latency_ms and slowest else 4.0


def _latency_key(marks: Sequence[Mark], slowest: float) -> list[str]:
    known = sorted({mark.latency_ms for mark in marks if mark.latency_ms})
    parts, x = [svg.text(0, 32, "area of a disc: latency p95" if known else "latency: not measured")], 166.0
    for value in dict.fromkeys(known[:1] + known[-1:]):
        r = _radius(value, slowest)
        parts += [svg.tag("circle", "key", cx=x + r, cy=28, r=r), svg.text(x + 2 * r + 5, 32, f"{value:.3g} ms")]
        x += 2 * r + 66
    return parts


def heat_map(confusion: Sequence[Sequence[int]], labels: Sequence[str], width: float = 640) -> str:
    """Rows are true labels, columns predictions; shade is the share of the row. Names and numbers where they fit."""
    count, slanted = len(labels), width > 500  # slanted column names on a desk, numbers on a phone
    letters = min(24 if slanted else 17, max(len(label) for label in labels))
    left, top = letters * 5.8 + (8 if slanted else 24), (letters * 4.4 + 24 if slanted else 34)
    cell = min(38.0, (width - left - (letters * 4 if slanted else 2)) / count)
    named = cell >= 10.5
    if not named:
        left, top, slanted, cell = 30, 34, False, (width - 34) / count
    side = cell * count
    parts = [
        svg.text(max(left, 54), 12, "predicted →", "axis"),
        svg.text(0, top - 6 if named else 12, "true ↓", "axis"),
    ]
    for index, label in enumerate(labels):
        middle, number = (index + 0.5) * cell, str(index + 1)
        if named or index == 0 or (index + 1) % (10 if count > 40 else 5) == 0:
            row = short(label, letters) + ("" if slanted else f" {number}")
            parts.append(svg.text(left - 5, top + middle + 3.5, row if named else number, "small end"))
            place = f"translate({left + middle:.1f} {top - 6:.1f}) rotate(-45)"
            turned = f'<g transform="{place}">{svg.text(0, 0, row, "small")}</g>'
            parts.append(turned if slanted else svg.text(left + middle, top - 6, number, "small mid"))
    for i, row_counts in enumerate(confusion):
        for j, cases in enumerate(row_counts):
            if cases:
                box = (left + j * cell, top + i * cell, left + (j + 1) * cell, top + (i + 1) * cell)
                said = f"{labels[i]} → {labels[j]}: {cases} of {sum(row_counts)}"
                parts.append(svg.group(said, _cell(box, cases, cases / sum(row_counts), i == j)))
    parts.append(svg.rect((left, top, left + side, top + side), "edge"))
    right = sum(confusion[index][index] for index in range(count))
    title = f"Confusion matrix of {count} labels: {right} of {sum(map(sum, confusion))} test examples on the diagonal"
    return svg.drawing(left + side + (letters * 4 if slanted else 2), top + side + 2, title, parts)


def _cell(box: Box, cases: int, share: float, right: bool) -> str:
    strength = 0.12 + 0.88 * (share if right else math.sqrt(share))
    cell, css = box[2] - box[0], "right" if right else "wrong"
    if cell < 15 or cell < 5.6 * len(str(cases)) + 2:
        return svg.rect(box, css, strength)
    number = svg.text(box[0] + cell / 2, box[1] + cell / 2 + 3.5, str(cases), "count mid")
    return svg.rect(box, css, 0.52 * strength) + number  # pale enough for the number to be read


def reliability(bins: Sequence[Bin], width: float = 380) -> str:
    """Confidence against accuracy with 95 % intervals; a perfect model lies on the diagonal; bars count answers."""
    full = [one for one in bins if one.answers]
    frame = Frame(40, width - 10, 24, width - 76, (0, 1), (0, 1))
    most, base = max((one.answers for one in full), default=1), width - 24
    parts = [svg.text(0, 12, "share that is right", "axis"), *svg.grid_y(frame)]
    parts.append(svg.line((frame.x(0), frame.y(0)), (frame.x(1), frame.y(1)), "diagonal"))
    parts += [svg.text(frame.x(tick), base + 13, f"{tick:g}", "tick mid") for tick in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    parts.append(svg.text(frame.left, frame.bottom + 18, f"how many answers (at most {most:,})"))
    for one in full:
        x, tall = frame.x(one.confidence), max(1.0, 28 * one.answers / most)
        said = f"confidence {one.confidence:.2f}: {interval_text(one.accuracy, one.low, one.high)} of {one.answers}"
        whisker = svg.line((x, frame.y(one.low)), (x, frame.y(one.high)), "error chosen")
        dot = svg.tag("circle", "mark chosen", cx=x, cy=frame.y(one.accuracy), r=4.5)
        parts.append(svg.group(said, whisker, dot, svg.rect((x - 5, base - tall, x + 5, base), "key")))
    parts.append(svg.line((frame.left, base), (frame.right, base), "rule"))
    parts.append(svg.text((frame.left + frame.right) / 2, width + 6, "probability it gave", "axis mid"))
    title = f"Reliability of {sum(one.answers for one in full)} answers in {len(full)} groups of similar probability"
    return svg.drawing(width, width + 12, title, parts)


def curves(lines: Mapping[str, Points], title: str, best_epoch: float | None = None, width: float = 400) -> str:
    """Lines by epoch, each named at its end, the first in colour; a dotted upright marks the epoch that was kept."""
    drawn = [(name, points) for name, points in lines.items() if points]
    xs, ys = [x for _, points in drawn for x, _ in points], [y for _, points in drawn for _, y in points]
    pad = 0.08 * (max(ys) - min(ys)) or 0.05
    right = width - 14 - LETTER * max(len(name) for name, _ in drawn)
    frame = Frame(42, right, 24, 188, (min(xs), max(xs)), (max(0.0, min(ys) - pad), max(ys) + pad))
    middle = (frame.left + frame.right) / 2
    parts = [svg.text(0, 12, title, "axis"), svg.text(middle, 221, "epoch", "axis mid"), *svg.grid_y(frame, 5)]
    whole = [tick for tick in nice_ticks(min(xs), max(xs), 6) if tick == int(tick)]
    parts += [svg.text(frame.x(tick), 204, f"{tick:.0f}", "tick mid") for tick in whole]
    if best_epoch is not None and min(xs) <= best_epoch <= max(xs):
        parts.append(svg.line((frame.x(best_epoch), frame.top), (frame.x(best_epoch), frame.bottom), "floor"))
    parts += svg.named_lines(frame, drawn, 2.6, first_dotted=True)
    said = "; ".join(f"{name} ends at {points[-1][1]:.3f}" for name, points in drawn)
    return svg.drawing(width, 226, f"{title} by epoch: {said}", parts)
