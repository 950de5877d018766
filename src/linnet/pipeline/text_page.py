"""The report of a task that writes text as one HTML page: the same look, filters and rules as report_page.

Turns the values of report.json into plots; `text_report.html.j2` lays them out. Opens nothing but its template.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from linnet.core.errors import require
from linnet.metrics.judging import HUNDREDS
from linnet.pipeline import report_plots as plots
from linnet.pipeline.report_page import both, clean, get, has_interval, mark, markup, template

WIDTHS = (500, 340)
STATUSES = ("chosen", "acceptable", "rejected", "baseline", "reference")


def render(report: dict[str, Any]) -> str:
    """One self-contained HTML document. Raises ResourceMissing when jinja2 is not installed."""
    require("jinja2", "train")
    return template("text_report.html.j2").render(_view(clean(report)))


def _view(report: dict[str, Any]) -> dict[str, Any]:
    """What the template needs beside the report itself."""
    rows = [{**one, "name": one.get("name") or "unnamed"} for one in report.get("candidates") or [] if one]
    report, metric = {**report, "candidates": rows}, report.get("metric") or ""
    chosen: dict[str, Any] = next((one for one in rows if one.get("status") == "chosen"), {})
    named = report.get("baseline")
    base: dict[str, Any] = next((one for one in rows if named and one.get("name") == named), {})
    failed = [gate for gate in report.get("gates") or [] if gate and not gate.get("passed")]
    return {
        "r": report,
        "metric": metric,
        "chosen": chosen,
        "baseline": base,
        "statuses": STATUSES,
        "warnings": [f"A parity gate failed: {gate.get('name')}." for gate in failed]
        + list(get(report, "choice", "warnings") or []),
        "plots": _plots(report, chosen, base, metric),
        "key": [one["name"] for one in _drawn(rows, metric)] if len(_drawn(rows, metric)) > plots.MOST_NAMES else [],
    }


def _drawn(rows: Sequence[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """The candidates that have a place in the plots."""
    return [
        one
        for one in rows
        if one.get("kind") == "candidate"
        and has_interval(get(one, "test", metric))
        and get(one, "footprint", "size_bytes")
        and get(one, "footprint", "latency_ms_p95")
    ]


def _plots(report: dict[str, Any], chosen: dict[str, Any], base: dict[str, Any], metric: str) -> dict[str, Any]:
    rows, drawn = report["candidates"], dict[str, Any]()
    levels = [
        found
        for one, status in ((chosen, "chosen"), (base, "baseline"))
        if (found := mark(one.get("name") or "", get(one, "test", metric), status))
    ]
    floor = get(report, "task", "quality", "floor")
    if levels:
        drawn["headline"] = markup(plots.levels(levels, floor * _scale(metric) if floor else None, metric))
    lines = [
        found
        for one in rows
        if one.get("kind") in ("baseline", "reference")
        and (found := mark(one.get("name") or "", get(one, "test", metric)))
    ]
    for name, across in (("size", plots.BY_SIZE), ("latency", plots.BY_LATENCY)):
        marks = _marks(rows, metric, get(report, "front_by", name) or [])
        if marks:
            drawn[name] = both(partial(plots.quality, across=across), WIDTHS, marks, lines, metric)
    return drawn


def _scale(metric: str) -> float:
    """[quality] counts from 0 to 1; BLEU and chrF are told from 0 to 100."""
    return 100.0 if metric in HUNDREDS else 1.0


def _marks(rows: Sequence[dict[str, Any]], metric: str, front: Sequence[str]) -> list[plots.Mark]:
    """The candidates of one plot: the chosen one, those on the front of this plot, and the others, which are grey."""
    marks = []
    for one in _drawn(rows, metric):
        on_front = one["name"] in front
        status = "chosen" if one.get("status") == "chosen" else "front" if on_front else "dominated"
        found = mark(one["name"], get(one, "test", metric), status, one.get("footprint"))
        if found:
            marks.append(found._replace(on_front=on_front))
    return marks
