"""A sweep as one HTML page that opens anywhere: no network, no script. Values come from sweep.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from linnet.core.errors import require
from linnet.pipeline import svg
from linnet.pipeline.report_page import clean, percent, sig, size
from linnet.pipeline.report_plots import log_ticks, name_spot, overlap, size_text
from linnet.pipeline.svg import LETTER, Box, Frame
from linnet.pipeline.sweep import Rung, Sweep

WIDTHS = (820, 340)  # of a drawing on a desk and on a phone
LEAST = 1e-5  # nats: the foot of a logarithmic axis
RADIUS = 5.5
Spot = tuple[Rung, float, float]  # x, y


def render(found: Sweep) -> str:
    """The page. Raises ResourceMissing without jinja2."""
    require("jinja2", "train")
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    source = files("linnet.pipeline").joinpath("sweep_page.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters.update(size=size, sig=sig, percent=percent)
    plots = {name: "".join(f'<div class="{css}">{draw(found, width)}</div>' for css, width in _both())
             for name, draw in (("loss", loss), ("speed", speed))}  # fmt: skip
    values = clean(found.to_json())
    rows = [(found.source, values["reference"], "")]
    rows += [(rung["type"], rung["measured"], "take" if rung["type"] == found.take else "") for rung in values["rungs"]]
    texts = list(values["reference"]["texts"])
    return page.from_string(source).render(values | {"plots": plots, "rows": rows, "texts": texts})


def _both() -> Sequence[tuple[str, int]]:
    return tuple(zip(("wide", "narrow"), WIDTHS, strict=True))


def loss(found: Sweep, width: float) -> str:
    """Size against mean KL divergence, logarithmic; the front as a line and the bound as a level."""
    values = [(rung, max(LEAST, _loss(rung))) for rung in found.rungs]
    most = max([found.bound, *(value for _, value in values)])
    least = min([found.bound, *(value for _, value in values)])
    frame = _frame(found, width, (math.log10(least) - 0.15, math.log10(most) + 0.15))
    spots = [(rung, frame.x(rung.measured.size_bytes), frame.y(math.log10(value))) for rung, value in values]
    taken: list[Box] = []
    title = "mean KL divergence from the source, nats a token" if width > 500 else "mean KL divergence, nats a token"
    parts = [svg.text(0, 12, title, "axis")]
    for tick in log_ticks(10 ** frame.y_range[0], 10 ** frame.y_range[1]):
        at = frame.y(math.log10(tick))
        parts.append(svg.line((frame.left, at), (frame.right, at), "grid"))
        parts.append(svg.text(frame.left - 7, at + 4, f"{tick:g}", "tick end"))
    parts += _level(frame, frame.y(math.log10(found.bound)), f"bound {found.bound:g}", spots, taken)
    parts += _sizes(frame) + _marks(frame, spots, taken, found.take)
    said = "; ".join(f"{rung.type} {size_text(rung.measured.size_bytes)} {value:.2g}" for rung, value in values)
    return svg.drawing(width, frame.bottom + 44, f"Size against mean KL divergence: {said}", parts)


def speed(found: Sweep, width: float) -> str:
    """Size against decoding speed, the source's as a level; empty where none was measured."""
    every = [(rung, rung.measured.cost.decode_tokens_per_s) for rung in found.rungs]
    values = [(rung, value) for rung, value in every if value]
    source = found.reference.cost.decode_tokens_per_s or 0.0
    if not values:
        return ""
    frame = _frame(found, width, (0.0, 1.12 * max(source, *(value for _, value in values))))
    spots = [(rung, frame.x(rung.measured.size_bytes), frame.y(value)) for rung, value in values]
    parts = [svg.text(0, 12, "decoding speed here, tokens a second", "axis"), *svg.grid_y(frame)]
    taken: list[Box] = []
    if source:
        parts += _level(frame, frame.y(source), "the source", spots, taken)
    parts += _sizes(frame) + _marks(frame, spots, taken, found.take, front=False)
    said = "; ".join(f"{rung.type} {value:.1f}" for rung, value in values)
    return svg.drawing(width, frame.bottom + 44, f"Size against decoding speed: {said}", parts)


