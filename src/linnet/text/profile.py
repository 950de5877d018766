"""What a set of examples looks like: lengths, balance of labels, personal data. Counts only; it changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from linnet.core.records import Example
from linnet.text.examples import label_counts
from linnet.text.normalize import normalize
from linnet.text.pii import find_pii

_BARS = 12
_MOST_PII_EXAMPLES = 20


def lengths(examples: Sequence[Example]) -> dict[str, Any]:
    """Median, 95th percentile and maximum of words and characters, and a histogram of words.

    Words are what white space separates. Percentiles are values that occur (nearest rank).
    """
    words = sorted(len(example.text.split()) for example in examples)
    characters = sorted(len(example.text) for example in examples)
    return {"words": _summary(words), "characters": _summary(characters), "histogram": _histogram(words)}


def _summary(values: list[int]) -> dict[str, int]:
    return {"p50": _percentile(values, 50), "p95": _percentile(values, 95), "max": values[-1]}


def _percentile(ordered: list[int], percent: int) -> int:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _histogram(ordered: list[int]) -> list[dict[str, int]]:
    """Bars of equal width up to the 95th percentile, then one for the tail, so that one long text hides nothing."""
    width = max(1, -(-(_percentile(ordered, 95) + 1) // _BARS))
    counts = Counter(min(value // width, _BARS) for value in ordered)
    bars = []
    for bar in range(min(ordered[-1] // width, _BARS) + 1):
        high = ordered[-1] if bar == _BARS else (bar + 1) * width - 1
        bars.append({"low": bar * width, "high": high, "count": counts[bar]})
    return bars


def balance(examples: Sequence[Example]) -> dict[str, Any]:
    """The largest and the smallest label, and how many times the one is the other."""
    counts = label_counts(examples)
    largest = max(counts, key=lambda label: counts[label])
    smallest = min(counts, key=lambda label: counts[label])
    return {
        "largest": [largest, counts[largest]],
        "smallest": [smallest, counts[smallest]],
        "ratio": round(counts[largest] / counts[smallest], 2),
    }


def pii_summary(examples: Sequence[Example]) -> dict[str, Any]:
    """How many rows hold what looks like personal data, of which kinds, and where. Never the data itself."""
    rows = 0
    kinds: Counter[str] = Counter()
    places = []
    for example in examples:
        found = find_pii(example.text)
        rows += bool(found)
        kinds.update(span.kind for span in found)
        places += [{"row": example.row, "kind": kind} for kind in sorted({span.kind for span in found})]
    return {"rows": rows, "kinds": dict(sorted(kinds.items())), "examples": places[:_MOST_PII_EXAMPLES]}


def similar_labels(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of labels that differ only by case, white space, dashes or underscores."""
    first: dict[str, str] = {}
    pairs = []
    for label in labels:
        key = normalize(label.replace("_", " ").replace("-", " "))
        if first.setdefault(key, label) != label:
            pairs.append((first[key], label))
    return pairs
