"""What a thousand requests cost, each number with where it comes from; and which candidates nothing beats.

Energy is what the processor's counter says, else watts that the user named times seconds, else unknown with the
reason. Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linnet.core.records import Footprint
from linnet.core.settings import get_number

JOULES_PER_KWH = 3.6e6
MEASURED = "of candidates, measured alone"
TIMED = "of baselines, as their answers to the evaluation were timed"
NO_COUNTER = "unknown: no energy counter can be read here, and LINNET_WATTS is not set"
Cost = dict[str, float | str | None]


def cost(seconds: float | None, joules: float | None = None, alone_s: float | None = None, source: str = "") -> Cost:
    """The cost of 1,000 requests: `seconds` side by side, `alone_s` one after another, `joules` by the counter.

    gCO2e = joules / 3.6e6 J/kWh x the grid's g/kWh. `source` says where the seconds are from, or why there are none.
    Raises InputError for a setting that is no number.
    """
    watts, grid = get_number("LINNET_WATTS"), get_number("LINNET_GRID_GCO2_PER_KWH")
    said = "package energy by RAPL"
    if joules is None and seconds is not None and watts:
        joules, said = watts * seconds, f"LINNET_WATTS={watts:g} times the seconds side by side"
    elif joules is None:
        said = NO_COUNTER if seconds is not None else ""
    grams = joules / JOULES_PER_KWH * grid if joules is not None and grid else None
    return {
        "seconds": _rounded(seconds),
        "seconds_one_at_a_time": _rounded(alone_s),
        "seconds_source": source or MEASURED,
        "joules": _rounded(joules),
        "joules_source": said,
        "gco2e": _rounded(grams),
        "gco2e_source": f"LINNET_GRID_GCO2_PER_KWH={grid:g} times the energy" if grams is not None else "",
    }


def _rounded(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")


def of_footprint(found: Footprint) -> Cost:
    """Of a candidate that was measured alone. Its median latency in ms is the seconds of 1,000, one after another."""
    return cost(1000 / max(found.documents_per_second, 1e-9), found.energy_joules_per_1000, found.latency_ms_p50)


def of_answers(result: Mapping[str, Any]) -> Cost:
    """Of a model whose answers to the evaluation were timed: the result of the `answer` step."""
    rate = result.get("requests_per_second")
    if not rate:
        return without("not measured")
    return cost(1000 / rate, result.get("energy_joules_per_1000"), source=TIMED)


def elsewhere(result: Mapping[str, Any]) -> Cost:
    """Of a model behind an endpoint: the time it took from here. Its energy is spent where nobody here counts it."""
    rate = result.get("requests_per_second")
    told = without("of the reference, through its endpoint")
    return {**told, "seconds": _rounded(1000 / rate) if rate else None}


def without(why: str) -> Cost:
    """No cost, and why."""
    return cost(None, source=why)


def fronts(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, list[str]]:
    """The names of the candidates that no other beats on the test split, in the order of `rows`.

    `all`: none is at least as good, as small and as fast (p95), and better in one of them; `size` and `latency`: by
    quality and that one alone. Rows without a score or a footprint, and those that must not be chosen (`fits` is
    False: a gate failed, or a limit is exceeded), are left out.
    """
    places: dict[str, tuple[float, float, float]] = {}
    for row in rows:
        score, foot = (row.get("test") or {}).get(metric), row.get("footprint")
        if row.get("kind") == "candidate" and row.get("fits", True) and score and foot:
            places[row["name"]] = (-score["value"], foot["size_bytes"], foot["latency_ms_p95"])
    axes = {"all": (0, 1, 2), "size": (0, 1), "latency": (0, 2)}
    return {name: _unbeaten({key: [at[i] for i in part] for key, at in places.items()}) for name, part in axes.items()}


def _unbeaten(places: Mapping[str, Sequence[float]]) -> list[str]:
    """Those that no other is at or below in every number and below in one."""
    values = list(places.values())
    return [
        name
        for name, mine in places.items()
        if not any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in values)
    ]
