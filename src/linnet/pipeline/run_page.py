"""A run as one HTML page that opens anywhere: no network, no script. Values come from run_report.py."""

from __future__ import annotations

from typing import Any

from linnet.core.errors import InputError, require
from linnet.core.runs import RunView
from linnet.pipeline import run_plots, run_report
from linnet.pipeline.report_page import clean

MOST_POINTS = 240  # a curve of more steps shows their means


def render(view: RunView) -> str:
    """The page of one training. Raises InputError for a run without a curve, ResourceMissing without jinja2."""
    require("jinja2", "train")
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    lines = run_report.curves(view)
    if not lines["training"]:
        raise InputError(f"{view.id} has no curve: no step of a decoder's training is in it.", "See: linnet runs list")
    source = files("linnet.pipeline").joinpath("run_page.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    drawn = {name: thinned(points) for name, points in lines.items()}
    return page.from_string(source).render(clean(_values(view)) | {"plot": run_plots.steps(drawn, "loss")})


def thinned(points: run_report.Points, most: int = MOST_POINTS) -> run_report.Points:
    """At most `most` points, each the mean of its neighbours, at the last of their steps."""
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), size or 1)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _values(view: RunView) -> dict[str, Any]:
    result = view.run.result if view.run else {}
    report = run_report.data_report(view)
    recipe = view.request.get("recipe", {})
    return {
        "id": view.id,
        "state": view.state,
        "about": run_report.row(view)["about"],
        "created": view.created,
        "epochs": run_report.epochs(view),
        "best_epoch": result.get("best_epoch"),
        "recipe": sorted(recipe.items()),
        "reasons": report.get("reasons", []),
        "examples": report.get("examples", []),
        "data": {
            key: report[key] for key in ("train_rows", "validation_rows", "tokens", "target_tokens") if key in report
        },
        "speed": result.get("target_tokens_per_second"),
        "seconds": result.get("seconds"),
    }
