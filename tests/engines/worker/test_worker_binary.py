"""The flags of a llama-server mean what the wheel's parameters mean, as llama.cpp's own reader of flags reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.engines.llama.load_plan import worker_options
from linnet.engines.worker import worker_main
from linnet.engines.worker.worker_main import binary_arguments, xllamacpp_params
from tests.engines.made_llama import STORIES, make_lora, needs_stories
from tests.engines.made_server import parse
from tests.engines.workers import stories_plan

pytestmark = needs_stories
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
SAME = (
    *("hostnames", "api_keys", "n_ctx", "n_parallel", "n_batch", "n_ubatch", "n_threads_http", "load_mode"),
    *("cache_type_k", "cache_type_v", "n_gpu_layers", "cache_ram_mib", "n_ctx_checkpoints", "fit_params"),
    *("ctx_shift", "kv_unified", "warmup", "use_jinja", "chat_template", "embedding", "pooling_type", "ui"),
    *("endpoint_slots", "endpoint_props", "endpoint_metrics", "cors_origins", "offline", "verbosity"),
    *("lora_init_without_apply", "flash_attn_type", "n_predict", "cont_batching", "cache_idle_slots"),
    *("rope_freq_base", "no_kv_offload", "check_tensors", "reasoning_format", "n_cache_reuse", "cache_prompt"),
)


def load(folder: Path, **options: Any) -> dict[str, Any]:
    plan = stories_plan(**options)
    chosen = {**worker_options(plan), "map_weights": options.get("context") != 256}
    return {"model": str(STORIES), "socket": str(folder / "engine.sock"), "key": "k" * 48, "options": chosen}


def flat(value: Any) -> Any:
    return int(value) if hasattr(value, "__int__") and not isinstance(value, bool) else value


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several slots, not mapped": {"context": 256, "slots": 3, "batch": 32, "prompt_cache_mib": 7, "checkpoints": 2},
    "a small cache": {"cache_type": "f32"},
    "embedding": {"embedding": True, "pooling": "last"},
    "flash": {"attention": "flash"},
    "plain attention": {"attention": "plain"},
    "ngram": {"speculation": "ngram", "draft_tokens": 9},
    "draft": {"speculation": "draft", "draft_model": STORIES, "draft_tokens": 5},
    "own template": {"template": TEMPLATE},
    "named template": {"template": "builtin:chatml"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_flag_for_every_option(tmp_path: Path, name: str) -> None:
    asked = load(tmp_path, **OPTIONS[name])
    worker_main.write_private(tmp_path / worker_main.KEY_FILE, asked["key"] + "\n")
    flags, wheel = parse(binary_arguments(asked, tmp_path)), xllamacpp_params(asked)
    known = [field for field in SAME if hasattr(wheel, field)]
    assert len(known) > 25
    assert {f: flat(getattr(flags, f)) for f in known} == {f: flat(getattr(wheel, f)) for f in known}
    assert flags.model.path == wheel.model.path
    assert flags.cpuparams.n_threads == wheel.cpuparams.n_threads
    ours, theirs = flags.speculative, wheel.speculative
    kinds = [kind for kind in ours.types if kind.name != "COMMON_SPECULATIVE_TYPE_NONE"]
    assert kinds == [kind for kind in theirs.types if kind.name != "COMMON_SPECULATIVE_TYPE_NONE"]
    assert (ours.draft.n_max, ours.draft.mparams.path) == (theirs.draft.n_max, theirs.draft.mparams.path)
    assert (ours.ngram_map_k.size_n, ours.ngram_map_k.size_m) == (theirs.ngram_map_k.size_n, theirs.ngram_map_k.size_m)


def test_adapters(tmp_path: Path) -> None:
    paths = [make_lora(tmp_path / f"{name}.gguf") for name in "ab"]
    asked = load(tmp_path, adapters=tuple((path.stem, path) for path in paths))
    worker_main.write_private(tmp_path / worker_main.KEY_FILE, asked["key"] + "\n")
    flags = parse(binary_arguments(asked, tmp_path))
    assert [one.path for one in flags.lora_adapters] == [str(path) for path in paths]
    assert flags.lora_init_without_apply


def test_a_template_and_the_key_are_in_no_command_line(tmp_path: Path) -> None:
    asked = load(tmp_path, template=TEMPLATE)
    worker_main.write_private(tmp_path / worker_main.KEY_FILE, asked["key"] + "\n")
    line = " ".join(binary_arguments(asked, tmp_path))
    assert TEMPLATE not in line
    assert asked["key"] not in line
    for name in (worker_main.KEY_FILE, worker_main.TEMPLATE_FILE):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        worker_main.write_private(tmp_path / worker_main.KEY_FILE, "again")
