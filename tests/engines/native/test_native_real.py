"""The real llama.cpp: built from its sources (nightly, an hour of compiling), and a llama-server that is there already.

LINNET_NIGHTLY=1 and LINNET_ENGINE_SOURCE=<the archive of the xllamacpp sources> for the first;
LINNET_PEERS=<a folder with bin/llama-server of the same version> for the second.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from linnet.core.store import Store
from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.native.choice import choose_engine
from linnet.engines.native.engine_status import engine_status
from linnet.engines.native.native_build import TARGETS, BuildOptions, build_engine
from linnet.engines.native.native_selftest import run_selftest
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Piece
from linnet.engines.scoring import llama_c
from tests.engines.made_llama import STORIES, make_lora, needs_stories
from tests.engines.native_project import no_fetch
from tests.engines.workers import stories_plan

SOURCE = os.environ.get("LINNET_ENGINE_SOURCE", "")
SERVER = Path(os.environ.get("LINNET_PEERS", "/nowhere")) / "bin" / "llama-server"
NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"


@needs_stories
@pytest.mark.slow
@pytest.mark.skipif(not NIGHTLY or not SOURCE, reason="LINNET_NIGHTLY=1 and LINNET_ENGINE_SOURCE are not set")
def test_llama_cpp_is_built_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LINNET_ENGINE", raising=False)
    work = os.environ.get("LINNET_ENGINE_WORK")
    record, folder, _ = build_engine(
        Store(), BuildOptions(source=Path(SOURCE)), no_fetch, print, work_folder=Path(work) if work else None
    )
    assert {*TARGETS, "libllama.so"} <= {path.name for path in (folder / "bin").iterdir()}
    assert record.is_pinned
    assert record.llama_version == llama_c.LLAMA_VERSION
    chosen = choose_engine()
    assert chosen.kind == "native", chosen.why
    llama_c.library.cache_clear()
    try:
        assert llama_c.library().path == folder / "bin" / "libllama.so"
    finally:
        llama_c.library.cache_clear()
    status = engine_status()
    assert (status.engine, status.scoring_engine, status.unused) == ("native", "native build", [])


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several slots": {"slots": 3, "batch": 32, "prompt_cache_mib": 7},
    "an f32 cache": {"cache_type": "f32"},
    "ngram": {"speculation": "ngram"},
    "draft": {"speculation": "draft", "draft_model": STORIES},
    "named template": {"template": "builtin:chatml"},
    "own template": {"template": "{% for m in messages %}{{ m['content'] }}{% endfor %}"},
}


def answer(**options: Any) -> str:
    engine = LlamaEngine(stories_plan(**options))
    try:
        request = GenerateRequest(prompt="Once upon a time", sampling=GREEDY, max_tokens=40)
        return "".join(piece.text for piece in engine.generate(request) if isinstance(piece, Piece))
    finally:
        engine.close()


@needs_stories
@pytest.mark.skipif(not SERVER.is_file(), reason="LINNET_PEERS names no folder with bin/llama-server")
@pytest.mark.parametrize("name", OPTIONS)
def test_a_real_llama_server_answers_as_the_wheel(name: str) -> None:
    options = OPTIONS[name]
    assert answer(engine=str(SERVER), **options) == answer(engine="xllamacpp", **options)


@needs_stories
@pytest.mark.skipif(not SERVER.is_file(), reason="LINNET_PEERS names no folder with bin/llama-server")
def test_a_real_llama_server_takes_adapters_embeds_and_passes(tmp_path: Path) -> None:
    adapters = (("a", make_lora(tmp_path / "a.gguf")),)
    assert answer(engine=str(SERVER), adapters=adapters) == answer(engine="xllamacpp", adapters=adapters)
    vectors = []
    for name in (str(SERVER), "xllamacpp"):
        engine = LlamaEngine(stories_plan(engine=name, embedding=True))
        vectors.append(engine.embed(["a small dog"])[0])
        engine.close()
    assert float(vectors[0] @ vectors[1]) == pytest.approx(1.0, abs=1e-4)
    assert run_selftest(SERVER, None).server == ""
