"""Plans through the front door: what adds up, what corrects them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core import history
from linnet.core.errors import InputError
from linnet.core.store import Store
from linnet.engines.llama import load_plan
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.planning import machine_speed
from linnet.engines.requests.generation import Generation, Timings
from linnet.stages.plan import PlanOptions, plan, remember
from tests.gguf_files import stories
from tests.speeds import SPEED


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on a machine that was measured and has room."""
    monkeypatch.setattr(load_plan, "usable_bytes", lambda: 8 << 30)
    monkeypatch.setattr(machine_speed, "_measure", lambda key, *_: SPEED.model_copy(update={"key": key}))
    made = Store(tmp_path / "store")
    machine_speed.machine_speed(made)
    return made


def test_a_run_is_planned_as_it_will_be_loaded(store: Store) -> None:
    found = plan(store, str(stories()), "run", PlanOptions(context=512))
    load = plan_load(stories(), LoadOptions(context=512, slots=1))
    assert found.memory_bytes == load.total_bytes == sum(found.parts.values())
    assert found.fits
    assert found.prefill > found.decode > 0
    assert found.together == pytest.approx(found.decode)
    assert set(load.reasons) <= set(found.reasons)
    assert any("reads weights at" in reason for reason in found.reasons)


def test_more_at_once_take_more_and_give_more(store: Store) -> None:
    one = plan(store, str(stories()), "serve", PlanOptions(context=512, parallel=1))
    four = plan(store, str(stories()), "serve", PlanOptions(context=512, parallel=4))
    assert four.parts["cache"] == 4 * one.parts["cache"]
    assert one.together < four.together <= 4 * one.decode * 1.0001
    wide = plan(store, str(stories()), "run", PlanOptions(context=2048))
    assert wide.parts["cache"] == 4 * one.parts["cache"]


def test_another_type_is_planned_without_being_made(store: Store, tmp_path: Path) -> None:
    whole = plan(store, str(stories()), "run", PlanOptions(context=256))
    small = plan(store, str(stories()), "run", PlanOptions(context=256, kind="q4_k_m"))
    assert small.parts["weights"] < whole.parts["weights"] / 2
    assert any(reason.startswith("type Q4_K_M: as asked") for reason in small.reasons)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_draft_is_in_the_plan_with_its_cache(store: Store) -> None:
    alone = plan(store, str(stories()), "run", PlanOptions(context=512))
    both = plan(store, str(stories()), "run", PlanOptions(context=512, draft=str(stories())))
    assert both.parts["cache"] == 2 * alone.parts["cache"]
    assert both.parts["weights"] == 2 * alone.parts["weights"]
    assert both.parts["scratch"] == 2 * alone.parts["scratch"]
    saved = plan(store, str(stories()), "run", PlanOptions(context=512, draft=str(stories()), cache_type="f32"))
    assert saved.parts["cache"] == 3 * alone.parts["cache"]  # the draft's stays in f16


def test_what_does_not_fit_says_what_would(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    need = plan(store, str(stories()), "serve", PlanOptions(context=2048, parallel=32)).memory_bytes
    monkeypatch.setattr(load_plan, "usable_bytes", lambda: need - (8 << 20))
    found = plan(store, str(stories()), "serve", PlanOptions(context=2048, parallel=32))
    assert not found.fits
    assert found.memory_bytes == need
    assert "slots instead of 32" in found.instead


def test_a_quantisation_is_planned_with_its_file(store: Store, tmp_path: Path) -> None:
    from linnet.stages.convert import Options, convert

    found = plan(store, str(stories()), "quantize", PlanOptions(kind="Q8_0"))
    made = convert(store, str(stories()), "Q8_0", Options(out=str(tmp_path / "s.gguf")))
    assert found.disk_bytes == made.quantized.size_bytes == (tmp_path / "s.gguf").stat().st_size
    assert found.seconds > 0
    again = plan(store, str(stories()), "quantize", PlanOptions(kind="Q8_0"))
    assert again.past_errors["quantize-seconds"] is not None
    assert any(reason.startswith("time times") for reason in again.reasons)


def test_what_an_answer_took_corrects_the_next_plan(store: Store) -> None:
    load = plan_load(stories(), LoadOptions(context=512, slots=1), label="stories")
    before = plan(store, str(stories()), "run", PlanOptions(context=512))
    timings = Timings(queued_ms=0, first_token_ms=10, total_ms=1010, prompt_ms=10, decode_ms=1000)
    answer = Generation(
        text="", finish_reason="length", prompt_tokens=512, cached_tokens=0, completion_tokens=100,
        timings=timings, seed=1,
    )  # fmt: skip
    remember(store, load, answer, 50 << 20)
    after = plan(store, str(stories()), "run", PlanOptions(context=512))
    assert after.decode == pytest.approx(100)  # what it really was
    assert after.decode != pytest.approx(before.decode)
    assert after.past_errors["run-decode"] == pytest.approx(abs(before.decode - 100) / 100)
    assert after.memory_bytes == before.memory_bytes
    short = Generation(
        text="", finish_reason="stop", prompt_tokens=3, cached_tokens=0, completion_tokens=2,
        timings=timings, seed=1,
    )  # fmt: skip
    remember(store, load, short, 0)
    assert len(history.outcomes(store, "run-decode")) == 1


def test_a_training_is_planned_by_its_forecast(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.tiny_decoder import tiny_decoder

    folder = str(tiny_decoder(tmp_path / "hf"))
    few = plan(store, folder, "tune", PlanOptions(rows=100, row_tokens=64))
    many = plan(store, folder, "tune", PlanOptions(rows=1000, row_tokens=64, method="lora"))
    assert few.seconds > 0
    assert few.disk_bytes > many.disk_bytes  # an adapter's checkpoints are small
    assert any(reason.startswith("method lora") for reason in many.reasons)
    history.append(store, "forecast-tune-memory", "a run", 1.0, 2.0)
    assert plan(store, folder, "tune", PlanOptions(rows=100, row_tokens=64)).memory_bytes == 2 * few.memory_bytes


def test_what_cannot_be_planned_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="no use"):
        plan(store, str(stories()), "fly")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="safetensors folder"):
        plan(store, str(stories()), "tune")
