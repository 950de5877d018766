"""GGUF files for tests: an honest tiny one by the package `gguf`, and a writer that lies wherever it is told to."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared import shared_data

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}

BLOCKS, WIDTH, HEADS, HEADS_KV, FORWARD, TOKENS = 2, 32, 4, 2, 64, 300
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def stories() -> Path:
    """The one real model of the shared data. Skips where it is absent."""
    path = shared_data("stories260k") / "stories260K.gguf"
    if not path.is_file():
        pytest.skip(f"{path} is absent: set LINNET_DATA to the folder that holds stories260k")
    return path


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def array(kind: int, values: list[Any]) -> tuple[int, tuple[int, list[Any]]]:
    return ARRAY, (kind, values)


def encoded(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return text(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(encoded(element, item) for item in values)
    if isinstance(value, bytes):
        return value
    return struct.pack("<" + CODES.get(kind, "I"), value)


def tokens() -> list[str]:
    plain = ["<unk>", "<s>", "</s>"]
    return [*plain, *(f"<0x{n:02X}>" for n in range(256)), *(f"t{n}" for n in range(TOKENS - 259))]


def tiny_keys(**changes: Any) -> dict[str, Any]:
    """Key -> (type, value) of a tiny llama. `changes` uses __ for the dot; None takes a key out."""
    keys: dict[str, Any] = {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "tiny"),
        "general.license": (STRING, "mit"),
        "general.file_type": (U32, 0),
        "llama.block_count": (U32, BLOCKS),
        "llama.embedding_length": (U32, WIDTH),
        "llama.context_length": (U32, 128),
        "llama.feed_forward_length": (U32, FORWARD),
        "llama.attention.head_count": (U32, HEADS),
        "llama.attention.head_count_kv": (U32, HEADS_KV),
        "llama.rope.freq_base": (F32, 10000.0),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": array(STRING, tokens()),
        "tokenizer.ggml.scores": array(F32, [0.0] * TOKENS),
        "tokenizer.ggml.token_type": array(I32, [2, 3, 3, *[6] * 256, *[1] * (TOKENS - 259)]),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.eos_token_id": (U32, 2),
        "tokenizer.ggml.add_bos_token": (BOOL, 1),
        "tokenizer.chat_template": (STRING, CHATML),
    }
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            keys.pop(key, None)
        else:
            keys[key] = value
    return keys


def tiny_tensors(first: int = 0, last: int = BLOCKS) -> list[tuple[str, tuple[int, ...], int]]:
    """(name, shape, type) of blocks `first` to `last`; the table and the last norm with the first."""
    found: list[tuple[str, tuple[int, ...], int]] = []
    if first == 0:
        found = [("token_embd.weight", (WIDTH, TOKENS), 0), ("output_norm.weight", (WIDTH,), 0)]
    for block in range(first, last):
        for name, shape in (
            ("attn_norm", (WIDTH,)),
            ("attn_q", (WIDTH, WIDTH)),
            ("attn_k", (WIDTH, WIDTH * HEADS_KV // HEADS)),
            ("attn_v", (WIDTH, WIDTH * HEADS_KV // HEADS)),
            ("attn_output", (WIDTH, WIDTH)),
            ("ffn_norm", (WIDTH,)),
            ("ffn_gate", (WIDTH, FORWARD)),
            ("ffn_up", (WIDTH, FORWARD)),
            ("ffn_down", (FORWARD, WIDTH)),
        ):
            found.append((f"blk.{block}.{name}.weight", shape, 0))
    return found


def written(
    keys: dict[str, Any] | list[tuple[str | bytes, Any]],
    tensors: list[Any],
    *,
    version: int = 3,
    magic: bytes = b"GGUF",
    counts: tuple[int | None, int | None] = (None, None),
    alignment: int = 32,
    hole: bool = False,
) -> bytes:
    """A GGUF file. A tensor is (name, shape, type[, offset]); weights are zeros, F32 or F16, or left out (`hole`)."""
    pairs = list(keys.items()) if isinstance(keys, dict) else keys
    tensor_count = len(tensors) if counts[0] is None else counts[0]
    key_count = len(pairs) if counts[1] is None else counts[1]
    out = [magic, struct.pack("<IQQ", version, tensor_count, key_count)]
    out += [text(name) + struct.pack("<I", kind) + encoded(kind, value) for name, (kind, value) in pairs]
    at = 0
    for name, shape, kind, *rest in tensors:
        offset = rest[0] if rest else at
        out.append(text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape))
        out.append(struct.pack("<IQ", kind, offset))
        size = 4 if kind == 0 else 2
        for length in shape:
            size *= length
        at += -(-size // alignment) * alignment if size < 1 << 30 else 0
    header = b"".join(out)
    return header + bytes(-len(header) % alignment + (0 if hole else at))


def tiny(path: Path, **changes: Any) -> Path:
    """A whole tiny llama, with some keys changed."""
    path.write_bytes(written(tiny_keys(**changes), tiny_tensors()))
    return path


def honest(path: Path) -> Path:
    """The same model by the package that llama.cpp writes its own files with."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_name("honest")
    writer.add_license("mit")
    writer.add_file_type(7)
    for add, value in (
        (writer.add_block_count, BLOCKS),
        (writer.add_embedding_length, WIDTH),
        (writer.add_context_length, 128),
        (writer.add_feed_forward_length, FORWARD),
        (writer.add_head_count, HEADS),
        (writer.add_head_count_kv, HEADS_KV),
    ):
        add(value)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens())
    writer.add_token_scores([0.0] * TOKENS)
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * (TOKENS - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHATML)
    from gguf import GGMLQuantizationType

    for name, shape, _ in tiny_tensors():
        if len(shape) == 2:
            rows = np.zeros((shape[1], shape[0] // 32 * 34), dtype=np.uint8)
            writer.add_tensor(name, rows, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def split(folder: Path, stem: str = "tiny", **changes: Any) -> list[Path]:
    """The tiny llama in two parts, a block each."""
    folder.mkdir(exist_ok=True)
    total = len(tiny_tensors())
    paths = []
    for number in range(2):
        mine = {"split.no": (U16, number), "split.count": (U16, 2), "split.tensors.count": (I32, total)}
        keys = tiny_keys(**changes) | mine if number == 0 else mine
        paths.append(folder / f"{stem}-{number + 1:05}-of-00002.gguf")
        paths[-1].write_bytes(written(keys, tiny_tensors(number, number + 1)))
    return paths


def places(data: bytes) -> Iterator[tuple[str, int, int]]:
    """(what, where, width) of every count, type, length, dimension and offset of a valid file."""

    def number(at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], "little")

    def value(kind: int, at: int, key: str) -> Iterator[tuple[str, int, int] | int]:
        if kind == STRING:
            yield f"{key} length", at, 8
            yield at + 8 + number(at, 8)
        elif kind == ARRAY:
            yield f"{key} element type", at, 4
            yield f"{key} count", at + 4, 8
            element, count, at = number(at, 4), number(at + 4, 8), at + 12
            for item in range(count):
                if element != STRING:
                    at += count * struct.calcsize("<" + CODES[element])
                    break
                if item % 97 == 0:
                    yield f"{key}[{item}] length", at, 8
                at += 8 + number(at, 8)
            yield at
        else:
            width = struct.calcsize("<" + CODES[kind])
            yield f"{key} value", at, width
            yield at + width

    yield from (("magic", 0, 4), ("version", 4, 4), ("tensor_count", 8, 8), ("kv_count", 16, 8))
    at = 24
    for _ in range(number(16, 8)):
        length = number(at, 8)
        key = data[at + 8 : at + 8 + length].decode()
        yield f"{key} name length", at, 8
        at += 8 + length
        yield f"{key} type", at, 4
        for found in value(number(at, 4), at + 4, key):
            if isinstance(found, int):
                at = found
            else:
                yield found
    for _ in range(number(8, 8)):
        length = number(at, 8)
        name = data[at + 8 : at + 8 + length].decode()
        yield f"{name} name length", at, 8
        at += 8 + length
        dimensions = number(at, 4)
        yield f"{name} dimensions", at, 4
        yield from ((f"{name} shape", at + 4 + 8 * axis, 8) for axis in range(dimensions))
        at += 4 + 8 * dimensions
        yield f"{name} type", at, 4
        yield f"{name} offset", at + 4, 8
        at += 12
