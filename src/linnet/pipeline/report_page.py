"""The report as one HTML page that opens anywhere: no network, no script, light, dark, phone and paper.

Turns the values of report.json into views and plots; `report.html.j2` lays them out. Knows nothing of how a value
was measured, and opens nothing but its template. Every text in a report is of unknown origin: control characters are
replaced at the door, the template escapes the rest.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from linnet.core.errors import require
from linnet.pipeline import report_plots as plots

if TYPE_CHECKING:
    from jinja2 import Template

METRICS = {"macro_f1": "macro F1", "accuracy": "accuracy"}
BASELINES = {"tfidf_logistic": "TF-IDF words with logistic regression", "majority": "the most frequent label always"}
NUMBERED_FROM = 21  # with more labels the matrix shows numbers in place of names
PAIRS = 12
KEPT_INVISIBLE = "\n\t\u200c\u200d"  # the joiners are part of words in some scripts, and of emoji
DASH = "–"


class Estimate(NamedTuple):
    """A value with its interval; without one, `low` and `high` are None."""

    value: float
    low: float | None = None
    high: float | None = None


def render(report: dict[str, Any]) -> str:
    """One self-contained HTML document. Raises ResourceMissing when jinja2 is not installed."""
    require("jinja2", "train")
    return template("report.html.j2").render(_view(clean(report)))


def clean(value: Any) -> Any:
    """The same value with every control character in its texts shown as an escape, in keys too.

    Terminal escapes, direction overrides, zero-width spaces and lone surrogates are shown and lose their effect.
    """
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_visible, value.replace("\r\n", "\n")))
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def _visible(character: str) -> str:
    if character in KEPT_INVISIBLE or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def wilson(hits: float, total: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927). Nothing counted: anything is possible."""
    if total <= 0:
        return 0.0, 1.0
    z2, share = 1.959964**2, hits / total
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total * total))) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def class_rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each label with Wilson intervals, weakest F1 first.

    F1 = 2J / (1 + J), where J is the share of hits among all cases in which the label is true or predicted; its
    interval is that of J, mapped the same way.
    """
    (labels, confusion), rows = _matrix(evaluation), []
    for index, label in enumerate(labels):
        given = (evaluation.get("per_class") or {}).get(label) or {}
        hits = true = predicted = 0
        if index < len(confusion):
            hits, true = confusion[index][index], sum(confusion[index])
            predicted = sum(row[index] for row in confusion)
        low, high = wilson(hits, true + predicted - hits)
        rows.append(
            {
                "number": index + 1,
                "label": label,
                "support": given.get("support", true),
                "precision": _estimate(given.get("precision"), hits / predicted if predicted else None, predicted),
                "recall": _estimate(given.get("recall"), hits / true if true else None, true),
                "f1": Estimate(given["f1"], 2 * low / (1 + low), 2 * high / (1 + high))
                if is_number(given.get("f1"))
                else None,
            }
        )
    return sorted(rows, key=lambda row: row["f1"].value if row["f1"] else -1.0)


def _matrix(evaluation: Mapping[str, Any]) -> tuple[list[str], list[list[int]]]:
    """Labels and the confusion matrix; the matrix is empty where it is absent or does not fit the labels."""
    labels, confusion = evaluation.get("labels") or [], evaluation.get("confusion") or []
    fits = len(confusion) == len(labels) and all(len(row or []) == len(labels) for row in confusion)
    return labels, confusion if fits else []


def _estimate(given: float | None, counted: float | None, total: int) -> Estimate | None:
    """The given value; with an interval where the confusion matrix says the same."""
    if given is None:
        return None
    if counted is None or abs(given - counted) > 0.005:
        return Estimate(given)
    return Estimate(given, *wilson(counted * total, total))


def confused_pairs(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The off-diagonal cells with most cases, largest first."""
    labels, confusion = _matrix(evaluation)
    found = [
        {"true": labels[i], "predicted": labels[j], "cases": cases, "of": sum(row), "share": cases / sum(row)}
        for i, row in enumerate(confusion)
        for j, cases in enumerate(row)
        if cases and i != j
    ]
    return sorted(found, key=lambda pair: (-pair["cases"], -pair["share"]))


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows of a table: ('quality.metric', 'macro_f1')."""
    if isinstance(value, Mapping):
        rows = [row for key, item in value.items() for row in flat(item, f"{prefix}.{key}" if prefix else str(key))]
        return rows or ([(prefix, "none")] if prefix else [])
    if isinstance(value, list):
        return [(prefix, ", ".join("not set" if item is None else str(item) for item in value) or "none")]
    if value is None or isinstance(value, bool):
        return [(prefix, "not set" if value is None else ("no", "yes")[value])]
    is_size = prefix.endswith(("memory", "size", "bytes")) and is_number(value) and value >= 100_000
    return [(prefix, f"{value} ({size(value)})" if is_size else str(value))]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def has_interval(value: Any) -> bool:
    return isinstance(value, Mapping) and all(is_number(value.get(key)) for key in ("value", "low", "high"))


def num(value: Any, digits: int = 3) -> str:
    return f"{value:,.{digits}f}" if is_number(value) else DASH


def signed(value: Any, digits: int = 3) -> str:
    """With a sign that is as wide as a plus: '−0.012'."""
    return f"{value:+.{digits}f}".replace("-", "−") if is_number(value) else DASH


def percent(value: Any, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\u00a0%" if is_number(value) else DASH


def sig(value: Any) -> str:
    """Three significant digits, never in powers of ten: '4.12', '1,310'."""
    if not is_number(value):
        return DASH
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def size(value: Any) -> str:
    return plots.size_text(value).replace(" ", "\u00a0") if is_number(value) else DASH


def duration(seconds: Any) -> str:
    if not is_number(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min {rest}\u00a0s"


def when(text: Any) -> str:
    """'22 November 2026, 17:49 UTC'; a text that is no date is returned as it is."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".strip()


