"""Speeds from shapes: what is read for a token, and what it costs beside that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from linnet.engines.llama.load_plan import LoadOptions, plan_load, read_shape
from linnet.engines.planning.machine_speed import MachineSpeed
from linnet.engines.planning.model_shape import Shape
from linnet.engines.planning.speed_plan import predict_speed
from linnet.formats.gguf import GgufTensor, read_gguf
from tests.gguf_files import stories
from tests.speeds import SPEED

FREE = SPEED.model_copy(update={"token_seconds": 0.0, "layer_seconds": 0.0})


def predict(shape: Shape, machine: MachineSpeed = FREE, depth: int = 0, attention: str = "auto") -> tuple[float, float]:
    options = LoadOptions(context=512, slots=1, batch=64, attention=attention)
    plan = plan_load(stories(), options, free_bytes=1 << 40)
    found = predict_speed(shape, plan, machine, depth)
    return found.prefill, found.decode


def test_a_token_reads_every_weight_once() -> None:
    header = read_gguf(stories())
    shape = read_shape(stories())
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors)
    read = [t for t in header.tensors if t.name != "token_embd.weight" or tied]
    prefill, decode = predict(shape)
    assert decode == pytest.approx(SPEED.decode_bytes["F16"] / sum(t.size_bytes for t in read))
    assert prefill == pytest.approx(SPEED.prefill_weights["F16"] / sum(t.elements for t in read))


def test_steps_between_layers_and_the_cache_cost_time() -> None:
    shape = read_shape(stories())
    alone = 1 / predict(shape)[1]
    steps = SPEED.token_seconds + shape.layers * SPEED.layer_seconds
    assert 1 / predict(shape, SPEED)[1] == pytest.approx(alone + steps)
    deep = 1 / predict(shape, FREE, 400)[1]
    looked_at = shape.layers * shape.heads * 2 * shape.key_length
    assert deep == pytest.approx(alone + 400 * looked_at / SPEED.attention_numbers["flash"])
    plain = 1 / predict(shape, FREE, 400, "plain")[1]
    assert plain == pytest.approx(alone + 400 * looked_at / SPEED.attention_numbers["plain"])
    assert predict(shape, FREE, 400)[0] < predict(shape)[0]


def test_of_experts_only_those_in_use_are_read() -> None:
    header = read_gguf(stories())
    experts = GgufTensor("blk.0.ffn_up_exps.weight", "Q8_0", (64, 64, 8), 0, 8 * 64 * 68, 8 * 64 * 64)
    metadata = {**header.metadata, "llama.expert_count": 8, "llama.expert_used_count": 2}
    shape = Shape(replace(header, metadata=metadata), [experts])
    assert shape.active == {"Q8_0": (2 * 64 * 64, 2 * 64 * 68)}
    assert shape.weights == {"Q8_0": 8 * 64 * 64}


def test_a_type_that_was_not_measured_is_named(tmp_path: Path) -> None:
    del tmp_path
    header = read_gguf(stories())
    one = [replace(tensor, type="IQ2_S") for tensor in header.tensors if len(tensor.shape) > 1]
    plan = plan_load(stories(), LoadOptions(context=512, slots=1), free_bytes=1 << 40)
    found = predict_speed(Shape(header, one), plan, FREE)
    assert found.unmeasured == ("IQ2_S",)
    coarse = [replace(tensor, type="Q4_K") for tensor in one]
    assert found.decode < predict_speed(Shape(header, coarse), plan, FREE).decode
