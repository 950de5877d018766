"""What a run can tell: its facts, its curve, and how it differs from others. Values for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linnet.core.errors import InputError
from linnet.core.files import read_json
from linnet.core.runs import RunView, read_log

Points = list[tuple[float, float]]
COMPARED = ("validation_loss", "train_loss", "best_epoch", "trained_parameters", "target_tokens_per_second", "seconds")


def row(view: RunView) -> dict[str, Any]:
    """A run in one line of a list. A training that is not done says how far it is."""
    log = read_log(view.folder) if view.state != "done" else []
    facts: dict[str, Any] = {"id": view.id, "stage": view.stage, "state": view.state, "created": view.created}
    facts["step"] = max((entry["step"] for entry in log), default=None)
    facts["seconds"] = view.run.seconds if view.run else None
    result = view.run.result if view.run else {}
    facts["about"] = ", ".join(
        str(value) for key in ("method", "base") if (value := result.get(key) or _asked(view, key))
    )
    return facts


def _asked(view: RunView, key: str) -> Any:
    return view.request.get("recipe", {}).get(key) or view.request.get(key)


def curves(view: RunView) -> dict[str, Points]:
    """Loss by step: each step's in training, and the one on held-out rows after each epoch."""
    log = read_log(view.folder)
    return {
        "training": [(entry["step"], entry["loss"]) for entry in log if "loss" in entry],
        "held out": [(entry["step"], entry["validation_loss"]) for entry in log if "epoch" in entry],
    }


def epochs(view: RunView) -> list[dict[str, Any]]:
    """What was measured after each epoch."""
    found = view.run.result.get("epochs", []) if view.run else []
    return list(found) or [entry for entry in read_log(view.folder) if "epoch" in entry]


def data_report(view: RunView) -> dict[str, Any]:
    """What was said of the rows before the first step; empty where nothing was."""
    path = view.folder / "data_report.json"
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found


def compare(views: Sequence[RunView]) -> dict[str, Any]:
    """Runs side by side: settings that differ, results, and whether their losses mean the same.

    Raises InputError for fewer than two, or for one that is no finished training of a decoder.
    """
    if len({view.id for view in views}) < 2:
        raise InputError("compare needs two different runs.", "See: linnet runs list")
    for view in views:
        if view.run is None or view.run.result.get("kind") != "decoder":
            raise InputError(f"{view.id} is no finished run of `linnet tune`.", "See: linnet runs list")
    runs = [view.run for view in views if view.run is not None]
    settings = [{"base": r.inputs["base_name"], "template": r.result["template"], **r.result["recipe"]} for r in runs]
    keys = list(dict.fromkeys(key for found in settings for key in found))
    differ = {key: [found.get(key) for found in settings] for key in keys}
    results = {key: [_result(run.result, key) for run in runs] for key in COMPARED}
    return {
        "runs": [run.id for run in runs],
        "differ": {key: values for key, values in differ.items() if any(value != values[0] for value in values)},
        "results": results,
        "problems": _problems([run.inputs for run in runs]),
    }


def _result(result: dict[str, Any], key: str) -> Any:
    if key in ("validation_loss", "train_loss"):
        return result["epochs"][result["best_epoch"] - 1][key]
    return result[key]


def _problems(inputs: Sequence[dict[str, Any]]) -> list[str]:
    """What makes two losses two different things."""
    said = {
        "validation": "They were judged by different held-out rows: their validation losses cannot be compared.",
        "template": "Their templates differ: a loss is of other tokens.",
        "train": "They learned from different rows.",
    }
    return [text for key, text in said.items() if any(found[key] != inputs[0][key] for found in inputs)]
