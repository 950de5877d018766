"""Preference methods from a file of rows to a merged model, stopped and gone on with on the way."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linnet.core import failpoints, history
from linnet.core.errors import GuardStopped, InputError, Interrupted, ResourceMissing
from linnet.core.events import Event
from linnet.core.runs import find_run, list_runs
from linnet.core.store import Store
from linnet.pipeline import rehearsal
from linnet.pipeline.merge import merge
from linnet.pipeline.run_report import row
from linnet.pipeline.tune import TuneOptions, prepare_tuning, resume, run_tuning, tune
from linnet.stages import rehearse as stage
from linnet.training import forecast
from tests.tiny_decoder import chats, tiny_decoder

pytest.importorskip("trl")
nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="rehearses once more: LINNET_NIGHTLY=1")
DPO = TuneOptions(method="dpo", epochs=2, batch=8, rate=0.01, rank=4, max_length=200)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    made = [{"prompt": c.turns[0].content, "chosen": c.turns[1].content, "rejected": "No."} for c in chats(20)]
    path.write_text("".join(json.dumps(one) + "\n" for one in made))
    return path


def test_a_stopped_training_goes_on_and_is_merged(
    decoder: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    store = Store(tmp_path / "store")
    monkeypatch.setenv("LINNET_FAILPOINTS", "train.step:2=term")
    failpoints._armed.cache_clear()
    failpoints._hits.clear()
    with pytest.raises(Interrupted, match="the state is saved"):
        tune(decoder, rows, DPO, store=store)
    monkeypatch.delenv("LINNET_FAILPOINTS")
    failpoints._armed.cache_clear()
    (stopped,) = list_runs(store, "tune")
    assert stopped.state == "stopped"
    rows.unlink()  # a run has its own
    result = resume(stopped.id, store=store)
    facts = result.step.result
    assert (facts["method"], facts["artefact"], facts["recipe"]["objective"]) == ("dpo", "adapter", "dpo")
    assert {"train_choices", "validation_choices", "train", "base", "template"} <= set(result.step.run.inputs)
    assert "dpo" in row(find_run(store, stopped.id))["about"]
    kept = {path.suffix for path in result.step.folder.rglob("*") if path.is_file()}
    assert kept <= {".json", ".jsonl", ".jinja", ".safetensors"}
    merged = merge(stopped.id, store=store, gguf=False)
    assert [gate["passed"] for gate in merged.step.result["gates"]] == [True, True]


@pytest.mark.parametrize(
    "method", ["dpo", "grpo", pytest.param("kto", marks=nightly), pytest.param("orpo", marks=nightly)]
)
def test_it_is_rehearsed(
    decoder: str, rows: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    monkeypatch.setattr(stage, "LEAST_S", 0)
    more: dict[str, Any] = {"reward": "json", "samples": 2, "answer_tokens": 6} if method == "grpo" else {}
    options = TuneOptions(method=method, epochs=1, batch=4, rate=0.01, rank=4, max_length=200, rehearse=True, **more)
    store, told = Store(tmp_path / "store"), list[Event]()
    done = tune(decoder, rows, options, store=store, on_event=told.append).step
    steps = {event.data["step"]: event.data for event in told if "ok" in event.data}
    assert list(steps) == ["load", "steps", "rate", "checkpoint", "save", "merge", "convert", "engine"]
    assert all(step["ok"] for step in steps.values())
    assert ("not judged" in steps["rate"]["said"]) == (method == "grpo")
    kept = done.result["rehearsal"]
    assert kept["mode"] == "done"
    assert kept["predicted"]["memory_bytes"] == pytest.approx(done.result["peak_memory_bytes"], rel=0.3)
    assert [one.key for one in history.outcomes(store, f"forecast-tune-seconds-{method}")] == [done.run.id]
    assert not history.outcomes(store, "forecast-tune-seconds")


def test_too_little_memory_is_refused_with_what_fits(
    decoder: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(DPO, method="orpo", batch=16)
    base, job = prepare_tuning(decoder, rows, options, store=Store(tmp_path / "store"))
    wanted = rehearsal._wanted(base, job)
    need = forecast.memory_bytes(forecast.shape_of(base.report), job.recipe, stage._work(wanted).longest)
    monkeypatch.setattr("linnet.engines.llama.load_plan.usable_bytes", lambda: need - 1)
    with pytest.raises(GuardStopped, match="The memory is too small") as caught:
        run_tuning(Store(tmp_path / "store"), base, job)
    assert caught.value.hint.startswith("These fit: --batch 8")


def test_a_dataset_folder_with_a_split(decoder: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    made = [{"prompt": c.turns[0].content, "completion": c.turns[1].content, "label": i % 2} for i, c in
            enumerate(chats(20))]  # fmt: skip
    splits = {name: datasets.Dataset.from_list(made) for name in ("train", "other")}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "d")
    options = TuneOptions(method="kto", split="other", max_length=200)
    _, job = prepare_tuning(decoder, tmp_path / "d", options, store=Store(tmp_path / "store"))
    assert job.data.report["source"]["notes"] == ["split other; not read: train"]
    assert job.data.report["source"]["format"] == "judged"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dpo", "format": "alpaca"}, "--format is of answers that are imitated"),
        ({"method": "dpo", "input": "prompt", "output": "chosen"}, "names 1 columns for dpo"),
        ({"method": "dpo", "output": "chosen,rejected"}, "need --input"),
        ({"method": "grpo"}, "none is named"),
        ({"method": "grpo", "reward": "exact"}, "no right answer to compare with"),
        ({"method": "lora", "beta": 0.5, "input": "prompt", "output": "chosen"}, "--beta is of the methods dpo"),
        ({"method": "kto", "split": "test"}, "no folder of a saved dataset"),
        ({"method": "lora"}, "--method dpo, orpo or kto"),
        ({"method": "ppo"}, "No method is called"),
    ],
)
def test_wrong_words_are_answered(decoder: str, rows: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    if options["method"] == "ppo":
        options |= {"input": "prompt", "output": "chosen"}
    with pytest.raises(InputError, match=said):
        prepare_tuning(decoder, rows, TuneOptions(max_length=200, **options), store=Store(tmp_path / "store"))


def test_without_the_extra_the_command_to_install_it_is_said(
    decoder: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "trl" else real(name, *a))
    with pytest.raises(ResourceMissing, match=r"pip install 'linnet\[align\]'"):
        prepare_tuning(decoder, rows, DPO, store=Store(tmp_path / "store"))
    assert "HF_DATASETS_OFFLINE" not in os.environ
