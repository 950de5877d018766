"""What is left out before anything runs: by which number, the same in the dry run and again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Model
from linnet.core.store import Step, Store
from linnet.core.task import BudgetPart, Task, parse_task
from linnet.engines.requests.asking import Prediction, Source
from linnet.pipeline import text_search
from linnet.pipeline.build_plan import plan_build
from linnet.pipeline.candidates_plan import Planned, Way, over_forecast, plan_candidates
from linnet.pipeline.text_candidates import Made, Whole, Work, as_made
from linnet.pipeline.text_data import prepare_texts
from linnet.pipeline.trials import Tried
from linnet.stages.answer import PREDICTIONS
from linnet.stages.choose import front
from linnet.text.questions import Question
from tests.stages.test_choose import contender

MB = 10**6
FORECAST = {"size_bytes": 50.0 * MB, "memory_bytes": 200.0 * MB, "latency_ms_p95": 100.0, "tokens_per_second": 40.0}


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({}, ""),
        ({"size": 50 * MB}, ""),
        ({"size": 49 * MB}, "its weights take 50.0 MB; the size limit is 49.0 MB"),
        ({"memory": 160 * MB}, ""),
        ({"memory": 159 * MB}, "it is forecast to take 200 MB of memory; the limit is 159 MB"),
        ({"latency_p95_ms": 50}, ""),
        ({"latency_p95_ms": 49}, "it is forecast to answer in 100 ms (p95); the limit is 49 ms"),
        ({"tokens_per_second": 80}, ""),
        ({"tokens_per_second": 81}, "it is forecast to write 40.0 tokens per second; 81 are asked for"),
        ({"train_minutes": 0.001}, ""),
    ],
)
def test_a_forecast_has_to_be_surely_beyond_the_limit(limits: dict[str, float], why: str) -> None:
    assert over_forecast(FORECAST, BudgetPart.model_validate(limits)) == why


def task(folder: Path, methods: list[str], rows: int = 40, **budget: float) -> Task:
    given = [{"said": f"Make it {i}", "answer": f"{i}"} for i in range(rows)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    content: dict[str, Any] = {
        "task": {"name": "number", "kind": "generate", "input": "said", "output": "answer"},
        "data": {"train": "train.jsonl"},
        "candidates": {"models": ["builtin:nano"], "methods": methods, "quantizations": ["F16", "Q8_0"]},
        "budget": budget,
        "quality": {"metric": "exact_match"},
    }
    return parse_task(content, folder)


def test_a_training_over_its_minutes_is_left_out_with_its_number(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "store"), task(tmp_path, ["prompt", "lora"], train_minutes=1e-6)
    prepared = prepare_texts(store, made)
    found = plan_candidates(store, made, prepared)
    assert [way.label for way in found.ways] == ["prompt"]
    assert set(found.excluded) == {"lora-F16", "lora-Q8_0"}
    assert "minutes; 1e-06 are allowed" in found.excluded["lora-F16"]
    plan = plan_build(made, store)
    assert (plan.candidates, plan.excluded) == (["prompt-F16", "prompt-Q8_0"], found.excluded)
    assert not [one for one in plan.stages if one.stage in ("tune", "merge")]
    with pytest.raises(InputError, match=r"No candidate can fit\. lora-F16: its training is forecast to take "):
        plan_build(task(tmp_path, ["lora"], train_minutes=1e-6), store)


def test_a_forecast_is_kept_so_that_a_build_that_goes_on_decides_the_same(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "store"), task(tmp_path, ["lora", "auto"])
    prepared = prepare_texts(store, made)
    first, second = (plan_candidates(store, made, prepared) for _ in range(2))
    seconds = [way.seconds for way in first.ways]
    assert seconds == [way.seconds for way in second.ways]
    assert all(seconds)
    assert len({way.label for way in first.ways}) == len(first.ways)  # what "auto" means too is tried once


def test_the_front_of_score_size_and_latency() -> None:
    rows = [
        contender("best", 0.9, size=100, p95=9), contender("small", 0.8, size=10, p95=9),
        contender("quick", 0.7, size=100, p95=1), contender("worse", 0.7, size=100, p95=9),
        contender("twin", 0.9, size=100, p95=9),
    ]  # fmt: skip
    assert front(rows, "macro_f1") == ["best", "small", "quick", "twin"]


def whole(label: str, kinds: tuple[str, ...]) -> Whole:
    base = Model(name=label, kind="decoder", format="safetensors", path=label, files={}, licence="", source="",
                 max_tokens=64)  # fmt: skip
    return Whole(Way(label, base, "prompt", label=label, kinds=kinds), Source(label, Path(label), label), "BF16")


def imitation(right: dict[str, float]) -> Callable[..., Step]:
    """Answers of a model that is right so often, by the hash of its file; kept in the store as true ones are."""

    def answer(store: Store, source: Source, questions: Sequence[Question], *_: Any) -> Step:
        def work(folder: Path) -> dict[str, Any]:
            said = [
                Prediction(row=one.row, text=one.references[0] if one.row % 10 < 10 * right[source.sha256] else "no")
                for one in questions
            ]
            (folder / PREDICTIONS).write_text("".join(one.model_dump_json() + "\n" for one in said))
            return {}

        return store.step("answer", {"model": source.sha256, "rows": [one.row for one in questions]}, work)

    return answer


def test_the_types_of_a_method_that_is_far_behind_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = task(tmp_path, ["prompt"], rows=400)
    store = Store(tmp_path / "store")
    work = Work(store, made, prepare_texts(store, made))
    converted: list[str] = []

    def convert(_: Work, wholes: Sequence[Whole]) -> tuple[list[Made], dict[str, str]]:
        converted.extend(one.way.label for one in wholes)
        kinds = [(one, kind) for one in wholes for kind in one.way.kinds]
        return [replace(as_made(work, one), name=one.way.candidate(kind)) for one, kind in kinds], {}

    monkeypatch.setattr(text_search, "answer", imitation({"good": 1.0, "fair": 0.9, "poor": 0.1}))
    monkeypatch.setattr(text_search, "convert_all", convert)
    monkeypatch.setattr(
        text_search, "judged", lambda _, one, known: replace(one, answers={"known": [str(p) for p in known]})
    )
    monkeypatch.setattr(text_search, "measured", lambda _, one: one)
    wholes = [whole(name, ("BF16", "Q8_0")) for name in ("poor", "fair", "good")]
    planned = Planned(tuple(one.way for one in wholes), {"huge-F16": "too large"})
    left, dropped, found = text_search.search(work, planned, Tried(planned.ways), wholes)
    assert converted == ["fair", "good"]
    assert [one.name for one in dropped] == ["poor-BF16", "poor-Q8_0"]
    assert {one.name for one in left} == {"fair-BF16", "fair-Q8_0", "good-BF16", "good-Q8_0"}
    # What was answered in the rounds is handed on: nothing is asked again.
    assert all(set(one.answers["known"]) == {str(p) for p in range(found.questions)} for one in left)
    assert "points behind good-BF16" in found.dropped["poor-Q8_0"]
    assert [one.of for one in found.rounds] == ["methods", "candidates", "candidates"]
    assert found.candidates[-1] == "huge-F16"
    limited = replace(work, task=made.model_copy(update={"budget": BudgetPart(train_minutes=9)}))
    assert text_search.search(limited, planned, Tried(planned.ways), wholes)[2].dropped == found.dropped
