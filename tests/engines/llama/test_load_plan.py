"""Memory before a load: near what the worker really takes, and a refusal that says what would fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from linnet.core.errors import InputError, ResourceMissing
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import MIB, LoadOptions, plan_load, usable_bytes
from linnet.engines.requests.generation import GREEDY, GenerateRequest
from tests.engines.made_llama import STORIES, make_gguf, needs_stories

pytestmark = needs_stories


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "model.gguf"
    return make_gguf(path, width=512, layers=8, heads=8, kv_heads=4, kind="F16", context=8192)


@pytest.mark.parametrize(
    "options",
    [
        {"context": 1024, "slots": 1},
        {"context": 4096, "slots": 4},
        {"context": 4096, "slots": 4, "cache_type": "q8_0"},
    ],
)
def test_the_plan_is_near_what_the_worker_takes(model: Path, options: dict[str, int]) -> None:
    plan = plan_load(model, LoadOptions(threads=1, batch=64, **options))  # type: ignore[arg-type]
    engine = LlamaEngine(plan)
    list(engine.generate(GenerateRequest(token_ids=(1, *[403] * 100), max_tokens=1)))
    worker = engine.keeper.running
    assert worker is not None
    measured = psutil.Process(worker.pid).memory_info().rss
    engine.close()
    print(f"{options}: planned {plan.total_bytes / MIB:.0f} MiB, measured {measured / MIB:.0f} MiB")
    assert 0.9 * measured < plan.total_bytes < 1.15 * measured


def test_a_draft_is_in_the_plan_with_its_cache(model: Path, tmp_path: Path) -> None:
    draft = make_gguf(tmp_path / "draft.gguf", width=256, layers=8, heads=4, kv_heads=4, kind="F16", context=8192)
    alone = plan_load(model, LoadOptions(context=4096, slots=1, threads=1, batch=64))
    options = LoadOptions(
        context=4096, slots=1, threads=1, batch=64, speculation="draft", draft_model=draft, cache_type="f16"
    )
    plan = plan_load(model, options)
    assert plan.cache_bytes == alone.cache_bytes + 4096 * 8 * 2 * 256 * 2
    engine = LlamaEngine(plan)
    list(engine.generate(GenerateRequest(token_ids=(1, *[403] * 100), max_tokens=2)))
    worker = engine.keeper.running
    assert worker is not None
    measured = psutil.Process(worker.pid).memory_info().rss
    engine.close()
    print(f"planned {plan.total_bytes / MIB:.0f} MiB, measured {measured / MIB:.0f} MiB")
    assert 0.85 * measured < plan.total_bytes < 1.2 * measured


def test_repacked_weights_are_in_memory_once(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "q4.gguf", width=512, layers=3, heads=8, kv_heads=4, kind="Q4_0")
    plan = plan_load(path, LoadOptions(context=256, slots=1, threads=1))
    assert not plan.map_weights
    engine = LlamaEngine(plan)
    engine.start()
    assert engine.measured_bytes < 1.15 * plan.total_bytes
    engine.close()


def test_what_was_left_open_is_chosen_with_a_reason(model: Path) -> None:
    plan = plan_load(model, LoadOptions())
    assert (plan.options.context, plan.options.slots) == (4096, 2)
    assert any(reason.startswith("context 4096") for reason in plan.reasons)
    assert any(reason.startswith("slots 2") for reason in plan.reasons)


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"context": 2048}, "plain"),
        ({"context": 512}, "auto"),
        ({"context": 2048, "attention": "flash"}, "flash"),
        ({"context": 2048, "cache_type": "q8_0"}, "auto"),  # whose values only flash attention reads
        ({"context": 2048, "gpu_layers": 2}, "auto"),
        ({"context": 2048, "embedding": True}, "auto"),
    ],
)
def test_attention_is_plain_where_that_is_faster(
    model: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], chosen: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    plan = plan_load(model, LoadOptions(**options))
    assert plan.options.attention == chosen
    assert any("attention plain" in reason for reason in plan.reasons) == (chosen == "plain")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert plan_load(model, LoadOptions(**options)).options.attention == chosen.replace("plain", "auto")


@needs_stories
def test_plain_and_flash_attention_say_the_same() -> None:
    said = []
    for attention in ("plain", "flash"):
        engine = LlamaEngine(plan_load(STORIES, LoadOptions(context=256, slots=1, attention=attention)))
        try:
            *_, end = engine.generate(GenerateRequest(prompt="Once upon a time", sampling=GREEDY, max_tokens=40))
            said.append(end.text)
        finally:
            engine.close()
    assert said[0] == said[1] != ""


def test_a_context_nobody_asked_for_shrinks_to_fit(model: Path) -> None:
    whole = plan_load(model, LoadOptions())
    plan = plan_load(model, LoadOptions(), free_bytes=whole.total_bytes - 8 * MIB)
    assert plan.options.context == 2048
    assert "what fits in" in plan.reasons[-1]


@pytest.mark.parametrize(
    ("options", "short_by", "offer"),
    [
        ({"context": 4096, "slots": 4}, 20 * MIB, "3 slots instead of 4"),
        ({"context": 4096, "slots": 4}, 20 * MIB, "context of 2048 instead of 4096"),
        ({"context": 4096, "slots": 4}, 20 * MIB, "q8_0 cache"),
    ],
)
def test_a_refusal_says_what_would_fit(model: Path, options: dict[str, int], short_by: int, offer: str) -> None:
    need = plan_load(model, LoadOptions(**options)).total_bytes  # type: ignore[arg-type]
    with pytest.raises(ResourceMissing) as caught:
        plan_load(model, LoadOptions(**options), free_bytes=need - short_by)  # type: ignore[arg-type]
    assert offer in caught.value.hint
    assert f"needs {need / MIB:.0f} MiB" in caught.value.message


def test_a_refusal_names_a_quantisation(model: Path) -> None:
    with pytest.raises(ResourceMissing) as caught:
        plan_load(model, LoadOptions(context=256, slots=1), free_bytes=80 * MIB)
    assert "bits a weight" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [("context", 1 << 31), ("slots", 65), ("batch", 9000), ("cache_type", "q2"), ("context", -1), ("slots", True)],
)
def test_27_options_have_limits(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        LoadOptions(**{field: value})  # type: ignore[arg-type]


def test_a_draft_model_and_its_option_belong_together() -> None:
    with pytest.raises(InputError, match="draft"):
        LoadOptions(speculation="draft")
    with pytest.raises(InputError, match="draft"):
        LoadOptions(draft_model=STORIES)


def test_some_memory_stays_free() -> None:
    assert 0 < usable_bytes() < psutil.virtual_memory().total
