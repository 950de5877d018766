"""GGUF files made for a test: llama models with random weights in any shape, on the vocabulary of stories260K."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import shared_data

SHARED = shared_data("stories260k")
STORIES = SHARED / "stories260K.gguf"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHAT_TOKENS = {509: b"<|im_start|>", 510: b"<|im_end|>", 511: b"<tool_call>"}
CONTROL, USER_DEFINED = 3, 4

needs_stories = pytest.mark.skipif(not STORIES.exists(), reason=f"{STORIES} is not there")


def vocabulary() -> tuple[list[bytes], list[float], list[int]]:
    from gguf import GGUFReader

    fields = GGUFReader(STORIES).fields
    tokens = [bytes(fields["tokenizer.ggml.tokens"].parts[i]) for i in fields["tokenizer.ggml.tokens"].data]
    scores = [float(v) for v in fields["tokenizer.ggml.scores"].contents()]
    kinds = [int(v) for v in fields["tokenizer.ggml.token_type"].contents()]
    return tokens, scores, kinds


def make_gguf(path: Path, *, width: int = 64, layers: int = 2, heads: int = 4, kv_heads: int = 2, **more: Any) -> Path:
    """Write a llama of this shape. `more`: feed_forward, context, kind ("F32", "F16", "Q8_0", "Q4_0"), chat,
    vocabulary_size, window."""
    import gguf

    kind = gguf.GGMLQuantizationType[more.get("kind", "F32")]
    feed_forward, context = more.get("feed_forward", 4 * width), more.get("context", 2048)
    tokens, scores, kinds = vocabulary()
    if more.get("chat"):
        for number, text in CHAT_TOKENS.items():
            tokens[number], kinds[number], scores[number] = text, CONTROL, -1e6
        kinds[511] = USER_DEFINED
    extra = more.get("vocabulary_size", len(tokens)) - len(tokens)
    tokens += [b"xtra%d" % n for n in range(extra)]
    scores, kinds = scores + [-1e6] * extra, kinds + [1] * extra
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(510 if more.get("chat") else 2)
    writer.add_unk_token_id(0)
    if more.get("chat"):
        writer.add_chat_template(more["chat"] if isinstance(more["chat"], str) else CHATML)
    rng = np.random.default_rng(more.get("seed", 0))

    def add(name: str, *shape: int) -> None:
        if len(shape) == 1:
            writer.add_tensor(name, np.ones(shape, np.float32))
            return
        data = (rng.standard_normal(shape, np.float32) * shape[1] ** -0.5).astype(np.float32)
        if kind == gguf.GGMLQuantizationType.F16:
            writer.add_tensor(name, data.astype(np.float16))
        elif kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, gguf.quantize(data, kind), raw_dtype=kind)

    kv_width = width // heads * kv_heads
    add("token_embd.weight", len(tokens), width)
    add("output_norm.weight", width)
    add("output.weight", len(tokens), width)
    for layer in range(layers):
        for name, shape in {
            "attn_norm": (width,),
            "attn_q": (width, width),
            "attn_k": (kv_width, width),
            "attn_v": (kv_width, width),
            "attn_output": (width, width),
            "ffn_norm": (width,),
            "ffn_gate": (feed_forward, width),
            "ffn_up": (feed_forward, width),
            "ffn_down": (width, feed_forward),
        }.items():
            add(f"blk.{layer}.{name}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_lora(path: Path, *, architecture: str = "llama", width: int = 64, layers: int = 5) -> Path:
    """Write a LoRA of rank 4 on the queries, strong enough to change any answer."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    rng = np.random.default_rng(0)
    for layer in range(layers):
        for half, shape in {"a": (4, width), "b": (width, 4)}.items():
            writer.add_tensor(f"blk.{layer}.attn_q.weight.lora_{half}", rng.standard_normal(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