def _level(frame: Frame, y: float, words: str, spots: Sequence[Spot], taken: list[Box]) -> list[str]:
    """A dashed line with its name where it covers no disc, and where nothing else may be written."""
    wide, discs = LETTER * len(words), [_disc(x, y) for _, x, y in spots]
    lefts = (frame.right - wide, frame.left + 4, (frame.left + frame.right) / 2)
    box = min(
        ((left, top, left + wide, top + 15) for left in lefts for top in (y - 17, y + 3)),
        key=lambda box: overlap(box, discs),
    )
    taken.append(box)
    return [svg.line((frame.left, y), (frame.right, y), "bound"), svg.text(box[2], box[3] - 4, words, "tick end")]


def _disc(x: float, y: float) -> Box:
    return (x - RADIUS - 2, y - RADIUS - 2, x + RADIUS + 2, y + RADIUS + 2)


def _loss(rung: Rung) -> float:
    divergence = rung.measured.loss.divergence
    return divergence.mean if divergence else 0.0


def _frame(found: Sweep, width: float, y_range: tuple[float, float]) -> Frame:
    sizes = [rung.measured.size_bytes for rung in found.rungs]
    pad = 0.1 * (max(sizes) - min(sizes)) or 0.1 * max(sizes)
    return Frame(52, width - 8, 26, 300 if width > 500 else 250, (min(sizes) - pad, max(sizes) + pad), y_range)


def _sizes(frame: Frame) -> list[str]:
    parts = [svg.line((frame.left, frame.bottom), (frame.right, frame.bottom), "grid")]
    for tick in svg.nice_ticks(*frame.x_range, 6 if frame.right > 500 else 3):
        if frame.x(tick) < frame.right - 18:
            parts.append(svg.text(frame.x(tick), frame.bottom + 17, size_text(tick), "tick mid"))
    return [*parts, svg.text((frame.left + frame.right) / 2, frame.bottom + 38, "size of the file", "axis mid")]


def _marks(frame: Frame, spots: Sequence[Spot], taken: list[Box], take: str, *, front: bool = True) -> list[str]:
    """Discs with their names beside them; those on the front filled and joined by a line."""
    parts: list[str] = []
    if front:
        line = sorted((x, y) for rung, x, y in spots if rung.on_front)
        parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}" class="curve"/>')
    taken += [_disc(x, y) for _, x, y in spots]
    for rung, x, y in spots:
        css = "take" if rung.type == take else "front" if rung.on_front else "other"
        words = rung.type + (" (take)" if rung.type == take else "")
        box = name_spot((x, y, RADIUS), len(words) * LETTER + 4, taken, frame)
        taken.append(box)
        said = f"{rung.type}: {size_text(rung.measured.size_bytes)}, {_loss(rung):.4g} nats"
        disc = svg.tag("circle", "mark " + css, cx=x, cy=y, r=RADIUS)
        parts += [svg.group(said, disc), svg.text(box[0] + 2, box[3] - 4, words, "name " + css)]
    return parts


def summary(found: Sweep) -> list[dict[str, Any]]:
    """The table's rows as plain values, the source first: for a terminal."""
    rows = []
    for name, measured, rung in [
        (found.source, found.reference, None),
        *((rung.type, rung.measured, rung) for rung in found.rungs),
    ]:
        divergence = measured.loss.divergence
        rows.append(
            {
                "type": name,
                "MB": f"{measured.size_bytes / 1e6:,.1f}",
                "bits": f"{measured.bits_per_weight:.2f}",
                "perplexity": f"{measured.loss.perplexity.perplexity:,.2f}",
                "KL": f"{divergence.mean:.4f}" if divergence else "",
                "KL p99": f"{divergence.p99:.3f}" if divergence else "",
                "same": f"{divergence.same_top_share:.1%}" if divergence else "",
                "read/s": sig(measured.cost.prefill_tokens_per_s),
                "write/s": sig(measured.cost.decode_tokens_per_s),
                "peak MB": f"{measured.cost.peak_memory_bytes / 1e6:,.0f}",
                "load s": f"{measured.cost.load_s:.2f}",
                "": "" if rung is None else "take" if rung.type == found.take else "front" if rung.on_front else "",
            }
        )
    return rows
