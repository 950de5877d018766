"""A training rehearsed: what would fail later stops now, by its name; what was predicted is held against the truth."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.core import history
from linnet.core.errors import EngineError, GateFailed, GuardStopped
from linnet.core.events import Event
from linnet.core.store import Store
from linnet.pipeline import rehearsal as pipeline
from linnet.pipeline.tune import TuneOptions, prepare_tuning, run_tuning
from linnet.stages import rehearse as stage
from linnet.training import forecast, merging
from linnet.training.loop import Trainer
from tests.tiny_decoder import tiny_decoder, write_rows

pytestmark = pytest.mark.usefixtures("one_core")
nightly = pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="converts once more: LINNET_NIGHTLY=1")
LORA = TuneOptions(method="lora", epochs=2, batch=8, rate=0.02, max_length=200, rehearse=True)
STEPS = ["load", "steps", "rate", "checkpoint", "save", "merge", "convert", "engine"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("base") / "tiny", dtype="bfloat16")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", 24)


def stopped(store: Store, decoder: Path, rows: Path, options: TuneOptions) -> tuple[GuardStopped, list[Event]]:
    """What a rehearsal that must stop raised, and what it told."""
    base, job = prepare_tuning(str(decoder), rows, options, store=store)
    told: list[Event] = []
    with pytest.raises(GuardStopped) as caught:
        run_tuning(store, base, job, told.append)
    assert caught.value.exit_code == 3
    assert not list((store.root / "runs").glob("tune-*"))
    return caught.value, [event for event in told if "ok" in event.data]


def test_every_step_is_told_and_the_truth_is_kept(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "LEAST_S", 0)
    store = Store(tmp_path)
    base, job = prepare_tuning(str(decoder), rows, LORA, store=store)
    told: list[Event] = []
    done = run_tuning(store, base, job, told.append).step
    steps = [event.data for event in told if "ok" in event.data]
    assert [step["step"] for step in steps] == STEPS
    assert all(step["ok"] and step["seconds"] >= 0 for step in steps)
    assert any("first prediction here" in event.message for event in told)
    kept = done.result["rehearsal"]
    assert kept["mode"] == "done"
    assert kept["predicted"]["memory_bytes"] == pytest.approx(done.result["peak_memory_bytes"], rel=0.3)
    assert {path.name for path in (store.path("runs", kept["run"])).iterdir()} == {"record.json"}
    for kind in (*stage.KEYS, *stage.FORECAST.values()):
        assert [one.key for one in history.outcomes(store, kind)] == [done.run.id]
    assert pipeline.rehearse_tuning(store, base, job).reused
    assert all(error is not None for error in stage.known_errors(store).values())


@nightly
def test_a_full_training_is_rehearsed_too(decoder: Path, rows: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    options = TuneOptions(method="full", epochs=1, batch=8, max_length=200, checkpointing=True)
    step = pipeline.rehearse_tuning(store, *prepare_tuning(str(decoder), rows, options, store=store))
    assert [entry["step"] for entry in step.result["steps"]] == STEPS


def test_a_rate_that_diverges_is_named(decoder: Path, rows: Path, tmp_path: Path) -> None:
    options = TuneOptions(method="full", epochs=2, batch=8, rate=1.0, max_length=200, rehearse=True)
    error, told = stopped(Store(tmp_path), decoder, rows, options)
    assert "learning rate 1 diverges" in error.message
    assert "--rate 0.1" in error.hint
    assert [step.data["step"] for step in told if not step.data["ok"]] == ["rate"]


def test_a_checkpoint_that_does_not_come_back_is_named(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "load", lambda self, found: None)
    error, _ = stopped(Store(tmp_path), decoder, rows, LORA)
    assert "stopped at checkpoint: what was read back" in error.message


def test_a_conversion_that_is_impossible_is_named(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise EngineError("llama.cpp knows no such architecture.")

    monkeypatch.setattr(merging, "hf_to_gguf", refuse)
    error, told = stopped(Store(tmp_path), decoder, rows, LORA)
    assert error.message == "The rehearsal stopped at convert: llama.cpp knows no such architecture."
    assert [event.data["step"] for event in told][-2:] == ["merge", "convert"]
    assert not list(tmp_path.rglob(".room"))


def test_a_merge_that_loses_what_was_learned_is_named(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "ADD_BOUND", -1.0)
    error, _ = stopped(Store(tmp_path), decoder, rows, LORA)
    assert "stopped at merge: Merging changed a logit" in error.message
    assert isinstance(error.__cause__, GateFailed)


def test_too_little_memory_is_refused_with_what_fits(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a short run that is not rehearsed."""
    options = TuneOptions(method="full", epochs=1, batch=8, max_length=200)
    base, job = prepare_tuning(str(decoder), rows, options, store=Store(tmp_path))
    shape, longest = forecast.shape_of(base.report), max(len(e.ids) for e in job.data.targets[0].examples)
    need = forecast.memory_bytes(shape, job.recipe, longest)
    monkeypatch.setattr("linnet.engines.llama.load_plan.usable_bytes", lambda: need - 1)
    error, _ = stopped(Store(tmp_path), decoder, rows, options)
    assert "The memory is too small: training tiny" in error.message
    assert "--part-tokens 256; --checkpointing" in error.hint
    monkeypatch.setattr("linnet.engines.llama.load_plan.usable_bytes", lambda: 1000)
    error, _ = stopped(Store(tmp_path), decoder, rows, options)
    assert "No setting fits" in error.hint


def test_too_little_disk_is_refused(decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.core.files.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    error, _ = stopped(Store(tmp_path), decoder, rows, LORA)
    assert error.message.startswith("The disk is too small. Training and merging tiny needs")


def test_a_refused_rehearsal_is_on_record_and_a_long_run_has_one_unasked(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr(pipeline, "LONG_S", 0)
    monkeypatch.setattr(merging, "ADD_BOUND", -1.0)
    options = TuneOptions(method="lora", epochs=1, batch=8, max_length=200)
    error, _ = stopped(store, decoder, rows, options)
    assert "stopped at merge" in error.message
    refused = TuneOptions(method="lora", epochs=1, batch=8, max_length=200, rehearse=False)
    done = run_tuning(store, *prepare_tuning(str(decoder), rows, refused, store=store)).step
    assert done.result["rehearsal"] == {"mode": "refused"}
