"""Which keys of a model's config.json are read, by architecture. Everything else is dropped and listed.

A config can name code to import (`auto_map`), switch off a library's guards or choose a code path by a private key;
so keys are let in by name, not kept out by name.
"""

from __future__ import annotations

import re
from typing import Any

# Keys that ask for code or a private path; each deserves a sentence of its own.
CODE_KEYS = {
    "auto_map": "names code of the model's own, which is never run",
    "auto_mapping": "names code of the adapter's own, which is never run",
    "trust_remote_code": "asks to trust remote code, which is never done",
    "custom_pipelines": "names code of the model's own, which is never run",
    "custom_generate": "names code of the model's own, which is never run",
    "_attn_implementation_internal": "chooses an attention kernel by a private key",
    "_attn_implementation": "chooses an attention kernel by a private key",
    "_attn_implementation_autoset": "chooses an attention kernel by a private key",
    "attn_implementation": "chooses an attention kernel, which may be fetched",
    "experts_implementation": "chooses a kernel, which may be fetched",
}

_COMMON = """
architectures model_type torch_dtype dtype transformers_version vocab_size hidden_size intermediate_size
num_hidden_layers num_attention_heads num_key_value_heads head_dim hidden_act hidden_activation max_position_embeddings
initializer_range rms_norm_eps layer_norm_eps layer_norm_epsilon norm_eps norm_epsilon use_cache tie_word_embeddings
pad_token_id bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id
rope_theta rope_scaling rope_parameters partial_rotary_factor rotary_pct original_max_position_embeddings
attention_bias attention_dropout mlp_bias use_bias sliding_window use_sliding_window max_window_layers layer_types
pretraining_tp id2label label2id num_labels problem_type quantization_config is_decoder is_encoder_decoder
add_cross_attention classifier_dropout hidden_dropout_prob attention_probs_dropout_prob type_vocab_size
position_embedding_type chunk_size_feed_forward gradient_checkpointing hidden_dropout attn_pdrop embd_pdrop resid_pdrop
"""
_EXPERTS = """
num_experts num_local_experts n_routed_experts n_shared_experts num_experts_per_tok experts_per_token
moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size norm_topk_prob decoder_sparse_step
mlp_only_layers output_router_logits router_aux_loss_coef router_jitter_noise first_k_dense_replace n_group topk_group
topk_method scoring_func routed_scaling_factor moe_layer_freq aux_loss_alpha seq_aux swiglu_limit initial_context_length
"""
_GPT2 = """
n_embd n_head n_layer n_ctx n_positions n_inner activation_function summary_activation summary_first_dropout
summary_proj_to_labels summary_type summary_use_proj scale_attn_weights scale_attn_by_inverse_layer_idx
reorder_and_upcast_attn task_specific_params
"""
_DISTIL = """
dim hidden_dim n_heads n_layers dropout activation sinusoidal_pos_embds seq_classif_dropout qa_dropout tie_weights_
"""
_DEBERTA = """
relative_attention max_relative_positions position_buckets norm_rel_ebd share_att_key pos_att_type position_biased_input
pooler_dropout pooler_hidden_act pooler_hidden_size legacy conv_kernel_size conv_act
"""
_MODERN = """
allow_embedding_resizing attention_layer classifier_activation classifier_bias classifier_pooling decoder_bias
deterministic_flash_attn embedding_dropout global_attn_every_n_layers global_rope_theta initializer_cutoff_factor
local_attention local_rope_theta mlp_dropout norm_bias repad_logits_with_grad sparse_pred_ignore_index sparse_prediction
"""
_GEMMA = """
query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping sliding_window_pattern _sliding_window_pattern
rope_local_base_freq cache_implementation use_bidirectional_attention
"""
_FAMILIES = {
    "albert": "embedding_size inner_group_num num_hidden_groups down_scale_factor gap_size net_structure_type "
    "num_memory_blocks",
    "bert": "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
    "pooler_type",
    "bloom": "n_embed n_head n_layer apply_residual_connection_post_layernorm masked_softmax_fusion slow_but_exact "
    "skip_bias_add skip_bias_add_qkv seq_length offset_alibi attention_softmax_in_fp32 bias_dropout_fusion",
    "cohere": "logit_scale use_qk_norm",
    "cohere2": "logit_scale use_qk_norm sliding_window_pattern order_of_interleaved_layers rotary_pct",
    "deberta-v2": _DEBERTA,
    "deepseek_v2": _EXPERTS + "q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim",
    "deepseek_v3": _EXPERTS + "q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim",
    "distilbert": _DISTIL,
    "electra": "embedding_size summary_activation summary_last_dropout summary_type summary_use_proj",
    "exaone4": "sliding_window_pattern",
    "falcon": "alibi bias new_decoder_architecture multi_query parallel_attn num_kv_heads ffn_hidden_size "
    "num_ln_in_parallel_attn",
    "gemma": _GEMMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA
    + "text_config vision_config mm_tokens_per_image image_token_index boi_token_index eoi_token_index",
    "gemma3_text": _GEMMA,
    "glm4": "",
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2 + "multi_query attention_softmax_in_fp32 scale_attention_softmax_in_fp32",
    "gpt_neox": "rotary_emb_base use_parallel_residual",
    "gpt_oss": _EXPERTS,
    "granite": "embedding_multiplier logits_scaling residual_multiplier attention_multiplier",
    "granitemoe": _EXPERTS + "embedding_multiplier logits_scaling residual_multiplier attention_multiplier",
    "lfm2": "block_auto_adjust_ff_dim block_dim block_ff_dim block_ffn_dim_multiplier block_mlp_init_scale "
    "block_multiple_of block_norm_eps block_out_init_scale block_use_swiglu block_use_xavier_init conv_L_cache "
    "conv_bias conv_dim conv_dim_out conv_use_xavier_init full_attn_idxs num_heads use_pos_enc theta",
    "llama": "",
    "mistral": "",
    "mixtral": _EXPERTS,
    "modernbert": _MODERN,
    "mpnet": "relative_attention_num_buckets",
    "nemotron": "",
    "olmo": "clip_qkv",
    "olmo2": "clip_qkv",
    "olmoe": _EXPERTS + "clip_qkv",
    "opt": "word_embed_proj_dim ffn_dim do_layer_norm_before layerdrop activation_function dropout enable_bias "
    "layer_norm_elementwise_affine init_std _remove_final_layer_norm",
    "phi": "qk_layernorm",
    "phi3": "",
    "qwen2": "",
    "qwen2_moe": _EXPERTS,
    "qwen3": "",
    "qwen3_moe": _EXPERTS,
    "roberta": "",
    "smollm3": "no_rope_layers no_rope_layer_interval",
    "stablelm": "use_qkv_bias qk_layernorm use_parallel_residual",
    "starcoder2": "residual_dropout embedding_dropout mlp_type norm_type",
    "t5": "d_model d_kv d_ff num_layers num_decoder_layers num_heads relative_attention_num_buckets "
    "relative_attention_max_distance dropout_rate initializer_factor feed_forward_proj dense_act_fn "
    "is_gated_act n_positions",
    "xlm-roberta": "",
}
_ADAPTER = """
peft_type task_type base_model_name_or_path revision inference_mode r lora_alpha lora_dropout target_modules
exclude_modules modules_to_save layers_to_transform layers_pattern rank_pattern alpha_pattern fan_in_fan_out bias
use_rslora use_dora lora_bias init_lora_weights peft_version target_parameters
"""
_NESTED = ("text_config",)


