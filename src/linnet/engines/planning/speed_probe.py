"""The measurement of this machine: the engine reads models of random weights as it would read any, on the path that
requests take."""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from linnet.core.errors import EngineError
from linnet.core.files import make_folder
from linnet.core.history import machine_id
from linnet.engines.planning.machine_speed import MachineSpeed
from linnet.formats.gguf_write import head, padded, place, text, texts, uint32

if TYPE_CHECKING:
    from linnet.engines.llama.engine import LlamaEngine

TYPES = ("F16", "Q8_0", "Q6_K", "Q4_K")
LARGE, TINY, TINIEST = (8, 1024, 4096), (16, 64, 128), (2, 64, 128)  # layers, width, feed-forward
LOOKING = (4, 512, 512)  # heads of 64, as most models have: what looking back costs shows
HEADS, VOCABULARY, WORDS, CONTEXT, BATCH = 8, 512, 259, 2048, 64
PROMPT, ANSWER, ROUNDS = 2 * BATCH, 12, 2
NEAR, FAR = 32, 1024  # tokens before the answer, to see what the others cost
WIDTHS = (256, 1024)  # of the matrix products


def measure(key: str, engine: str, count: int) -> MachineSpeed:
    """Every number, with the models written to a folder for temporary files. Raises EngineError, ResourceMissing."""
    started, load = time.monotonic(), os.getloadavg()[0] / max(1, os.cpu_count() or 1)
    decode, prefill, attention = {}, {}, {}
    with tempfile.TemporaryDirectory(prefix="linnet-speed-") as folder:
        ((_, tiny),) = _timed(_model(Path(folder) / "tiny.gguf", "F16", TINY), engine, count)
        ((_, tiniest),) = _timed(_model(Path(folder) / "tiniest.gguf", "F16", TINIEST), engine, count)
        layer = max(0.0, (tiny - tiniest) / (TINY[0] - TINIEST[0]))
        token = max(0.0, tiniest - TINIEST[0] * layer)
        path = _model(Path(folder) / "looking.gguf", "F16", LOOKING)
        for kind in ("flash", "plain"):
            (_, near), (_, far) = _timed(path, engine, count, (NEAR, FAR), kind)
            attention[kind] = (FAR - NEAR) * LOOKING[0] * 2 * LOOKING[1] / max(far / 10, far - near)
        for kind in TYPES:
            path = _model(Path(folder) / "large.gguf", kind, LARGE)
            ((read, write),) = _timed(path, engine, count)
            size, weights = path.stat().st_size, _weights(LARGE)
            # A machine that was busy in one of the rounds must not make the rest look free.
            decode[kind] = size / max(write / 2, write - token - LARGE[0] * layer)
            prefill[kind] = weights / max(read / 2, read - LARGE[0] * layer / BATCH)
            path.unlink()
    return MachineSpeed(
        key=key,
        machine=machine_id(),
        engine=engine,
        threads=count,
        copy_bytes=_copy(),
        matrix_flops={str(width): _product(width) for width in WIDTHS},
        decode_bytes=decode,
        prefill_weights=prefill,
        attention_numbers=attention,
        token_seconds=token,
        layer_seconds=layer,
        load=round(load, 2),
        seconds=round(time.monotonic() - started, 2),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _copy() -> float:
    from linnet.engines.llama.fit import memory_copy_speed

    return memory_copy_speed()


def _product(width: int) -> float:
    """Floating-point operations per second of numpy's float32 product of PROMPT rows: the best of some."""
    rows, matrix = np.ones((1024, width), np.float32), np.ones((width, 4 * width), np.float32)
    best = float("inf")
    for _ in range(max(3, 2048 // width)):
        started = time.perf_counter()
        rows @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * rows.size * 4 * width / best


def _timed(
    path: Path, engine: str, count: int, prompts: tuple[int, ...] = (PROMPT,), attention: str = "plain"
) -> list[tuple[float, float]]:
    """Seconds a token of a prompt and of its answer, for prompts of these lengths: the best of some rounds."""
    from linnet.engines.llama.engine import LlamaEngine
    from linnet.engines.llama.load_plan import LoadOptions, plan_load

    options = LoadOptions(
        context=CONTEXT if max(prompts) > PROMPT else 2 * PROMPT, slots=1, threads=count, batch=BATCH, checkpoints=0,
        engine=engine, attention=attention,
    )  # fmt: skip
    runner = LlamaEngine(plan_load(path, options, label="the speed test's model"))
    try:
        _asked(runner, ROUNDS, min(prompts))  # the first one warms up
        found = []
        for prompt in prompts:
            reads, writes = zip(*(_asked(runner, number, prompt) for number in range(ROUNDS)), strict=True)
            found.append((min(reads), max(min(writes), 1e-9)))
    finally:
        runner.close()
    return found


def _asked(runner: LlamaEngine, number: int, prompt: int) -> tuple[float, float]:
    """Seconds a token of the prompt and of the answer to random words. Raises EngineError for no answer."""
    from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation

    ids = tuple(int(one) for one in np.random.default_rng(number).integers(300, VOCABULARY, prompt))
    *_, answer = runner.generate(GenerateRequest(token_ids=ids, sampling=GREEDY, max_tokens=ANSWER))
    if not isinstance(answer, Generation) or answer.completion_tokens < 2:
        raise EngineError("The speed test's answers were too short to tell a speed.")
    first = answer.timings.first_token_ms or answer.timings.total_ms
    # A stream can come in one piece: never less than the engine itself says.
    after = max(answer.timings.total_ms - first, answer.timings.decode_ms)
    return first / 1000 / prompt, after / 1000 / (answer.completion_tokens - 1)


def _weights(shape: tuple[int, int, int]) -> int:
    layers, width, forward = shape
    return layers * (4 * width * width + 3 * width * forward) + VOCABULARY * width


def _model(path: Path, kind: str, shape: tuple[int, int, int]) -> Path:
    """A Llama whose weights repeat a small block of noise; its answers never end early."""
    from linnet.engines.quantization.quant_kernels import quantize_rows

    layers, width, forward = shape
    sizes = {"attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width)}
    sizes |= {"attn_output": (width, width), "ffn_gate": (width, forward), "ffn_up": (width, forward)}
    sizes["ffn_down"] = (forward, width)
    named: list[tuple[str, str, tuple[int, ...]]] = [("token_embd.weight", kind, (width, VOCABULARY))]
    for layer in range(layers):
        named += [(f"blk.{layer}.{name}.weight", kind, size) for name, size in sizes.items()]
        named += [(f"blk.{layer}.{name}.weight", "F32", (width,)) for name in ("attn_norm", "ffn_norm")]
    named.append(("output_norm.weight", "F32", (width,)))
    placed, noise = place(named), np.random.default_rng(1)
    blocks = {w: quantize_rows(noise.normal(0, 0.05, (16, w)).astype(np.float32), kind) for w in {width, forward}}
    make_folder(path.parent)
    with path.open("wb") as handle:
        handle.write(head(_metadata(shape), placed))
        for one in placed:
            rows = one.shape[1] if len(one.shape) > 1 else 0
            data = np.tile(blocks[one.shape[0]], (rows // 16, 1)) if rows else np.ones(one.shape[0], np.float32)
            if one.name == "token_embd.weight":
                data[:WORDS] = 0  # an answer is made of words, and never ends early
            handle.write(data.tobytes() + bytes(padded(one.size_bytes, 32) - one.size_bytes))
    return path


def _metadata(shape: tuple[int, int, int]) -> dict[str, bytes]:
    layers, width, forward = shape
    numbers = {"block_count": layers, "embedding_length": width, "context_length": CONTEXT, "vocab_size": VOCABULARY}
    numbers |= {"feed_forward_length": forward, "attention.head_count": HEADS, "rope.dimension_count": width // HEADS}
    found = {"general.architecture": text("llama"), "tokenizer.ggml.model": text("llama")}
    found |= {f"llama.{name}": uint32(value) for name, value in numbers.items()}
    found["llama.attention.layer_norm_rms_epsilon"] = struct.pack("<If", 6, 1e-5)
    return {**found, **dict(_vocabulary())}


def _vocabulary() -> Iterator[tuple[str, bytes]]:
    """<unk>, <s>, </s>, the bytes, and words of one made-up kind."""
    words = VOCABULARY - WORDS
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *(f"\u2581w{i}" for i in range(words))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * words]
    yield "tokenizer.ggml.tokens", texts(tokens)
    yield "tokenizer.ggml.scores", struct.pack("<IIQ", 9, 6, VOCABULARY) + np.zeros(VOCABULARY, "<f4").tobytes()
    yield "tokenizer.ggml.token_type", struct.pack("<IIQ", 9, 5, VOCABULARY) + np.array(kinds, "<i4").tobytes()
    for name, value in {"unknown": 0, "bos": 1, "eos": 2}.items():
        yield f"tokenizer.ggml.{name}_token_id", uint32(value)
