"""The self-test's model is a good file, its answer is far from a tie, and a wrong or dead binary is told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.engines.llama.engine import LlamaEngine
from linnet.engines.llama.load_plan import LoadOptions, plan_load
from linnet.engines.native import selftest_model as made
from linnet.engines.native.native_selftest import ANSWER_TOKENS, PROMPT, run_selftest
from linnet.engines.native.selftest_model import FIRST_WORD, small_model
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Piece
from linnet.formats.model_check import check_model


def test_the_model_passes_our_own_check(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(small_model())
    report = check_model(path)
    assert report.format == "gguf"
    assert small_model() == path.read_bytes()


@pytest.mark.parametrize("kind", [made.F16, made.Q8_0, made.Q4_K, made.Q6_K])
def test_the_weights_of_each_type_have_the_size_they_should(kind: int) -> None:
    import gguf

    name = gguf.GGMLQuantizationType(kind)
    raw = np.frombuffer(made._blocks(kind, 64, np.random.default_rng(0)), np.uint8).reshape(64, -1)
    shaped = raw.view(np.float16) if kind == made.F16 else raw
    weights = gguf.dequantize(shaped, name)
    assert weights.shape == (64, made.WIDTH)
    assert 1 / 20 < weights.std() < 1 / 10
    assert abs(weights.mean()) < 0.01


def test_no_token_of_the_answer_is_near_a_tie(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(small_model())
    engine = LlamaEngine(plan_load(path, LoadOptions(context=256, slots=1, threads=1, engine="xllamacpp")))
    try:
        request = GenerateRequest(token_ids=PROMPT, sampling=GREEDY, max_tokens=ANSWER_TOKENS, top_logprobs=2)
        pieces = [piece for piece in engine.generate(request) if isinstance(piece, Piece)]
    finally:
        engine.close()
    logprobs = [one for piece in pieces for one in piece.logprobs]
    assert len(logprobs) == ANSWER_TOKENS
    assert len({one.token_id for one in logprobs}) > 8
    assert all(one.token_id >= FIRST_WORD for one in logprobs)
    assert min(one.top[0].logprob - one.top[1].logprob for one in logprobs) > 0.05


def test_a_binary_that_dies_is_no_error_but_a_result(tmp_path: Path) -> None:
    binary = tmp_path / "llama-server"
    binary.write_text("#!/bin/sh\necho illegal instruction >&2\nkill -ILL $$\n")
    binary.chmod(0o700)
    found = run_selftest(binary, tmp_path / "libllama.so")
    assert "illegal instruction" in found.server
    assert "libllama.so does not work here" in found.scoring