def sentence(text: Any) -> str:
    """With a capital letter and a full stop; empty stays empty."""
    words = str(text or "").strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) or not words else ".")


def in_order(slices: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Slices as they are, those of short texts before those of long ones."""
    place = {"up": 0, "over": 2}
    return sorted(slices, key=lambda one: place.get(str(one.get("name")).split(" ")[0], 1) if one else 0)


def breakable(text: Any) -> Any:
    """Escaped text in which a line may break after _ - . / : and the like."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_/.:|-]+)(?=\w)", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped just before


@cache
def template(name: str) -> Template:
    """A page of this folder, with the filters and plots' helpers that every report uses."""
    from jinja2 import ChainableUndefined, Environment, FunctionLoader

    def read(part: str) -> str:
        return files("linnet.pipeline").joinpath(part).read_text("utf-8")

    environment = Environment(
        autoescape=True, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(read)
    )
    filters = (num, signed, percent, sig, size, duration, when, sentence, breakable, flat, in_order)
    environment.filters.update({function.__name__: function for function in filters})
    environment.globals["has_interval"] = has_interval
    return environment.get_template(name)


def markup(svg: str) -> Any:
    """SVG of our own making, in which every text is already escaped."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704


def _view(report: dict[str, Any]) -> dict[str, Any]:
    """What the template needs beside the report itself."""
    candidates = report.get("candidates") or []
    wanted = get(report, "choice", "candidate")
    chosen: dict[str, Any] = next((one for one in candidates if one.get("status") == "chosen"), {})
    chosen = next((one for one in candidates if wanted and one.get("name") == wanted), chosen)
    metric = get(report, "headline", "metric") or get(report, "task", "quality", "metric") or "macro_f1"
    test = chosen.get("test") or {}
    name = METRICS.get(metric, metric)
    return {
        "r": report,
        "chosen": chosen,
        "test": test,
        "metric": metric,
        "metric_name": name,
        "metric_title": name[:1].upper() + name[1:],
        "other": "accuracy" if metric != "accuracy" else "macro_f1",
        "METRICS": METRICS,
        "baseline_name": _baseline_name(get(report, "headline", "baseline", "name")),
        "warnings": _warnings(report),
        "overlap": _overlap(report),
        "gates": sorted(report.get("gates") or [], key=lambda gate: bool(gate.get("passed"))),
        "classes": class_rows(test),
        "numbered": len(test.get("labels") or []) >= NUMBERED_FROM,
        "pairs": confused_pairs(test),
        "shown_pairs": PAIRS,
        "split_labels": _split_labels(get(report, "data", "splits") or {}),
        "bar": lambda *values: markup(plots.bar(*values)),
        "plots": _plots(report, chosen, metric),
    }


def _baseline_name(name: Any) -> str:
    return f"{BASELINES[name]} ({name})" if name in BASELINES else str(name or "not named")


def get(value: Any, *keys: str) -> Any:
    """A value some levels down; None where a level is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _overlap(report: dict[str, Any]) -> int:
    """How many test examples also stand in the training data. What was dropped is no overlap."""
    leakage = get(report, "data", "leakage") or {}
    if str(leakage.get("action", "")).startswith(("drop", "remov")):
        return 0
    return sum(leakage[key] for key in ("exact", "near", "group") if is_number(leakage.get(key)))


def _warnings(report: dict[str, Any]) -> list[str]:
    """What must be read before the numbers: failed gates, overlap with training, the choice's own warnings."""
    failed = [
        f"A parity gate failed: {gate.get('name')} (bound: {gate.get('bound')}; measured: {gate.get('measured')})."
        for gate in report.get("gates") or []
        if not gate.get("passed")
    ]
    shared = _overlap(report)
    leaked = [f"{shared:,} test examples overlap with the training data: the scores are too good."] if shared else []
    return failed + leaked + list(get(report, "choice", "warnings") or [])


def _split_labels(splits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Labels with their number of examples in each split, most frequent first."""
    counts: dict[str, dict[str, int]] = {}
    for split, content in splits.items():
        for label, count in (get(content, "labels") or {}).items():
            counts.setdefault(label, {})[split] = count
    total = {label: sum(row.values()) for label, row in counts.items()}
    most = max([1, *total.values()])
    ordered = sorted(counts, key=lambda label: -total[label])
    return [{"label": label, **counts[label], "share": total[label] / most} for label in ordered]


def both(draw: Any, widths: tuple[int, int], *values: Any) -> Any:
    """The same plot drawn for a desk and for a phone; the style sheet shows one of them."""
    wide, narrow = (draw(*values, width=width) for width in widths)
    return markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')


def _plots(report: dict[str, Any], chosen: Mapping[str, Any], metric: str) -> dict[str, Any]:
    test, name = chosen.get("test") or {}, METRICS.get(metric, metric)
    drawn: dict[str, Any] = {"training": [_training_plots(one) for one in report.get("training") or []]}
    rows = [
        mark(chosen.get("name") or "chosen", get(report, "headline", "test"), "chosen"),
        mark(get(report, "headline", "baseline", "name") or "baseline", get(report, "headline", "baseline", "test")),
    ]
    if known := [row for row in rows if row]:
        drawn["headline"] = markup(plots.levels(known, get(report, "task", "quality", "floor"), name))
    marks, baselines, drawn["left_out"] = _marks(report, metric)
    if marks:
        drawn["key"] = [mark.name for mark in marks] if len(marks) > plots.MOST_NAMES else []
        drawn["candidates"] = both(plots.quality, (760, 340), marks, baselines, name)
    labels, confusion = _matrix(test)
    if confusion:
        drawn["confusion"] = both(plots.heat_map, (640, 340), confusion, labels)
    bins = [
        plots.Bin(n, one["confidence"], one["accuracy"], *wilson(one["accuracy"] * n, n))
        for one in get(report, "calibration", "bins") or []
        if (n := one.get("count")) and is_number(one.get("confidence")) and is_number(one.get("accuracy"))
    ]
    if bins:
        drawn["reliability"] = markup(plots.reliability(bins))
    return drawn


def mark(name: str, found: Any, status: str = "baseline", footprint: Any = None) -> plots.Mark | None:
    if not has_interval(found):
        return None
    size_bytes, latency = get(footprint, "size_bytes"), get(footprint, "latency_ms_p95")
    return plots.Mark(name, found["value"], found["low"], found["high"], status, size_bytes or 0.0, latency)


def _marks(report: dict[str, Any], metric: str) -> tuple[list[plots.Mark], list[plots.Mark], list[str]]:
    """Candidates and baselines that can be drawn, and the names of those that cannot."""
    marks, baselines, left_out = [], [], []
    for one in report.get("candidates") or []:
        name, status = one.get("name") or "unnamed", one.get("status") or ""
        found = mark(name, get(one, "test", metric), status, one.get("footprint"))
        if found and one.get("kind") in ("baseline", "reference"):
            baselines.append(found._replace(status="baseline"))
        elif found and found.size_bytes > 0:
            marks.append(found._replace(on_front=name in (get(report, "front_by", "size") or [])))
        else:
            left_out.append(name)
    return marks, baselines, left_out


def _training_plots(one: Mapping[str, Any]) -> dict[str, Any]:
    """Two small plots of one training: losses, and the metric on validation."""
    epochs = one.get("epochs") or []

    def line(key: str) -> list[tuple[float, float]]:
        return [
            (epoch["epoch"], epoch[key])
            for epoch in epochs
            if is_number(epoch.get("epoch")) and is_number(epoch.get(key))
        ]

    keys = [key for epoch in epochs for key in epoch if key.startswith("validation_") and key != "validation_loss"]
    metric = keys[0] if keys else ""
    title = "validation " + METRICS.get(metric.removeprefix("validation_"), metric.removeprefix("validation_"))
    groups = {
        "loss": {"validation": line("validation_loss"), "train": line("train_loss")},
        title: {"validation": line(metric)},
    }
    drawn = [
        markup(plots.curves(lines, words, one.get("best_epoch")))
        for words, lines in groups.items()
        if any(lines.values())
    ]
    return {**one, "plots": drawn}
