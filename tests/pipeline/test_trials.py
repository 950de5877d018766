"""Short trainings before long ones: what a trial is, when it is worth it, and what a build does with it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linnet.core.events import Event
from linnet.core.store import Store
from linnet.core.task import Task
from linnet.pipeline import text_search, trials
from linnet.pipeline.build import BuildResult, build
from linnet.pipeline.build_plan import plan_build
from linnet.pipeline.candidates_plan import Way, plan_candidates
from linnet.pipeline.search import TRAININGS, Round
from linnet.pipeline.text_candidates import Made, Work
from linnet.pipeline.text_data import prepare_texts
from linnet.pipeline.text_search import tried_out
from linnet.pipeline.tune import TuneOptions, prepare_tuning
from linnet.stages.tune import DecoderJob, decoder_inputs
from tests.pipeline.test_text_search import task
from tests.tiny_decoder import tiny_decoder

nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="set LINNET_NIGHTLY=1: takes a minute")


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("base") / "tiny", dtype="bfloat16")


@pytest.fixture(scope="module")
def way(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Way:
    """A training of 40 rows, before it runs."""
    folder = tmp_path_factory.mktemp("rows")
    rows = [{"q": f"What is {i} in words?", "a": f"Number {i}."} for i in range(44)]
    for name, part in (("train", rows[4:]), ("held", rows[:4])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in part))
    options = TuneOptions(method="full", input="q", output="a", validation=str(folder / "held.jsonl"))
    model, job = prepare_tuning(str(base), folder / "train.jsonl", options, store=Store(folder / "store"))
    return Way(str(base), model, "full", "full", job, seconds=400.0, kinds=("BF16", "Q8_0"))


def job_of(way: Way) -> DecoderJob:
    assert way.job is not None
    return way.job


@pytest.mark.parametrize(("epochs", "rows"), [(8, 40), (12, 40), (3, 15), (1, 5)])
def test_a_trial_is_an_eighth_of_the_steps_with_the_same_recipe(way: Way, epochs: int, rows: int) -> None:
    job = job_of(way)
    recipe = job.recipe.model_copy(update={"epochs": epochs})
    short = trials.trial(replace(job, recipe=recipe))
    assert len(short.data.train) == rows
    assert [e.row for e in short.data.targets[0].examples] == [chat.row for chat in short.data.train]
    assert short.data.validation == job.data.validation
    assert short.recipe == recipe.model_copy(update={"epochs": 1})
    assert short.data.report["trial"] == {"rows": rows, "of": 40}
    inputs = decoder_inputs(way.base, short)[1]
    assert inputs["recipe"]["epochs"] == 1  # what names the step is the trial's
    assert trials.trial(replace(job, recipe=recipe)).data.train == short.data.train


def test_rows_of_a_trial_are_drawn_and_not_the_first(way: Way) -> None:
    job = job_of(way)
    short = trials.trial(replace(job, recipe=job.recipe.model_copy(update={"epochs": 2})))
    assert [chat.row for chat in short.data.train] != [chat.row for chat in job.data.train[:10]]


def test_trials_are_worth_it_where_much_can_be_saved(way: Way) -> None:
    other = replace(way, method="lora", label="lora")
    assert trials.worth([way, other])
    assert not trials.worth([way, replace(other, seconds=299.0)])
    assert not trials.worth([way, replace(other, job=None, seconds=0.0)])
    assert not trials.worth([])


def trained(folder: Path, base: Path, **more: object) -> Task:
    tried = {"methods": ["prompt", "lora", "full"], "quantizations": ["BF16", "Q8_0"]}
    return task(folder, base, candidates=tried, **more)


@nightly
def test_a_build_tries_an_eighth_first(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rounds of the trials come first in the report, and the candidates are all still named."""
    monkeypatch.setattr(trials, "WORTH_SECONDS", 0.0)
    made, store, seen = trained(tmp_path, base), Store(tmp_path / "store"), list[Event]()
    planned = plan_build(made, store)
    assert [one.what.split(" on ")[0] for one in planned.stages if one.stage == "tune"] == [
        "an eighth of lora", "an eighth of full", "lora", "full",
    ]  # fmt: skip
    result = build(made, store, seen.append)
    assert isinstance(result, BuildResult)
    assert any("an eighth of each first" in event.message for event in seen)
    found = json.loads((result.folder / "report.json").read_text())["search"]
    assert found["rounds"][0]["of"] == TRAININGS
    assert set(found["rounds"][0]["scores"]) == {"lora-trial-BF16", "full-trial-BF16"}
    assert found["trainings"].startswith("An eighth of each of 2 trainings ran first; ")
    names = {f"{way}-{kind}" for way in ("prompt", "lora", "full") for kind in ("BF16", "Q8_0")}
    assert set(found["candidates"]) == names
    again = list[Event]()
    assert build(made, store, again.append).specialist == result.specialist
    assert "tune" not in {event.stage for event in again if event.kind == "start"}


@nightly
def test_what_falls_behind_is_not_trained_whole(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "WORTH_SECONDS", 0.0)
    made, store = trained(tmp_path, base), Store(tmp_path / "store")

    asked = text_search._rounds  # as it is, but for the trials: of these tiny models none is surely the worse

    def rounds(work: Work, asking: Any, tried: Sequence[Made], sizes: Sequence[int]) -> list[Round]:
        if not all("-trial-" in one.name for one in tried):
            return asked(work, asking, tried, sizes)
        scores = {one.name: 0.1 + 0.5 * one.name.startswith("full") for one in tried}
        return [Round(questions=20, scores=scores, dropped={"lora-trial-BF16": "50 points behind"}, seconds=1.0)]

    monkeypatch.setattr(text_search, "_rounds", rounds)
    prepared = prepare_texts(store, made)
    found = tried_out(Work(store, made, prepared), plan_candidates(store, made, prepared).ways)
    assert [one.label for one in found.ways] == ["prompt", "full"]
    assert [(one.name, one.source) for one in found.dropped] == [("lora-BF16", None), ("lora-Q8_0", None)]
    assert set(found.rounds[0].dropped) == {"lora-BF16", "lora-Q8_0"}
    assert found.rounds[0].dropped["lora-Q8_0"] == "after an eighth of its training, 50 points behind"
    result = build(made, store)
    report = json.loads((result.folder / "report.json").read_text())
    assert {"lora-BF16", "lora-Q8_0"} <= set(report["choice"]["rejected"])
    assert [one["name"] for one in report["training"]] == ["full"]
    assert "2 were surely too far behind after an eighth of the training and 20 of 30" in report["search"]["reasons"]
