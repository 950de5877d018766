"""A report.json of a task that writes records, with everything in it: values as a build leaves them."""

from __future__ import annotations

from typing import Any

METRIC = "field_f1"


def iv(value: float, half: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": round(max(0.0, value - half), 4), "high": round(min(1.0, value + half), 4)}


def metrics(value: float) -> dict[str, Any]:
    return {METRIC: iv(value), "exact_match": iv(value - 0.08, 0.03), "schema_valid": iv(1.0, 0.01)}


def cost(seconds: float | None, joules: float | None = None, source: str = "measured alone") -> dict[str, Any]:
    return {
        "seconds": seconds,
        "seconds_one_at_a_time": seconds * 3 if seconds else None,
        "seconds_source": source,
        "joules": joules,
        "joules_source": "package energy by RAPL" if joules else "unknown: no energy counter can be read here",
        "gco2e": joules / 12000 if joules else None,
        "gco2e_source": "LINNET_GRID_GCO2_PER_KWH=300 times the energy" if joules else "",
    }


def row(name: str, status: str, value: float, size_mb: float = 0.0, p95: float = 0.0) -> dict[str, Any]:
    foot = {
        "size_bytes": int(size_mb * 1e6), "latency_ms_p50": p95 * 0.7, "latency_ms_p95": p95,
        "documents_per_second": round(2000 / p95, 2), "peak_memory_bytes": int(size_mb * 1.6e6),
        "energy_joules_per_1000": p95 * 9, "energy_note": "package energy by RAPL",
    } if size_mb else None  # fmt: skip
    base = cost(None, source="no model is asked") if "common" in name else cost(41.0, source="timed")
    gap = {**iv(value - 0.913, 0.025), "low": value - 0.94, "p_value": 0.04}
    kind = status if status in ("baseline", "reference") else "candidate"
    return {
        "name": name,
        "kind": kind,
        "quantization": name.rpartition("-")[2],
        "validation": {} if kind == "reference" else metrics(value + 0.01),
        "test": metrics(value),
        "failed": 1 if kind == "reference" else 0,
        "difference": None if status == "chosen" else gap,
        "footprint": foot,
        "cost_per_1000": cost(p95 / 2, p95 * 9) if foot else base,
        "status": status,
        "why": "the smallest of 4" if status == "chosen" else "1.9 times the size of lora-Q4_K_M",
    }


def worst(number: int) -> dict[str, Any]:
    return {
        "row": 17 + number,
        "asked": "Dim the lamp in the kitchen to forty percent, please, and make it warm white before the guests come.",
        "expected": ['{"room": "kitchen", "device": "lamp", "level": 40, "colour": "warm white"}'],
        "answered": '{"room": "kitchen", "device": "lamp", "level": 14, "colour": "white"}',
        "baseline": None if number % 2 else '{"room": "hall"}',
        "baseline_name": "builtin-nano 3-shot",
        "reference": '{"room": "kitchen", "device": "lamp", "level": 40}',
        "reference_name": "gpt-x",
        "value": 0.5,
        "problem": "" if number else "the answer was cut at its longest",
    }


def slices() -> list[dict[str, Any]]:
    parts = [("length", f"{a} characters", 67) for a in ("up to 42", "43 to 71", "over 71")]
    parts += [("group", f"customer {n}", 40 - 7 * n) for n in range(5)]
    parts += [("field room", room, 30) for room in ("kitchen", "hall", "living room", "bath")]
    return [
        {"by": by, "name": name, "examples": n, "value": 0.9, **({"low": 0.84, "high": 0.94} if n >= 20 else {})}
        for by, name, n in parts
    ]


def sample() -> dict[str, Any]:
    rows = [
        row("lora-F16", "acceptable", 0.921, 301.2, 212.0),
        row("lora-Q8_0", "acceptable", 0.919, 160.3, 131.0),
        row("lora-Q4_K_M", "chosen", 0.913, 98.4, 118.0),
        row("full-Q8_0", "rejected", 0.884, 160.3, 140.0),
        row("full-Q4_K_M", "rejected", 0.861, 98.4, 125.0),
        row("builtin-nano zero-shot", "baseline", 0.412),
        row("builtin-nano 3-shot", "baseline", 0.703),
        row("most common answer", "baseline", 0.218),
        row("reference", "reference", 0.931),
    ]
    names = ["lora-F16", "lora-Q8_0", "lora-Q4_K_M"]
    return {
        "schema": 1, "kind": "extract", "specialist": "smart-home:1", "created": "2026-11-23T07:50:00Z",
        "seconds": 1311.0, "code_version": "0.7.0+abcdef", "licence": "apache-2.0 (base model builtin:nano)",
        "task": {"task": {"name": "smart-home", "kind": "extract", "input": "said", "output": "call"},
                 "quality": {"metric": METRIC, "floor": 0.85, "max_loss": 0.01},
                 "report": {"reference": "gpt-x", "endpoint": "http://127.0.0.1:8000/v1"}},
        "machine": {"processor": "AMD EPYC 9R14", "usable_cores": 2},
        "metric": METRIC,
        "test": {"examples": 200, "failed": 0, "metrics": metrics(0.913), "slices": slices(),
                 "problems": {"the answer was cut at its longest": 2},
                 "detectable": {METRIC: "With 200 examples a difference of less than 3.1 points cannot be seen."}},
        "baseline": "builtin-nano 3-shot",
        "choice": {"candidate": "lora-Q4_K_M", "reason": "The smallest of 3 that lose at most 0.01: field_f1 0.9230.",
                   "rejected": {"lora-Q2_K": "on 40 questions 21.0 points behind lora-F16 (95 %: 12.1 to 30.2)"},
                   "recommends_baseline": False, "warnings": []},
        "candidates": rows, "front": names, "front_by": {"size": names, "latency": names},
        "reference": {"model": "gpt-x", "endpoint": "http://127.0.0.1:8000/v1", "asked": 200, "failed": 1,
                      "problems": {"it did not answer within 120 s (5 tries)": 1}, "error": ""},
        "search": {"strategy": "halving", "questions": 160, "trainings": "Trainings ran whole.",
                   "rounds": [{"questions": 40, "of": "candidates", "scores": {"lora-F16": 0.9, "lora-Q2_K": 0.7},
                               "dropped": {"lora-Q2_K": "on 40 questions behind"}, "seconds": 31.0, "share": 0.25}]},
        "worst": [worst(n) for n in range(4)], "cost_per_1000": cost(59.0, 1062.0),
        "training": [{"name": "lora", "method": "lora", "seconds": 412.0, "best_epoch": 2, "epochs": 3},
                     {"name": "full", "method": "full", "seconds": 603.0, "best_epoch": None, "epochs": 3}],
        "gates": [{"name": "adapter = merged", "bound": "KL <= 1e-4", "measured": "2.1e-06", "passed": True}],
        "data": {"counts": {"train": 1440, "validation": 160, "test": 200, "read": 1800, "removed": 0},
                 "test_is": "given", "warnings": ["12 rows that repeat another were left out."]},
        "lineage": {"dataset": "6f1c" * 16, "base": {"name": "builtin:nano", "source": "builtin"},
                    "runs": {"prepare": "prepare-1a2b", "tune": "tune-3c4d"}},
    }  # fmt: skip
