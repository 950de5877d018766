"""What the engine promises, many times over: same text, whole characters, nothing left, adapters, speculation, swap.

A share in a test run, all of it with LINNET_NIGHTLY=1.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from linnet.core.errors import InputError, ModelFileError
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.llama_body import completion_body
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.llama.pool import EnginePool
from linnet.engines.llama.pool_entries import Source
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Piece, Sampling
from tests.engines.made_llama import STORIES, make_gguf, make_lora, needs_stories
from tests.engines.workers import fake_engine, stories_plan

pytestmark = needs_stories
NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"
SEED = int(os.environ.get("LINNET_SEED", "5"))
ANY = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    found = LlamaEngine(stories_plan(slots=2))
    yield found
    found.close()


def run(engine: LlamaEngine, **request: Any) -> Generation:
    last = list(engine.generate(GenerateRequest(**{"sampling": GREEDY, **request})))[-1]
    assert isinstance(last, Generation)
    return last


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=42, **ANY)], ids=["greedy", "seeded"])
def test_the_same_request_gives_the_same_text_every_time(engine: LlamaEngine, sampling: Sampling) -> None:
    texts = set()
    for number in range(100 if NIGHTLY else 10):
        run(engine, prompt=f"Another text, number {number}", max_tokens=2)  # so that the cache differs
        texts.add(run(engine, prompt="Once upon a time", sampling=sampling, max_tokens=24).text)
    assert len(texts) == 1


def test_pieces_add_up_to_the_text_also_of_invalid_bytes(tmp_path: Path) -> None:
    """Half of this vocabulary is single bytes, and random weights put them in any order.

    At its end the engine's stream holds back what may become a character; its whole answer has it as U+FFFD. Ours
    ends before it, streamed or not: at most the three bytes of a character that is not whole.
    """
    path = make_gguf(tmp_path / "bytes.gguf", layers=1)
    engine = LlamaEngine(plan_load(path, LoadOptions(context=512, slots=1, threads=1)))
    tokens, cut, invalid, seed = 0, 0, 0, SEED
    while tokens < (10_000 if NIGHTLY else 1_200):
        seed += 1
        request = GenerateRequest(prompt="a", sampling=Sampling(seed=seed, **ANY), max_tokens=seed % 96 + 1)
        found = list(engine.generate(request))
        last, pieces = found[-1], [piece for piece in found if isinstance(piece, Piece)]
        assert isinstance(last, Generation)
        assert "".join(piece.text for piece in pieces) == last.text, seed
        body = completion_body(request, engine.prompt_ids(request), 400, seed, {}) | {"stream": False}
        whole = engine._text("/completion", body, "content")
        assert whole.startswith(last.text), seed
        assert len(whole[len(last.text) :].encode("utf-8", "replace").replace(b"\xef\xbf\xbd", b"?")) <= 3, seed
        tokens, cut = tokens + last.completion_tokens, cut + (whole != last.text)
        invalid += last.text.count("\ufffd")
    engine.close()
    assert invalid > tokens / 10
    print(f"{tokens} tokens from seed {SEED}: {invalid} invalid characters, {cut} answers cut inside one")


def test_two_hundred_disconnects_leave_nothing() -> None:
    engine = fake_engine("endless")

    def leave(times: int) -> None:
        for _ in range(times):
            answer = engine.generate(GenerateRequest(prompt="hello", max_tokens=1000))
            next(answer)
            answer.close()  # type: ignore[attr-defined]

    leave(20)
    here = psutil.Process()
    memory, files, threads = here.memory_info().rss, here.num_fds(), threading.active_count()
    leave(200)
    assert engine.busy_slots == 0
    assert threading.active_count() == threads
    assert here.num_fds() == files
    assert here.memory_info().rss - memory < 5 << 20
    engine.close()


def test_disconnects_from_the_real_engine_free_its_slots_and_memory(engine: LlamaEngine) -> None:
    def leave(times: int) -> None:
        for _ in range(times):
            answer = engine.generate(GenerateRequest(prompt="Once", max_tokens=400))
            next(answer)
            answer.close()  # type: ignore[attr-defined]

    leave(20)
    worker = engine.keeper.running
    assert worker is not None
    there = psutil.Process(worker.pid)
    run(engine, prompt="Once", max_tokens=1)
    memory, threads = there.memory_info().rss, there.num_threads()
    leave(200 if NIGHTLY else 60)
    assert engine.busy_slots == 0
    assert run(engine, prompt="Once", max_tokens=1).completion_tokens == 1
    assert there.memory_info().rss - memory < 5 << 20
    assert there.num_threads() <= threads + 2


def test_an_adapter_acts_at_scale_one_and_not_at_zero(
    engine: LlamaEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lora(tmp_path / "lora.gguf")
    monkeypatch.chdir(tmp_path)
    # A relative path: the worker itself is in another folder.
    options = LoadOptions(context=512, slots=1, threads=1, adapters=(("odd", Path("lora.gguf")),))
    adapted = open_llama(STORIES, options)
    plain = run(engine, prompt="Once", max_tokens=30).text
    scaled = [run(adapted, prompt="Once", max_tokens=30, adapters=(("odd", scale),)).text for scale in (1.0, 0.0, 1.0)]
    assert run(adapted, prompt="Once", max_tokens=30).text == plain
    with pytest.raises(InputError, match="'even' is not loaded"):
        run(adapted, prompt="Once", adapters=(("even", 1.0),))
    adapted.close()
    assert scaled[0] == scaled[2] != plain
    assert scaled[1] == plain


def test_30_an_adapter_of_another_architecture_or_shape_is_refused(tmp_path: Path) -> None:
    other = make_lora(tmp_path / "other.gguf", architecture="qwen3")
    with pytest.raises(ModelFileError, match=r"general.architecture.*need 'llama'.*'qwen3'"):
        open_llama(STORIES, LoadOptions(adapters=(("x", other),)))
    wide = make_lora(tmp_path / "wide.gguf", width=128)
    with pytest.raises(ModelFileError, match=r"does not fit blk.0.attn_q.weight"):
        open_llama(STORIES, LoadOptions(adapters=(("x", wide),)))


@pytest.mark.parametrize("kind", ["ngram", "draft"])
def test_speculation_changes_no_greedy_answer(
    engine: LlamaEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    draft = Path(shutil.copy(STORIES, tmp_path / "draft.gguf"))
    monkeypatch.chdir(tmp_path)
    more = {"draft_model": Path(draft.name), "draft_tokens": 4} if kind == "draft" else {}
    guessing = LlamaEngine(stories_plan(speculation=kind, **more))
    accepted = 0
    for prompt in ("Once upon a time", "the cat and the cat and the cat and the cat and", "Lily")[
        : 3 if NIGHTLY else 2
    ]:
        expected, found = (run(one, prompt=prompt, max_tokens=120) for one in (engine, guessing))
        assert (found.text, found.completion_tokens) == (expected.text, expected.completion_tokens)
        accepted += found.timings.draft_accepted
    guessing.close()
    assert accepted > 0


def test_a_quantised_cache_is_smaller_and_answers(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "heads.gguf", width=256, heads=4)
    plans = [plan_load(path, LoadOptions(context=512, slots=1, threads=1, cache_type=k)) for k in ("f16", "q8_0")]
    assert plans[1].cache_bytes < 0.54 * plans[0].cache_bytes
    engine = LlamaEngine(plans[1])
    assert run(engine, prompt="Once", max_tokens=4).completion_tokens >= 1
    engine.close()


def test_a_cache_type_that_the_heads_do_not_allow_is_refused_before_the_load() -> None:
    with pytest.raises(InputError, match="multiple of 32 numbers, this model's have 8"):
        stories_plan(cache_type="q8_0")


def test_a_new_version_under_load_fails_no_request(tmp_path: Path) -> None:
    files = [Path(shutil.copy(STORIES, tmp_path / f"stories-{number}.gguf")) for number in (1, 2)]
    now, stop = [0], threading.Event()

    def resolve(name: str) -> Source:
        path = files[now[0]]
        options = LoadOptions(context=256, slots=2, threads=1)
        return Source(path.name, lambda free: LlamaEngine(plan_load(path, options, free_bytes=free)))

    pool = EnginePool(1 << 30, resolve)
    answers: list[tuple[str, str]] = []
    failures: list[BaseException] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                with pool.lease("stories") as lease:
                    assert isinstance(lease.engine, LlamaEngine)
                    answers.append((lease.engine.plan.path.name, run(lease.engine, prompt="Once", max_tokens=6).text))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (0, 1, 0, 1) if NIGHTLY else (0, 1):
        now[0] = version
        deadline = time.monotonic() + 60
        seen = len(answers)
        while files[version].name not in {name for name, _ in answers[seen:]} and time.monotonic() < deadline:
            time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {name for name, _ in answers} == {path.name for path in files}
    assert len({text for _, text in answers}) == 1
    pool.close()
    assert pool.ps() == []
