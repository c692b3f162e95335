"""Small configs that move everything a family has, as the diff a config.json carries.

What equals its class's default is left out. `cases()` yields every config; "default" is the class itself, at full size.
A variation is merged into the family's SMALL, nested dicts key by key. Sizes differ from one another wherever the
family allows, so that a product of the wrong two cannot pass. Some carry older spellings the Hub still has (n_embed,
rope_scaling, sliding_window_pattern, full_attention_interval, torch_dtype), some a field the class does not declare but
the modelling code reads (head_dim).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
    "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
    "qwen3_next": "Qwen3NextForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForConditionalGeneration",
    "gemma3_text": "Gemma3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "opt": "OPTForCausalLM",
    "bloom": "BloomForCausalLM",
    "falcon": "FalconForCausalLM",
    "falcon_h1": "FalconH1ForCausalLM",
    "mamba": "MambaForCausalLM",
    "mamba2": "Mamba2ForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "cohere": "CohereForCausalLM",
    "cohere2": "Cohere2ForCausalLM",
    "granite": "GraniteForCausalLM",
}

# What a config cannot do in transformers although it builds.
CANNOT_RUN = {("deepseek_v2", "default"): "num_experts_per_tok has no default, so the router fails"}
CANNOT_SEE = {("gemma3", "default"): "a 14 x 14 patch image cannot be pooled to 16 x 16 tokens"}

# Patches (frames, rows, columns) of the image or video each vision tower is run on; a tower of a fixed size takes none.
GRIDS = ((1, 28, 28), (2, 6, 10))

DENSE = {
    "vocab_size": 1009,
    "hidden_size": 192,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}
# The default ids lie outside a small vocabulary.
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
MOE = DENSE | {"num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 72}
MLA = DENSE | {
    "num_hidden_layers": 4,
    "num_key_value_heads": 6,
    "q_lora_rank": 56,
    "kv_lora_rank": 40,
    "qk_nope_head_dim": 24,
    "qk_rope_head_dim": 16,
    "v_head_dim": 36,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 72,
    "first_k_dense_replace": 1,
}
VISION = {
    "depth": 3,
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_heads": 4,
    "patch_size": 14,
    "out_hidden_size": 192,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 2],
}
SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
    "vision_use_head": False,
}
YARN = {
    "type": "yarn",
    "factor": 40,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
LONGROPE = {"type": "longrope", "short_factor": [1.0] * 16, "long_factor": [2.0] * 16}
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"

SMALL: dict[str, dict[str, Any]] = {
    "llama": DENSE,
    "mistral": DENSE,
    "mixtral": DENSE | {"num_local_experts": 6},
    "qwen2": DENSE,
    "qwen2_moe": MOE | {"shared_expert_intermediate_size": 104},
    "qwen3": DENSE | {"head_dim": 40},
    "qwen3_moe": MOE | {"head_dim": 40},
    "qwen3_vl": {"text_config": DENSE | {"head_dim": 40}, "vision_config": VISION},
    "qwen3_vl_moe": {"text_config": MOE | {"head_dim": 40}, "vision_config": VISION},
    "qwen3_next": MOE
    | {
        "num_hidden_layers": 4,
        "head_dim": 40,
        "shared_expert_intermediate_size": 104,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 24,
        "linear_value_head_dim": 32,
    },
    "phi3": DENSE | NO_IDS,
    "gemma": DENSE | {"head_dim": 40},
    "gemma2": DENSE | {"head_dim": 40, "num_hidden_layers": 5, "sliding_window": 16},
    "gemma3": {
        "text_config": DENSE | {"head_dim": 40, "num_hidden_layers": 7, "sliding_window": 16},
        "vision_config": SIGLIP,
        "mm_tokens_per_image": 16,
    },
    "gemma3_text": DENSE | {"head_dim": 40, "num_hidden_layers": 7, "sliding_window": 16},
    "gpt2": {"vocab_size": 1009, "n_positions": 128, "n_embd": 192, "n_layer": 3, "n_head": 6} | NO_IDS,
    "gpt_neox": {
        "vocab_size": 1009,
        "hidden_size": 192,
        "intermediate_size": 352,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
    },
    "opt": {
        "vocab_size": 1009,
        "hidden_size": 192,
        "ffn_dim": 352,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "max_position_embeddings": 128,
    },
    "bloom": {"vocab_size": 1009, "hidden_size": 192, "n_layer": 3, "n_head": 6},
    "falcon": {"vocab_size": 1009, "hidden_size": 192, "num_hidden_layers": 3, "num_attention_heads": 6},
    "falcon_h1": DENSE
    | {"mamba_d_ssm": 160, "mamba_n_heads": 5, "mamba_d_head": 32, "mamba_d_state": 24, "mamba_chunk_size": 32},
    "mamba": {"vocab_size": 1009, "hidden_size": 192, "num_hidden_layers": 3, "state_size": 12},
    "mamba2": {
        "vocab_size": 1009,
        "hidden_size": 192,
        "num_hidden_layers": 3,
        "num_heads": 16,
        "head_dim": 24,
        "state_size": 20,
        "n_groups": 4,
        "chunk_size": 32,
    },
    "deepseek_v2": MLA,
    "deepseek_v3": MLA | {"n_group": 2, "topk_group": 1},
    "gpt_oss": DENSE
    | {
        "num_hidden_layers": 5,
        "intermediate_size": 72,
        "head_dim": 40,
        "num_local_experts": 7,
        "num_experts_per_tok": 3,
        "sliding_window": 16,
    },
    "olmo2": DENSE | NO_IDS,
    "starcoder2": DENSE | NO_IDS,
    "cohere": DENSE | NO_IDS,
    "cohere2": DENSE | NO_IDS | {"num_hidden_layers": 5, "sliding_window": 16},
    "granite": DENSE,
}

VARIATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "grouped heads": {},
        "one key head, wide heads": {"num_key_value_heads": 1, "head_dim": 48},
        "narrow heads, no groups": {"num_key_value_heads": None, "head_dim": 20},
        "biases everywhere": {"attention_bias": True, "mlp_bias": True},
        "attention bias alone": {"attention_bias": True},
        "tied": {"tie_word_embeddings": True},
        "as on the Hub": {
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "torch_dtype": "bfloat16",
            "pretraining_tp": 1,
            "quantization_config": {"quant_method": "awq", "bits": 4},
        },
    },
    "mistral": {
        "grouped heads": {},
        "short window": {"sliding_window": 16},
        "no window": {"sliding_window": None},
        "wide heads": {"head_dim": 48, "num_key_value_heads": 3},
        "tied": {"tie_word_embeddings": True, "num_key_value_heads": 6},
    },
    "mixtral": {
        "two of six": {},
        "one of four": {"num_local_experts": 4, "num_experts_per_tok": 1},
        "three of five, wide heads": {"num_local_experts": 5, "num_experts_per_tok": 3, "head_dim": 48},
        "short window": {"sliding_window": 16},
        "tied, no groups": {"tie_word_embeddings": True, "num_key_value_heads": 6},
    },
    "qwen2": {
        "grouped heads": {},
        "tied": {"tie_word_embeddings": True},
        "window in the upper layers": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
        "window configured, not used": {"use_sliding_window": False, "sliding_window": 16, "max_window_layers": 1},
        "layer types": {
            "use_sliding_window": True,
            "sliding_window": 16,
            "layer_types": [SLIDING, FULL, SLIDING],
        },
        "no groups": {"num_key_value_heads": None},
        "heads of its own size": {"head_dim": 48},
    },
    "qwen2_moe": {
        "three of seven": {},
        "no bias": {"qkv_bias": False},
        "every second layer sparse": {"decoder_sparse_step": 2, "num_hidden_layers": 5},
        "dense layers by index": {"mlp_only_layers": [0, 2]},
        "no experts": {"num_experts": 0},
        "window": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2, "num_hidden_layers": 4},
        "small shared expert, tied": {"shared_expert_intermediate_size": 8, "tie_word_embeddings": True},
        "one of two": {"num_experts": 2, "num_experts_per_tok": 1, "norm_topk_prob": True},
    },
    "qwen3": {
        "wide heads": {},
        "default head size": {"head_dim": 128},
        "bias": {"attention_bias": True},
        "tied, one key head": {"tie_word_embeddings": True, "num_key_value_heads": 1},
        "window in the upper layers": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
        "layer types": {"use_sliding_window": True, "sliding_window": 16, "layer_types": [FULL, SLIDING, FULL]},
    },
    "qwen3_moe": {
        "wide heads": {},
        "bias": {"attention_bias": True},
        "every second layer sparse": {"decoder_sparse_step": 2, "num_hidden_layers": 5},
        "dense layers by index": {"mlp_only_layers": [1]},
        "no experts": {"num_experts": 0},
        "window": {"use_sliding_window": True, "sliding_window": 16},
        "one of two, tied": {"num_experts": 2, "num_experts_per_tok": 1, "tie_word_embeddings": True},
    },
    "qwen3_vl": {
        "three vision layers": {},
        "tied": {"tie_word_embeddings": True},
        "tied in the text config": {"text_config": {"tie_word_embeddings": True}},
        "no deepstack": {"vision_config": {"deepstack_visual_indexes": []}},
        "deep, other patches": {
            "vision_config": {
                "depth": 5,
                "deepstack_visual_indexes": [1, 2, 4],
                "patch_size": 8,
                "temporal_patch_size": 1,
                "in_channels": 4,
            }
        },
        "no merging": {"vision_config": {"spatial_merge_size": 1, "num_heads": 6, "num_position_embeddings": 100}},
        "text bias, one key head": {"text_config": {"attention_bias": True, "num_key_value_heads": 1}},
    },
    "qwen3_vl_moe": {
        "three of seven": {},
        "tied": {"tie_word_embeddings": True},
        "untied in the text config": {"text_config": {"tie_word_embeddings": False}},
        "every second layer sparse": {"text_config": {"decoder_sparse_step": 2, "num_hidden_layers": 5}},
        "dense layers by index": {"text_config": {"mlp_only_layers": [0], "attention_bias": True}},
        "default head size, one deepstack": {
            "text_config": {"head_dim": None},
            "vision_config": {"deepstack_visual_indexes": [1], "intermediate_size": 200, "num_heads": 3},
        },
    },
    "qwen3_next": {
        "every fourth layer full": {},
        "every second layer full": {"full_attention_interval": 2},
        "layer types": {"layer_types": [FULL, LINEAR, LINEAR, FULL]},
        "as many key heads, kernel of two": {
            "linear_num_key_heads": 4,
            "linear_conv_kernel_dim": 2,
            "linear_value_head_dim": 48,
        },
        "dense layers": {"mlp_only_layers": [0], "decoder_sparse_step": 2},
        "no experts": {"num_experts": 0, "attention_bias": True},
        "small shared expert, tied": {"shared_expert_intermediate_size": 8, "tie_word_embeddings": True},
    },
    "phi3": {
        "grouped heads": {},
        "no groups": {"num_key_value_heads": None},
        "tied": {"tie_word_embeddings": True},
        "short window": {"sliding_window": 16},
        "longrope as on the Hub": {"rope_scaling": LONGROPE, "max_position_embeddings": 131072},
        "part of the head rotates": {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        "heads of its own size": {"head_dim": 48},
    },
    "gemma": {
        "grouped heads": {},
        "one key head, default head size": {"num_key_value_heads": 1, "head_dim": 256},
        "untied": {"tie_word_embeddings": False},
        "bias": {"attention_bias": True},
        "older activation name": {"hidden_act": "gelu", "num_key_value_heads": 6},
    },
    "gemma2": {
        "alternating window": {},
        "layer types": {"layer_types": [FULL, FULL, SLIDING, FULL, SLIDING]},
        "no softcaps, untied": {
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "tie_word_embeddings": False,
        },
        "bias": {"attention_bias": True, "query_pre_attn_scalar": 144},
        "long window, one key head": {"sliding_window": 64, "num_key_value_heads": 1},
    },
    "gemma3": {
        "no vision head": {},
        "vision head": {"vision_config": {"vision_use_head": True}},
        "untied": {"tie_word_embeddings": False},
        "other image": {
            "vision_config": {"image_size": 96, "patch_size": 16, "num_hidden_layers": 2, "num_channels": 1},
            "mm_tokens_per_image": 9,
        },
        "sliding window pattern": {"text_config": {"sliding_window_pattern": 3, "attention_bias": True}},
    },
    "gemma3_text": {
        "every sixth layer full": {},
        "sliding window pattern": {"sliding_window_pattern": 2},
        "layer types": {"layer_types": [FULL, SLIDING, FULL, SLIDING, SLIDING, FULL, SLIDING]},
        "untied, bias": {"tie_word_embeddings": False, "attention_bias": True},
        "bidirectional halves the window": {"use_bidirectional_attention": True, "sliding_window": 40},
        "as on the Hub": {
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "attn_logit_softcapping": 30.0,
            "final_logit_softcapping": 20.0,
        },
    },
    "gpt2": {
        "four times the width": {},
        "inner width": {"n_inner": 352},
        "untied": {"tie_word_embeddings": False},
        "scores in float32": {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
        "cross attention, not used": {"add_cross_attention": True},
        "many heads": {"n_head": 12, "n_positions": 96},
    },
    "gpt_neox": {
        "parallel": {},
        "in sequence": {"use_parallel_residual": False},
        "no attention bias": {"attention_bias": False},
        "tied": {"tie_word_embeddings": True},
        "as on the Hub": {"rotary_pct": 1.0, "rotary_emb_base": 10000, "torch_dtype": "float16"},
    },
    "opt": {
        "norm before": {},
        "norm after, narrow embedding": {"do_layer_norm_before": False, "word_embed_proj_dim": 80},
        "norm before, narrow embedding": {"word_embed_proj_dim": 80},
        "no biases": {"enable_bias": False},
        "norms without weights": {"layer_norm_elementwise_affine": False},
        "no final norm": {"_remove_final_layer_norm": True},
        "untied": {"tie_word_embeddings": False},
    },
    "bloom": {
        "six heads": {},
        "older name of the width": {"n_embed": 128, "n_head": 8},
        "untied": {"tie_word_embeddings": False},
        "residual after the norm": {"apply_residual_connection_post_layernorm": True},
        "slices": {"pretraining_tp": 2, "slow_but_exact": True},
    },
    "falcon": {
        "one key head, parallel": {},
        "no groups, alibi, in sequence, biases": {
            "multi_query": False,
            "alibi": True,
            "parallel_attn": False,
            "bias": True,
        },
        "new decoder, two norms": {"new_decoder_architecture": True, "num_kv_heads": 2},
        "new decoder, one norm": {
            "new_decoder_architecture": True,
            "num_kv_heads": 3,
            "num_ln_in_parallel_attn": 1,
            "ffn_hidden_size": 352,
        },
        "untied, wide": {"tie_word_embeddings": False, "ffn_hidden_size": 520},
        "older name of the width": {"n_embed": 120},
        "in sequence": {"parallel_attn": False},
    },
    "falcon_h1": {
        "no norm in the mixer": {},
        "width from expand, norm in groups": {
            "mamba_d_ssm": None,
            "mamba_n_heads": 12,
            "mamba_n_groups": 3,
            "mamba_rms_norm": True,
        },
        "biases": {"mamba_proj_bias": True, "projectors_bias": True, "attention_bias": True, "mlp_bias": True},
        "no convolution bias": {"mamba_conv_bias": False, "mamba_d_conv": 3},
        "tied, head size worked out": {"tie_word_embeddings": True, "mamba_d_head": "auto", "mamba_chunk_size": 64},
        "multipliers, heads of its own size": {
            "embedding_multiplier": 5.6,
            "lm_head_multiplier": 0.04,
            "mlp_multipliers": [0.9, 0.2],
            "ssm_multipliers": [0.3, 0.2, 0.1, 0.5, 0.4],
            "head_dim": 40,
            "mamba_norm_before_gate": False,
        },
    },
    "mamba": {
        "twelve states": {},
        "biases": {"use_bias": True},
        "no convolution bias": {"use_conv_bias": False, "conv_kernel": 3},
        "rank given": {"time_step_rank": 20},
        "wide": {"expand": 3, "state_size": 16},
        "untied": {"tie_word_embeddings": False},
    },
    "mamba2": {
        "four groups": {},
        "one group": {"n_groups": 1, "chunk_size": 16},
        "biases": {"use_bias": True},
        "no convolution bias": {"use_conv_bias": False, "conv_kernel": 3},
        "tied": {"tie_word_embeddings": True},
        "wide": {"expand": 3, "num_heads": 12, "head_dim": 48, "chunk_size": 128},
    },
    "deepseek_v2": {
        "one dense layer": {},
        "no query rank": {"q_lora_rank": None, "first_k_dense_replace": 0},
        "groups": {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "n_shared_experts": 2},
        "biases": {"attention_bias": True, "mlp_bias": True},
        "all dense, tied": {"first_k_dense_replace": 4, "tie_word_embeddings": True},
        "as on the Hub": {
            "rope_scaling": YARN,
            "rope_theta": 10000,
            "moe_layer_freq": 1,
            "scoring_func": "softmax",
            "aux_loss_alpha": 0.001,
        },
    },
    "deepseek_v3": {
        "one dense layer": {},
        "no query rank": {"q_lora_rank": None, "first_k_dense_replace": 0},
        "two shared experts, four groups": {"n_shared_experts": 2, "n_group": 4, "topk_group": 2},
        "bias, halves rotate": {"attention_bias": True, "rope_interleave": False},
        "all dense, tied": {"first_k_dense_replace": 4, "tie_word_embeddings": True},
        "as on the Hub": {
            "rope_scaling": YARN,
            "rope_theta": 10000,
            "num_nextn_predict_layers": 1,
            "moe_layer_freq": 1,
            "ep_size": 1,
            "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
        },
    },
    "gpt_oss": {
        "alternating window": {},
        "layer types": {"layer_types": [FULL, FULL, SLIDING, FULL, SLIDING]},
        "no attention bias": {"attention_bias": False},
        "one of two, tied": {"num_local_experts": 2, "num_experts_per_tok": 1, "tie_word_embeddings": True},
        "wide": {"intermediate_size": 352, "head_dim": 24, "num_key_value_heads": 6},
    },
    "olmo2": {
        "grouped heads": {},
        "no groups": {"num_key_value_heads": None},
        "bias": {"attention_bias": True},
        "tied": {"tie_word_embeddings": True},
        "heads of its own size": {"head_dim": 48},
    },
    "starcoder2": {
        "grouped heads": {},
        "no biases": {"use_bias": False},
        "untied": {"tie_word_embeddings": False},
        "short window": {"sliding_window": 16},
        "no groups": {"num_key_value_heads": 6, "head_dim": 48},
    },
    "cohere": {
        "grouped heads": {},
        "norms on queries and keys": {"use_qk_norm": True},
        "bias": {"attention_bias": True},
        "untied": {"tie_word_embeddings": False},
        "no groups": {"num_key_value_heads": None},
    },
    "cohere2": {
        "every fourth layer full": {},
        "sliding window pattern": {"sliding_window_pattern": 2},
        "layer types": {"layer_types": [FULL, SLIDING, SLIDING, FULL, SLIDING]},
        "bias, untied": {"attention_bias": True, "tie_word_embeddings": False},
        "no groups": {"num_key_value_heads": None},
    },
    "granite": {
        "grouped heads": {},
        "biases everywhere": {"attention_bias": True, "mlp_bias": True},
        "tied": {"tie_word_embeddings": True},
        "multipliers": {
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.0156,
        },
        "no groups, heads of its own size": {"num_key_value_heads": None, "head_dim": 48},
    },
}


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(model type, name, config) of the class default and of every variation."""
    for model_type, variations in VARIATIONS.items():
        head = {"model_type": model_type, "architectures": [ARCHITECTURES[model_type]]}
        yield model_type, "default", head
        for name, changes in variations.items():
            yield model_type, name, head | merged(SMALL[model_type], changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, a nested dict merged in turn."""
    both = {key: merged(base[key], changes[key]) for key in base.keys() & changes.keys() if isinstance(base[key], dict)}
    return base | changes | both
