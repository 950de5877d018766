"""The model of the self-test: random weights in the types that people use, so that their kernels are tried.

F16, Q8_0, Q4_K and Q6_K; made without llama.cpp, so that no engine has a hand in it.
"""

from __future__ import annotations

import struct

import numpy as np

WIDTH, LAYERS, HEADS, VOCABULARY, CONTEXT = 256, 2, 4, 512, 256
FIRST_WORD = 259  # after <unk>, <s>, </s> and the 256 bytes
SEED = 6  # of the weights: at each token of the answer the best word is well ahead of the next
UINT32, FLOAT32, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5
F16, F32, Q8_0, Q4_K, Q6_K = 1, 0, 8, 12, 14
TYPES = {"attn": Q8_0, "ffn_gate": Q4_K, "ffn_up": Q4_K, "ffn_down": Q6_K}


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _pair(key: str, kind: int, data: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + data


def _vocabulary() -> list[bytes]:
    """The tokenizer's pairs: bytes, and words of one made-up kind."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    tokens += [f"\u2581w{number}" for number in range(FIRST_WORD, VOCABULARY)]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (VOCABULARY - FIRST_WORD)]
    head = "<IQ"
    texts = struct.pack(head, STRING, len(tokens)) + b"".join(map(_text, tokens))
    scores = struct.pack(head, FLOAT32, len(tokens)) + np.zeros(len(tokens), "<f4").tobytes()
    types = struct.pack(head, INT32, len(tokens)) + np.array(kinds, "<i4").tobytes()
    pairs = [_pair("tokenizer.ggml.model", STRING, _text("llama"))]
    lists = {"tokens": texts, "scores": scores, "token_type": types}
    pairs += [_pair(f"tokenizer.ggml.{name}", ARRAY, data) for name, data in lists.items()]
    ids = {"unknown_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return pairs + [_pair(f"tokenizer.ggml.{name}", UINT32, struct.pack("<I", value)) for name, value in ids.items()]


def _blocks(kind: int, rows: int, draw: np.random.Generator) -> bytes:
    """A matrix of `rows` x WIDTH random weights of standard deviation 1/20 to 1/10, in a type's blocks.

    Layouts as in ggml-common.h: Q8_0 is a scale and 32 numbers; Q4_K two scales, 12 bytes of 6-bit scales, 128 of
    4-bit numbers; Q6_K 192 bytes of 6-bit numbers, 16 scales and one above them.
    """
    if kind == F16:
        return draw.normal(0, 1 / 16, (rows, WIDTH)).astype("<f2").tobytes()
    if kind == Q8_0:
        blocks = np.zeros(rows * WIDTH // 32, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
        blocks["d"], blocks["q"] = 1 / 16 / 73, draw.integers(-127, 128, blocks["q"].shape)
        return blocks.tobytes()
    count = rows * WIDTH // 256
    if kind == Q4_K:
        blocks = np.zeros(count, np.dtype([("d", "<f2"), ("m", "<f2"), ("s", "u1", 12), ("q", "u1", 128)]))
        blocks["d"], blocks["m"] = 3.5e-4, 3.5e-4 * 7.5
    else:
        blocks = np.zeros(count, np.dtype([("q", "u1", 192), ("s", "i1", 16), ("d", "<f2")]))
        blocks["d"] = 1.8e-4
    blocks["q"] = draw.integers(0, 256, blocks["q"].shape)
    low, high = (0, 256) if kind == Q4_K else (-32, 32)
    blocks["s"] = draw.integers(low, high, blocks["s"].shape)
    return blocks.tobytes()


def _tensors() -> list[tuple[str, int, int, bytes]]:
    """Name, type, rows (0 for a vector of ones) and bytes of every tensor. The same on every machine."""
    draw = np.random.default_rng(SEED)
    ones = np.ones(WIDTH, "<f4").tobytes()
    found = [("token_embd.weight", F16, VOCABULARY, _blocks(F16, VOCABULARY, draw))]
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            kind = TYPES.get(name) or TYPES["attn"]
            found.append((f"blk.{layer}.{name}.weight", kind, WIDTH, _blocks(kind, WIDTH, draw)))
        found += [(f"blk.{layer}.{name}.weight", F32, 0, ones) for name in ("attn_norm", "ffn_norm")]
    # Rows of zeros for control tokens and bytes: an answer is made of words.
    head = bytes(FIRST_WORD * WIDTH // 32 * 34) + _blocks(Q8_0, VOCABULARY - FIRST_WORD, draw)
    return [*found, ("output_norm.weight", F32, 0, ones), ("output.weight", Q8_0, VOCABULARY, head)]


def small_model() -> bytes:
    """The model as a GGUF (version 3) of 1.1 MB."""
    numbers = {"context_length": CONTEXT, "embedding_length": WIDTH, "block_count": LAYERS, "vocab_size": VOCABULARY}
    numbers |= {"feed_forward_length": WIDTH, "attention.head_count": HEADS, "rope.dimension_count": WIDTH // HEADS}
    pairs = [_pair("general.architecture", STRING, _text("llama"))]
    pairs += [_pair(f"llama.{name}", UINT32, struct.pack("<I", value)) for name, value in numbers.items()]
    pairs += [_pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)), *_vocabulary()]
    infos, data = [], b""
    for name, kind, rows, content in _tensors():
        shape = struct.pack("<IQQ", 2, WIDTH, rows) if rows else struct.pack("<IQ", 1, WIDTH)
        infos.append(_text(name) + shape + struct.pack("<IQ", kind, len(data)))
        data += content + bytes(-len(content) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs + infos)
    return head + bytes(-len(head) % 32) + data