def known_family(model_type: str) -> bool:
    return model_type in _FAMILIES


def filter_config(config: dict[str, Any], *, nested: bool = True) -> tuple[dict[str, Any], list[str]]:
    """What may be read of a config.json, and the names of what was dropped, sorted; nested ones with a dot."""
    model_type = config.get("model_type")
    family = _FAMILIES.get(model_type, "") if isinstance(model_type, str) else ""
    allowed = {*_COMMON.split(), *family.split()}
    kept = {key: value for key, value in config.items() if key in allowed}
    dropped = [key for key in config if key not in allowed]
    for key in _NESTED if nested else ():
        if isinstance(inner := kept.get(key), dict):
            kept[key], below = filter_config(inner, nested=False)
            dropped += [f"{key}.{name}" for name in below]
    return kept, sorted(dropped)


def filter_adapter_config(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The same for a LoRA's adapter_config.json."""
    allowed = set(_ADAPTER.split())
    return {k: v for k, v in config.items() if k in allowed}, sorted(k for k in config if k not in allowed)


def code_keys(value: Any, path: str = "") -> list[str]:
    """A sentence's end for each key, at any depth, that asks for code: 'auto_map names code of ...'."""
    found: list[str] = []
    waiting = [(value, path)]
    while waiting:
        item, where = waiting.pop()
        if isinstance(item, dict):
            for key, inner in item.items():
                name = f"{where}.{key}" if where else str(key)
                if key in CODE_KEYS and inner not in (None, False, {}):
                    found.append(f"{_plain(name)} {CODE_KEYS[key]}")
                waiting.append((inner, name))
        elif isinstance(item, list):
            waiting += [(inner, where) for inner in item]
    return sorted(found)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "?", name)[:120]
