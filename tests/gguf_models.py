"""Small decoders with random weights in the shapes of current families, as transformers models and as F32 GGUF.

The tokenizer in the GGUF is a byte-level BPE of 256 bytes, one merge and three control tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

LAYERS, HEADS, KV_HEADS, CONTEXT = 2, 4, 2, 256
BYTES = 256
BOS, EOS, PAD = 257, 258, 259
VOCABULARY = 260
Floats = NDArray[np.float32]
Tensors = Iterator[tuple[str, Floats]]


@dataclass(frozen=True)
class Family:
    """How transformers names a family, how GGUF does, and what conversion does to a tensor."""

    model: str
    config: str
    architecture: gguf.MODEL_ARCH
    convert: Callable[[str, Floats, Any], Floats] = lambda name, value, config: value
    extra: dict[str, Any] = field(default_factory=dict)


def _paired(value: Floats, heads: int) -> Floats:
    """transformers rotates halves, this architecture in GGUF rotates neighbours: interleave the halves of each head."""
    rows = value.reshape(heads, 2, len(value) // heads // 2, *value.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(value.shape))


def _llama(name: str, value: Floats, config: Any) -> Floats:
    if "q_proj" in name:
        return _paired(value, config.num_attention_heads)
    return _paired(value, config.num_key_value_heads) if "k_proj" in name else value


def _gemma(name: str, value: Floats, config: Any) -> Floats:
    return value + 1 if "norm" in name else value


FAMILIES = {
    "llama": Family("LlamaForCausalLM", "LlamaConfig", gguf.MODEL_ARCH.LLAMA, _llama),
    "mistral": Family("MistralForCausalLM", "MistralConfig", gguf.MODEL_ARCH.LLAMA, _llama, {"sliding_window": None}),
    "qwen2": Family("Qwen2ForCausalLM", "Qwen2Config", gguf.MODEL_ARCH.QWEN2),
    "qwen3": Family("Qwen3ForCausalLM", "Qwen3Config", gguf.MODEL_ARCH.QWEN3, extra={"head_dim": 32}),
    "phi3": Family("Phi3ForCausalLM", "Phi3Config", gguf.MODEL_ARCH.PHI3, extra={"pad_token_id": PAD}),
    "gemma": Family("GemmaForCausalLM", "GemmaConfig", gguf.MODEL_ARCH.GEMMA, _gemma, {"head_dim": 16}),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        "Gemma2Config",
        gguf.MODEL_ARCH.GEMMA2,
        _gemma,
        {"head_dim": 16, "query_pre_attn_scalar": 16},
    ),
}


def build(family: str, width: int = 64, seed: int = 0, **changes: Any) -> Any:
    """A transformers model in fp32, whose weights are large enough for attention to matter."""
    kind = FAMILIES[family]
    torch.manual_seed(seed)
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "attn_implementation": "eager",
        **kind.extra,
        **changes,
    }
    model = getattr(transformers, kind.model)(getattr(transformers, kind.config)(**settings)).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            spread, middle = (0.1, 0.0 if "gemma" in family else 1.0) if "norm" in name else (width**-0.5, 0.0)
            weight.normal_(middle, spread)
    return model


def write(model: Any, family: str, path: Path, *, bos: bool = True, dtype: Any = np.float32) -> Path:
    """The model as GGUF: float32, or `dtype` for its matrices."""
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[FAMILIES[family].architecture])
    _describe(writer, model.config)
    _tokenizer(writer, bos)
    for name, value in tensors(model, family):
        writer.add_tensor(name, value.astype(dtype) if value.ndim > 1 else value)
    _finish(writer)
    return path


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def made(folder: Path, family: str, **changes: Any) -> tuple[Any, Path]:
    """A model and its GGUF in `folder`."""
    model = build(family, **changes)
    return model, write(model, family, folder / f"{family}.gguf")


def tensors(model: Any, family: str) -> Tensors:
    """Every tensor under its GGUF name, converted."""
    kind = FAMILIES[family]
    names = gguf.get_tensor_name_map(kind.architecture, model.config.num_hidden_layers)
    tied = model.config.tie_word_embeddings
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert found is not None, name
        yield found, kind.convert(name, np.ascontiguousarray(value.numpy().astype(np.float32)), model.config)


def _describe(writer: gguf.GGUFWriter, config: Any) -> None:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name("random")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if config.model_type == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings or config.max_position_embeddings)
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
        writer.add_sliding_window(config.sliding_window)


def byte_names() -> list[str]:
    """GPT-2's printable stand-in for each of the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def _tokenizer(writer: gguf.GGUFWriter, bos: bool) -> None:
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    tokens = [*byte_names(), "th", "<s>", "</s>", "<pad>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([normal] * (BYTES + 1) + [control] * 3)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(bos)


def mamba(path: Path) -> Any:
    """A recurrent model, which keeps a state instead of keys and values; the transformers model, and its GGUF."""
    torch.manual_seed(0)
    config = transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=LAYERS)
    model = transformers.MambaForCausalLM(config).float().eval()
    with torch.no_grad():
        model.backbone.embeddings.weight.normal_(0, 0.3)
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(LAYERS)
    writer.add_ssm_conv_kernel(config.conv_kernel)
    writer.add_ssm_inner_size(config.intermediate_size)
    writer.add_ssm_state_size(config.state_size)
    writer.add_ssm_time_step_rank(config.time_step_rank)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_vocab_size(VOCABULARY)
    _tokenizer(writer, bos=True)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MAMBA, LAYERS)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        value = weight.numpy().astype(np.float32)
        value = -np.exp(value) if name.endswith("A_log") else value
        value = value.squeeze(1) if name.endswith("conv1d.weight") else value
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(value))
    _finish(writer)
    return model


def bert(path: Path) -> Any:
    """An encoder, which sees a text in both directions; the transformers model, and its GGUF of letters."""
    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # GGUF marks the beginning of a word where WordPiece marks what continues one.
    tokens = [*pieces, *(f"\u2581{chr(letter)}" for letter in range(97, 123)), *(chr(i) for i in range(97, 123))]
    config = transformers.BertConfig(
        vocab_size=len(tokens),
        hidden_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=128,
        max_position_embeddings=1024,
        attn_implementation="eager",
    )
    model = transformers.BertModel(config, add_pooling_layer=False).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, 64**-0.5)
            elif "bias" in name:
                weight.normal_(0, 0.1)
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_block_count(LAYERS)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.NORMAL] * 52)
    writer.add_token_type_count(2)
    for add, number in (("pad", 0), ("unk", 1), ("bos", 2), ("sep", 3), ("eos", 3), ("mask", 4)):
        getattr(writer, f"add_{add}_token_id")(number)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, LAYERS)
    for name, weight in model.state_dict().items():
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found:
            writer.add_tensor(found, weight.numpy().astype(np.float32))
    _finish(writer)
    return model
