"""Is the library the one the binding was written for? Default values, sizes, and one decode worked out by hand."""

from __future__ import annotations

import ctypes
import platform
import struct
import tempfile
from ctypes import POINTER, c_int8, c_int32
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.engines.scoring.llama_c import F16, F32, NO_FLASH, Batch, ContextParams, Library, ModelParams, refuse

# The fields of the default structs that are not zero.
MODEL_DEFAULTS = {"n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "lazy_mode": 1, "use_extra_bufts": True}
CONTEXT_DEFAULTS: dict[str, float] = {
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_outputs_max_per_seq": 1,
    "n_threads": 4,
    "n_threads_batch": 4,
    **dict.fromkeys(("rope_scaling_type", "pooling_type", "attention_type", "flash_attn_type"), -1),
    **dict.fromkeys(("yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow"), -1.0),
    "defrag_thold": -1.0,
    "type_k": F16,
    "type_v": F16,
    **dict.fromkeys(("offload_kqv", "no_perf", "op_offload", "swa_full"), True),
}
SIZES = {ModelParams: 80, ContextParams: 168, Batch: 56}
UNTOUCHED, ROOM = 0xA5, 256
WIDTH, VOCABULARY, EPSILON = 32, 8, 1e-5
Floats = NDArray[np.float32]


def check(library: Library) -> None:
    """Raise EngineError unless every default, every size and a decode are what this version gives."""
    for kind, size in SIZES.items():
        if ctypes.sizeof(kind) != size:
            raise refuse(f"{kind.__name__} takes {ctypes.sizeof(kind)} bytes on this platform, {size} are expected")
    _check_defaults(library, ModelParams, "llama_model_default_params", MODEL_DEFAULTS)
    _check_defaults(library, ContextParams, "llama_context_default_params", CONTEXT_DEFAULTS)
    _check_batch(library)
    with tempfile.TemporaryDirectory(prefix="linnet-selftest-") as folder:
        path = Path(folder) / "tiny.gguf"
        path.write_bytes(tiny_model())
        found, expected = _decode(library, path), _expected()
    worst = float(np.abs(found - expected).max())
    if not worst < 1e-3:
        raise refuse(f"a decode worked out by hand came back {worst:.3g} away")


def _check_defaults(library: Library, kind: Any, name: str, expected: dict[str, Any]) -> None:
    written = _written(library, name)
    # The last bytes of a struct may be padding that nobody writes.
    if written is not None and not ctypes.sizeof(kind) - 8 < written <= ctypes.sizeof(kind):
        raise refuse(f"{name} writes {written} bytes, {ctypes.sizeof(kind)} are expected")
    values = getattr(library.c, name)()
    for field, *_ in kind._fields_:
        value, wanted = getattr(values, field) or 0, expected.get(field, 0)
        if value != wanted:
            raise refuse(f"{name} gives {field} = {value}, {wanted} is expected")


def _written(library: Library, name: str) -> int | None:
    """How many bytes the function writes for its struct, None where the platform does not let us see.

    On x86-64 a large struct is returned through a hidden first pointer, so a marked buffer shows its extent.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    room = (ctypes.c_uint8 * ROOM)(*[UNTOUCHED] * ROOM)
    address = ctypes.cast(getattr(library.c, name), ctypes.c_void_p).value or 0
    ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address)(ctypes.addressof(room))
    touched = [place for place, byte in enumerate(room) if byte != UNTOUCHED]
    return touched[-1] + 1 if touched else 0


def _check_batch(library: Library) -> None:
    batch = library.c.llama_batch_init(3, 0, 2)
    pointers = (batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits)
    fits = batch.n_tokens == 0 and not batch.embd and all(pointers) and all(batch.seq_id[i] for i in range(3))
    if not fits or batch.seq_id[3]:  # one more than asked for, which the library keeps empty
        raise refuse("llama_batch_init gives a batch of another shape")
    library.c.llama_batch_free(batch)


def _weights() -> dict[str, Floats]:
    """A layer whose attention is the mean of what it has seen: queries and keys zero, values and output identity."""
    embedding = np.random.default_rng(0).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    one, identity, zero = np.ones(WIDTH), np.eye(WIDTH), np.zeros((WIDTH, WIDTH))
    layer = {"attn_norm": one, "attn_q": zero, "attn_k": zero, "attn_v": identity, "attn_output": identity}
    layer |= {"ffn_norm": one, "ffn_gate": zero, "ffn_up": zero, "ffn_down": zero}
    named = {"token_embd.weight": embedding, "output_norm.weight": one}
    named |= {f"blk.0.{name}.weight": value for name, value in layer.items()}
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in named.items()}


def _norm(rows: Floats) -> Floats:
    return np.asarray(rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + EPSILON), dtype=np.float32)


def _expected() -> Floats:
    """Logits of the last token of 1 2 3 and of 1 2 4."""
    embedding = _weights()["token_embd.weight"]
    rows = []
    for ids in ([1, 2, 3], [1, 2, 4]):
        seen = embedding[ids]
        rows.append(_norm(seen[-1] + _norm(seen).mean(axis=0)) @ embedding.T)
    return np.stack(rows)


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def tiny_model() -> bytes:
    """A GGUF (version 3) of one layer with eight tokens and no tokenizer; 21 kB."""
    uint32, float32, string = 4, 6, 8
    numbers = {"context_length": 64, "embedding_length": WIDTH, "block_count": 1, "feed_forward_length": WIDTH}
    numbers |= {"attention.head_count": 1, "vocab_size": VOCABULARY}
    pairs = [_text("general.architecture") + struct.pack("<I", string) + _text("llama")]
    pairs += [_text("tokenizer.ggml.model") + struct.pack("<I", string) + _text("no_vocab")]
    pairs += [_text(f"llama.{name}") + struct.pack("<II", uint32, value) for name, value in numbers.items()]
    pairs += [_text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", float32, EPSILON)]
    infos, data = [], b""
    for name, value in _weights().items():
        shape = struct.pack(f"<I{value.ndim}Q", value.ndim, *reversed(value.shape))
        infos.append(_text(name) + shape + struct.pack("<IQ", F32, len(data)))
        data += value.tobytes()  # every size is a multiple of 32, the alignment
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs + infos)
    return head + bytes(-len(head) % 32) + data


def _batch(entries: list[tuple[int, int, int, int]]) -> tuple[Batch, list[Any]]:
    """A batch of (token, position, sequence, wanted), and what must outlive it."""
    columns = [(c_int32 * len(entries))(*column) for column in list(zip(*entries, strict=True))[:3]]
    wanted = (c_int8 * len(entries))(*[entry[3] for entry in entries])
    ones = (c_int32 * len(entries))(*[1] * len(entries))
    pointers = [ctypes.cast(ctypes.byref(columns[2], 4 * i), POINTER(c_int32)) for i in range(len(entries))]
    table = (POINTER(c_int32) * len(entries))(*pointers)
    tokens, positions = (ctypes.cast(column, POINTER(c_int32)) for column in columns[:2])
    batch = Batch(len(entries), tokens, None, positions, ones, table, wanted)
    return batch, [columns, wanted, ones, table]


def _decode(library: Library, path: Path) -> Floats:
    """What the library says of `_expected`'s two sequences, which share their first two tokens."""
    c = library.c
    model = c.llama_model_load_from_file(str(path).encode(), c.llama_model_default_params())
    params = c.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = 64, 16, 16, 2
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = F32
    params.flash_attn_type = NO_FLASH
    params.kv_unified = True
    context = c.llama_init_from_model(model, params) if model else None
    try:
        if not context:
            raise refuse(f"a tiny model does not load: {library.log.tail()}")
        shared, _one = _batch([(1, 0, 0, 0), (2, 1, 0, 0)])
        ends, _two = _batch([(3, 2, 0, 1), (4, 2, 1, 1)])
        first = c.llama_decode(context, shared)
        c.llama_memory_seq_cp(c.llama_get_memory(context), 0, 1, -1, -1)
        second = c.llama_decode(context, ends)
        if first or second:
            raise refuse(f"a tiny decode failed with {first} and {second}: {library.log.tail()}")
        rows = [c.llama_get_logits_ith(context, i)[:VOCABULARY] for i in range(2)]
        return np.array(rows, dtype=np.float32)
    finally:
        if context:
            c.llama_free(context)
        if model:
            c.llama_model_free(model)
