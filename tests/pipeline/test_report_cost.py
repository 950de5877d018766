"""What requests cost: every number with its source, nothing guessed; and the candidates that nothing beats."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Footprint
from linnet.pipeline.report_cost import NO_COUNTER, elsewhere, fronts, of_answers, of_footprint, without

SETTINGS = ("LINNET_WATTS", "LINNET_GRID_GCO2_PER_KWH")


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def foot(joules: float | None = None, **changes: Any) -> Footprint:
    values = {"size_bytes": 10, "latency_ms_p50": 250.0, "latency_ms_p95": 400.0, "documents_per_second": 8.0,
              "peak_memory_bytes": 20, "energy_joules_per_1000": joules, "energy_note": ""}  # fmt: skip
    return Footprint.model_validate(values | changes)


def test_without_a_counter_or_watts_energy_is_unknown_and_says_why() -> None:
    found = of_footprint(foot())
    assert (found["seconds"], found["seconds_one_at_a_time"]) == (125.0, 250.0)  # 1000 / 8; 1000 x 0.25 s
    assert (found["joules"], found["gco2e"]) == (None, None)
    assert found["joules_source"] == NO_COUNTER
    assert "LINNET_WATTS" in NO_COUNTER


def test_named_watts_times_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_WATTS", "12")
    found = of_footprint(foot())
    assert found["joules"] == 1500.0
    assert "LINNET_WATTS=12" in str(found["joules_source"])
    assert found["gco2e"] is None


def test_a_counter_goes_before_named_watts_and_the_grid_gives_grams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_WATTS", "12")
    monkeypatch.setenv("LINNET_GRID_GCO2_PER_KWH", "400")
    found = of_footprint(foot(7200.0))
    assert (found["joules"], found["joules_source"]) == (7200.0, "package energy by RAPL")
    assert found["gco2e"] == pytest.approx(0.8)  # 7200 J = 0.002 kWh
    assert "LINNET_GRID_GCO2_PER_KWH=400" in str(found["gco2e_source"])


def test_answers_of_a_baseline_a_reference_and_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_WATTS", "12")
    assert of_answers({"requests_per_second": 4.0})["joules"] == 3000.0
    assert of_answers({"requests_per_second": 4.0, "energy_joules_per_1000": 5.0})["joules"] == 5.0
    assert of_answers({"requests_per_second": None})["seconds"] is None
    away = elsewhere({"requests_per_second": 2.0})
    assert (away["seconds"], away["joules"]) == (500.0, None)
    assert without("no model is asked")["seconds_source"] == "no model is asked"


def test_a_setting_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_WATTS", "lots")
    with pytest.raises(InputError, match="LINNET_WATTS"):
        of_footprint(foot())


def candidate(name: str, value: float | None, size: int, p95: float, kind: str = "candidate") -> dict[str, Any]:
    score = None if value is None else {"value": value}
    return {"name": name, "kind": kind, "test": {"m": score},
            "footprint": {"size_bytes": size, "latency_ms_p95": p95}}  # fmt: skip


def test_the_front_has_none_that_another_beats() -> None:
    rows = [
        candidate("big", 0.95, 300, 30),
        candidate("small", 0.90, 100, 20),
        candidate("worse", 0.89, 100, 20),
        candidate("fast", 0.80, 200, 10),
        candidate("twin", 0.90, 100, 20),
        candidate("unscored", None, 1, 1),
        {**candidate("broken", 0.99, 1, 1), "fits": False},
        candidate("base", 0.99, 1, 1, "baseline"),
        {"name": "reference", "kind": "reference", "test": {"m": {"value": 1.0}}, "footprint": None},
    ]
    found = fronts(rows, "m")
    assert found["all"] == ["big", "small", "fast", "twin"]
    assert found["size"] == ["big", "small", "twin"]
    assert found["latency"] == ["big", "small", "fast", "twin"]
    assert fronts([], "m") == {"all": [], "size": [], "latency": []}
