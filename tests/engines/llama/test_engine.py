"""The llama engine with a real model: its known text, determinism, limits, whole characters, cancelling, restarts."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linnet.core.errors import ContextExceeded, EngineError, InputError, ModelFileError, ResourceMissing
from linnet.engines.llama.engine import LlamaEngine, open_llama
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.requests.generation import GREEDY, Cancel, GenerateRequest, Generation, Message, Piece, Sampling
from tests.engines.made_llama import SHARED, STORIES, make_gguf, needs_stories
from tests.engines.workers import stories_plan

pytestmark = needs_stories


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    found = LlamaEngine(stories_plan(slots=2))
    yield found
    found.close()


def run(engine: LlamaEngine, request: GenerateRequest, cancel: Cancel | None = None) -> tuple[list[Piece], Generation]:
    *pieces, last = engine.generate(request, cancel)
    assert isinstance(last, Generation)
    assert all(isinstance(piece, Piece) for piece in pieces)
    return [piece for piece in pieces if isinstance(piece, Piece)], last


def test_the_known_greedy_text(engine: LlamaEngine) -> None:
    expected = json.loads((SHARED / "expected_outputs.json").read_text())
    request = GenerateRequest(prompt="", sampling=GREEDY, max_tokens=expected["steps"])
    pieces, last = run(engine, request)
    assert last.text.strip() == expected["greedy_temp0"].strip()
    assert "".join(piece.text for piece in pieces) == last.text
    assert last.finish_reason == "length"
    assert last.completion_tokens == sum(len(piece.token_ids) for piece in pieces) == expected["steps"]
    assert last.prompt_tokens == 1
    assert engine.detokenize([t for p in pieces for t in p.token_ids]).strip() == last.text.strip()


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=42)])
def test_the_same_seed_gives_the_same_text(engine: LlamaEngine, sampling: Sampling) -> None:
    request = GenerateRequest(prompt="Once upon a time", sampling=sampling, max_tokens=24)
    assert len({run(engine, request)[1].text for _ in range(20)}) == 1


def test_a_seed_that_was_drawn_is_reported_and_repeats(engine: LlamaEngine) -> None:
    first = run(engine, GenerateRequest(prompt="Lily", sampling=Sampling(temperature=1.5), max_tokens=24))[1]
    again = Sampling(temperature=1.5, seed=first.seed)
    assert run(engine, GenerateRequest(prompt="Lily", sampling=again, max_tokens=24))[1].text == first.text


def test_22_a_prompt_beyond_the_context_is_refused_with_both_numbers(engine: LlamaEngine) -> None:
    run(engine, GenerateRequest(token_ids=(1, *[403] * 510), max_tokens=5))
    for length in (512, 513, 100_000):
        with pytest.raises(ContextExceeded) as caught:
            engine.generate(GenerateRequest(token_ids=(1, *[403] * (length - 1))))
        assert (caught.value.prompt_tokens, caught.value.limit) == (length, 512)
        assert str(length) in caught.value.message


def test_22_ten_megabytes_of_text_are_refused_with_both_numbers(engine: LlamaEngine) -> None:
    with pytest.raises(ContextExceeded) as caught:
        engine.generate(GenerateRequest(prompt="once upon " * 1_000_000))
    assert caught.value.prompt_tokens > caught.value.limit == 512
    assert "at least" in caught.value.message


def test_an_answer_ends_where_the_context_does(engine: LlamaEngine) -> None:
    last = run(engine, GenerateRequest(token_ids=(1, *[403] * 499), sampling=GREEDY))[1]
    assert last.finish_reason in ("length", "stop")
    assert last.prompt_tokens + last.completion_tokens <= 512


def test_a_stop_text_ends_the_answer_and_is_left_out(engine: LlamaEngine) -> None:
    request = GenerateRequest(prompt="Once", sampling=GREEDY, max_tokens=60, stop=("there was",))
    pieces, last = run(engine, request)
    assert last.finish_reason == "stop"
    assert last.text.strip() == "upon a time,"
    assert "".join(piece.text for piece in pieces) == last.text


def test_a_stop_text_that_never_completes_loses_nothing(engine: LlamaEngine) -> None:
    plain = run(engine, GenerateRequest(prompt="Once", sampling=GREEDY, max_tokens=5))[1]
    with_stop = GenerateRequest(prompt="Once", sampling=GREEDY, max_tokens=5, stop=(plain.text[-4:] + "zzz",))
    assert run(engine, with_stop)[1].text == plain.text


def test_pieces_are_whole_characters(engine: LlamaEngine) -> None:
    """Every byte of these is a token of its own in this vocabulary; a grammar makes the model write them."""
    draw = random.Random(5)
    alphabet = "aé🦙漢字ñ🏴\u200d☠\u0301ß€𝄞"
    for _ in range(12):
        text = "".join(draw.choice(alphabet) for _ in range(draw.randint(1, 8)))
        grammar = f'root ::= "{text}"'
        pieces, last = run(engine, GenerateRequest(prompt="a", sampling=GREEDY, grammar=grammar, max_tokens=80))
        assert last.text == text
        assert "".join(piece.text for piece in pieces) == text
        assert "\ufffd" not in last.text
        # All tokens count, also those inside a character; the end of text is one.
        assert last.completion_tokens >= len(engine.tokenize(text)) - 1


def test_log_probabilities_come_with_alternatives(engine: LlamaEngine) -> None:
    pieces, _ = run(engine, GenerateRequest(prompt="Once", sampling=GREEDY, max_tokens=4, top_logprobs=3))
    for piece in pieces:
        for token in piece.logprobs:
            assert token.logprob <= 0
            assert len(token.top) == 3
            assert token.top[0].logprob == max(one.logprob for one in token.top)


def test_a_schema_constrains_the_answer(engine: LlamaEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    request = GenerateRequest(prompt="a", json_schema={**schema, "additionalProperties": False}, max_tokens=200)
    last = run(engine, request)[1]
    assert json.loads(last.text)["a"] in ("x", "y")


def test_a_schema_beyond_the_limits_never_reaches_the_engine(engine: LlamaEngine) -> None:
    with pytest.raises(InputError, match="enum values"):
        engine.generate(GenerateRequest(prompt="a", json_schema={"enum": list(range(1001))}))
    with pytest.raises(InputError, match="left recursive"):
        engine.generate(GenerateRequest(prompt="a", grammar='root ::= root "a"'))


def test_an_adapter_that_is_not_loaded_is_named(engine: LlamaEngine) -> None:
    with pytest.raises(InputError, match="'nobody' is not loaded"):
        engine.generate(GenerateRequest(prompt="a", adapters=(("nobody", 1.0),)))


def test_a_shared_prefix_is_not_computed_again(engine: LlamaEngine) -> None:
    prefix = (1, *range(300, 400))
    run(engine, GenerateRequest(token_ids=(*prefix, 403), max_tokens=1))
    last = run(engine, GenerateRequest(token_ids=(*prefix, 407, 261), max_tokens=1))[1]
    assert last.cached_tokens >= 100


def test_speculation_changes_no_greedy_text(engine: LlamaEngine) -> None:
    # Half of what the model says by itself, twice: it goes on as it did the first time.
    said = run(engine, GenerateRequest(prompt="", sampling=GREEDY, max_tokens=80))[1].text
    request = GenerateRequest(prompt=said + said[:40], sampling=GREEDY, max_tokens=60)
    plain = run(engine, request)[1]
    guessing = LlamaEngine(stories_plan(speculation="ngram"))
    fast = run(guessing, request)[1]
    guessing.close()
    assert fast.text == plain.text
    assert fast.timings.draft_tokens > 0
    assert plain.timings.draft_tokens == 0


def test_embeddings_are_unit_vectors() -> None:
    engine = LlamaEngine(stories_plan(embedding=True, context=256))
    vectors = engine.embed(["Once upon a time", "Once upon a time", "a red ball"])
    engine.close()
    assert vectors.shape == (3, 64)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[1], atol=1e-4)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-3)


def test_embedding_needs_its_own_way_of_loading(engine: LlamaEngine) -> None:
    with pytest.raises(EngineError, match="not loaded for embeddings"):
        engine.embed(["a"])


def test_closing_the_iterator_frees_the_slot(engine: LlamaEngine) -> None:
    for _ in range(20):
        answer = engine.generate(GenerateRequest(prompt="Once", max_tokens=400))
        next(answer)
        answer.close()  # type: ignore[attr-defined]
    assert engine.busy_slots == 0
    assert run(engine, GenerateRequest(prompt="Once", max_tokens=1))[1].completion_tokens == 1


def test_cancelling_ends_an_answer_in_decode(engine: LlamaEngine) -> None:
    cancel = Cancel()
    answer = engine.generate(GenerateRequest(prompt="Once", max_tokens=400), cancel)
    next(answer)
    cancel.cancel()
    last = list(answer)[-1]
    assert isinstance(last, Generation)
    assert last.finish_reason == "cancelled"
    assert engine.busy_slots == 0


def test_cancelling_wakes_a_thread_that_waits_for_a_long_prompt(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "slow.gguf", width=512, layers=6, heads=8, kv_heads=4, kind="F16", context=4096)
    engine = LlamaEngine(plan_load(path, LoadOptions(context=4096, slots=1, threads=1, batch=64)))
    engine.start()
    cancel, found = Cancel(), []
    request = GenerateRequest(token_ids=(1, *[403, 407] * 1500), max_tokens=5)
    thread = threading.Thread(target=lambda: found.extend(engine.generate(request, cancel)))
    thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    cancel.cancel()
    thread.join(10)
    returned = time.monotonic() - started
    run(engine, GenerateRequest(token_ids=(1,), max_tokens=1))
    freed = time.monotonic() - started
    engine.close()
    (last,) = found
    assert last.finish_reason == "cancelled"
    assert engine.busy_slots == 0
    print(f"cancelled in prompt: returned after {returned:.3f} s, slot free after {freed:.3f} s")


def test_a_request_that_waits_for_a_slot_can_be_cancelled() -> None:
    engine = LlamaEngine(stories_plan())
    holding = engine.generate(GenerateRequest(prompt="Once", max_tokens=400))
    next(holding)
    cancel = Cancel()
    threading.Timer(0.1, cancel.cancel).start()
    (last,) = engine.generate(GenerateRequest(prompt="Lily", max_tokens=5), cancel)
    assert isinstance(last, Generation)
    assert last.finish_reason == "cancelled"
    engine.close()


def test_a_killed_worker_fails_the_request_within_a_second_and_comes_back() -> None:
    engine = LlamaEngine(stories_plan(context=512))
    answer = engine.generate(GenerateRequest(prompt="Once", sampling=GREEDY, max_tokens=400))
    next(answer)
    worker = engine.keeper.running
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(EngineError, match="SIGKILL"):
        list(answer)
    assert time.monotonic() - started < 1.5
    assert run(engine, GenerateRequest(prompt="Once", max_tokens=2))[1].completion_tokens == 2
    assert engine.keeper.starts == 2
    engine.close()


def test_28_a_truncated_file_never_reaches_native_code(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(STORIES.read_bytes()[:500_000])
    with pytest.raises(ModelFileError, match="bytes"):
        open_llama(cut)


def test_29_a_hostile_template_never_reaches_native_code(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "bad.gguf", chat="{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}")
    with pytest.raises(ModelFileError, match="template"):
        open_llama(path)
    with pytest.raises(InputError, match="template"):
        open_llama(path, LoadOptions(template="{{ " + "(" * 20_000))
    engine = open_llama(path, LoadOptions(template="builtin:chatml", context=256, threads=1))
    assert "<|im_start|>" in engine.apply_template([Message("user", "hi")])
    engine.close()


def test_30_an_adapter_is_checked_against_its_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        open_llama(STORIES, LoadOptions(adapters=(("x", STORIES),)))


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded() -> None:
    with pytest.raises(ResourceMissing, match="MiB may be used"):
        open_llama(STORIES, LoadOptions(context=512), free_bytes=1 << 20)


def test_no_prompt_is_in_the_log(engine: LlamaEngine) -> None:
    run(engine, GenerateRequest(prompt="xyzzyplugh Once", max_tokens=3))
    with pytest.raises(InputError):
        list(engine.generate(GenerateRequest(prompt="xyzzyplugh", token_ids=None, adapters=(("xyzzy", 1.0),))))
    worker = engine.keeper.running
    assert worker is not None
    assert not any("xyzzy" in line for line in worker._log)
