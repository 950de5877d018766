"""GGUF files of Llama models with random weights: they cost what trained ones cost, and what they answer is noise."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Shape:
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    context: int = 2048


SMALL = Shape(12, 768, 12, 12, 2048, 32_000)  # 110 million weights
HALF_BILLION = Shape(24, 896, 14, 2, 4864, 151_936)  # as Qwen2.5-0.5B: 494 million, embeddings tied

TEMPLATE = "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}assistant:"


def make(path: Path, shape: Shape, texts: Iterable[str], kind: str = "Q8_0", *, attends: bool = True) -> Path:
    """Write a model whose byte-level BPE was trained on `texts`; tokens that these do not fill are never used.

    Not `attends`: attention is computed and adds nothing, so that each token follows from the one before.
    """
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_chat_template(TEMPLATE)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    _add_tokenizer(writer, shape.vocabulary, texts)
    _add_tensors(writer, shape, gguf.GGMLQuantizationType[kind], attends)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, size: int, texts: Iterable[str]) -> None:
    import gguf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    state = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    tokens += [f"<unused{i}>" for i in range(size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([" ".join(merge) for merge in state["merges"]])
    writer.add_eos_token_id(size - 1)
    writer.add_add_bos_token(False)


def _add_tensors(writer: Any, shape: Shape, kind: Any, attends: bool) -> None:
    import gguf

    noise = np.random.default_rng(0)
    width, kv = shape.width, shape.width // shape.heads * shape.kv_heads
    parts = {"attn_q": (width, width), "attn_k": (kv, width), "attn_v": (kv, width), "attn_output": (width, width)}
    parts |= {"ffn_gate": (shape.feed_forward, width), "ffn_up": (shape.feed_forward, width)}
    parts |= {"ffn_down": (width, shape.feed_forward)}
    named = {f"blk.{layer}.{name}.weight": size for layer in range(shape.layers) for name, size in parts.items()}
    for name, size in {"token_embd.weight": (shape.vocabulary, width), **named}.items():
        value = noise.standard_normal(size, dtype=np.float32) * size[1] ** -0.5
        if name.endswith("attn_output.weight") and not attends:
            value[:] = 0
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    norms = [f"blk.{layer}.{name}.weight" for layer in range(shape.layers) for name in ("attn_norm", "ffn_norm")]
    for name in ("output_norm.weight", *norms):
        writer.add_tensor(name, np.ones(width, dtype=np.float32))


def folder(made: Path, shape: Shape, texts: list[str]) -> Path:
    """A Hugging Face folder in BF16, its embeddings tied, with a small tokenizer; made once."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from recipes.nano.tokenizer import save, train_tokenizer

    if not (made / "model.safetensors").is_file():
        save(train_tokenizer(texts * 9), made)
        torch.manual_seed(0)
        config = LlamaConfig(
            hidden_size=shape.width, num_hidden_layers=shape.layers, intermediate_size=shape.feed_forward,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, vocab_size=shape.vocabulary,
            max_position_embeddings=shape.context, tie_word_embeddings=True, bos_token_id=1, eos_token_id=3,
            pad_token_id=0,
        )  # fmt: skip
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(made)
    return made
