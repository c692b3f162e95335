"""Decoders with experts."""

from __future__ import annotations

from typing import Any

from variations.beyond import experts_not_chosen, keys_before_the_chunk
from variations.pieces import ALL_EXPERTS_NOTE, DENSE, FULL, INDEX_NOTE, MLA, MLA_NOTE, MOE, NO_IDS, SLIDING, YARN, Type

GROUPED = DENSE | NO_IDS
# DeepSeek's names of the experts beside grouped-query attention.
ROUTED = GROUPED | {
    "num_hidden_layers": 4,
    "head_dim": 40,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 72,
}
LOCAL = GROUPED | {"num_local_experts": 7, "num_experts_per_tok": 3}
INDEXED = MLA | NO_IDS | {"index_n_heads": 5, "index_head_dim": 28, "index_topk": 256, "n_group": 2, "topk_group": 1}


def without_experts(config: dict[str, Any]) -> dict[str, Any]:
    """The config for variations that state the experts' numbers, under one name or another."""
    return {key: value for key, value in config.items() if key not in ("n_routed_experts", "n_shared_experts")}


TYPES: dict[str, Type] = {
    "phimoe": (
        "PhimoeForCausalLM",
        GROUPED | {"num_local_experts": 6, "num_experts_per_tok": 2},
        {
            "two of six": {},
            "biases": {"attention_bias": True, "lm_head_bias": True},
            "short window, tied": {"sliding_window": 16, "tie_word_embeddings": True},
        },
    ),
    "minimax_m2": (
        "MiniMaxM2ForCausalLM",
        LOCAL | {"head_dim": 40},
        {"three of seven": {}, "tied": {"tie_word_embeddings": True}, "as on the Hub": {"rotary_dim": 20}},
    ),
    "olmoe": (
        "OlmoeForCausalLM",
        GROUPED | {"num_experts": 7, "num_experts_per_tok": 3},
        {"three of seven": {}, "bias, tied": {"attention_bias": True, "tie_word_embeddings": True}},
    ),
    "dots1": (
        "Dots1ForCausalLM",
        ROUTED | {"first_k_dense_replace": 1},
        {
            "one dense layer": {},
            "windows in the upper layers": {"sliding_window": 16, "max_window_layers": 2, "attention_bias": True},
            "all dense, tied": {"first_k_dense_replace": 4, "tie_word_embeddings": True},
        },
    ),
    "solar_open": (
        "SolarOpenForCausalLM",
        ROUTED,
        {"three of eight": {}, "two shared, tied": {"n_shared_experts": 2, "tie_word_embeddings": True}},
    ),
    "glm4_moe": (
        "Glm4MoeForCausalLM",
        ROUTED,
        {
            "one dense layer": {},
            "norms on queries and keys": {"use_qk_norm": True, "attention_bias": True},
            "two dense, two shared, tied": {
                "first_k_dense_replace": 2,
                "n_shared_experts": 2,
                "tie_word_embeddings": True,
            },
        },
    ),
    "sarvam_moe": (
        "Glm4MoeForCausalLM",
        without_experts(ROUTED),
        {
            "one dense layer": {"n_routed_experts": 8, "n_shared_experts": 1},
            "biases, no norms on queries and keys": {
                "n_routed_experts": 8,
                "n_shared_experts": 1,
                "use_qk_norm": False,
                "attention_bias": True,
            },
            "two dense, two shared, tied, the authors' names": {
                "first_k_dense_replace": 2,
                "num_shared_experts": 2,
                "num_experts": 7,
                "use_qkv_bias": True,
                "tie_word_embeddings": True,
            },
        },
    ),
    "sarvam_mla": (
        "DeepseekV3ForCausalLM",
        without_experts(MLA) | NO_IDS,
        {
            "one dense layer": {"n_routed_experts": 8, "n_shared_experts": 1},
            "no query rank": {
                "n_routed_experts": 8,
                "n_shared_experts": 1,
                "q_lora_rank": None,
                "attention_bias": True,
            },
            "the authors' names": {
                "head_dim": 56,
                "q_lora_rank": None,
                "num_experts": 7,
                "num_shared_experts": 2,
                "rope_scaling": YARN | {"type": "deepseek_yarn"},
                "tie_word_embeddings": True,
            },
        },
    ),
    "glm4_moe_lite": (
        "Glm4MoeLiteForCausalLM",
        MLA | NO_IDS,
        {
            "one dense layer": {},
            "no query rank": {"q_lora_rank": None, "attention_bias": True},
            "layer types, tied": {
                "mlp_layer_types": ["sparse", "dense", "sparse", "dense"],
                "tie_word_embeddings": True,
            },
        },
    ),
    "glm_moe_dsa": (
        "GlmMoeDsaForCausalLM",
        INDEXED,
        {
            "one dense layer": {},
            "every second layer indexes": {"index_topk_freq": 2, "index_skip_topk_offset": 1},
            "bias, tied": {"attention_bias": True, "tie_word_embeddings": True},
        },
    ),
    "deepseek_v32": (
        "DeepseekV32ForCausalLM",
        INDEXED,
        {
            "one dense layer": {},
            "bias, two shared": {"attention_bias": True, "n_shared_experts": 2},
            "as on the Hub, tied": {"rope_scaling": YARN, "rope_theta": 10000, "tie_word_embeddings": True},
        },
    ),
    "exaone_moe": (
        "ExaoneMoeForCausalLM",
        GROUPED
        | {
            "num_hidden_layers": 5,
            "num_experts": 7,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 72,
            "sliding_window": 16,
        },
        {
            "every fourth layer full": {},
            "every third layer full, two shared": {
                "sliding_window_pattern": 3,
                "num_shared_experts": 2,
                "head_dim": 40,
            },
            "two dense, tied": {"first_k_dense_replace": 2, "tie_word_embeddings": True},
        },
    ),
    "hy_v3": (
        "HYV3ForCausalLM",
        MOE | NO_IDS | {"head_dim": 40},
        {"one dense layer": {}, "two shared, biases": {"num_shared_experts": 2, "mlp_bias": True}},
    ),
    "hunyuan_v1_moe": (
        "HunYuanMoEV1ForCausalLM",
        GROUPED | {"num_experts": 6, "moe_topk": 2, "head_dim": 40},
        {
            "two of six": {},
            "bias, tied": {"attention_bias": True, "tie_word_embeddings": True},
            "wide heads, one of four": {"head_dim": 48, "num_experts": 4, "moe_topk": 1},
        },
    ),
    "ernie4_5_moe": (
        "Ernie4_5_MoeForCausalLM",
        GROUPED | {"num_hidden_layers": 4, "moe_num_experts": 7, "moe_k": 3, "moe_intermediate_size": 72},
        {
            "one dense layer": {},
            "every second layer": {"moe_layer_interval": 2, "moe_num_shared_experts": 1},
            "first and last dense, untied": {
                "moe_layer_end_index": 2,
                "tie_word_embeddings": False,
                "moe_num_shared_experts": 0,
            },
            "biases": {"use_bias": True},
        },
    ),
    "granitemoe": (
        "GraniteMoeForCausalLM",
        LOCAL,
        {"three of seven": {}, "bias, tied": {"attention_bias": True, "tie_word_embeddings": True}},
    ),
    "granitemoeshared": (
        "GraniteMoeSharedForCausalLM",
        LOCAL | {"shared_intermediate_size": 104},
        {"three of seven": {}, "no shared MLP, tied": {"shared_intermediate_size": 0, "tie_word_embeddings": True}},
    ),
    "mimo_v2_flash": (
        "MiMoV2FlashForCausalLM",
        GROUPED
        | {
            "num_hidden_layers": 7,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 40,
            "v_head_dim": 28,
            "sliding_window": 17,
            "n_routed_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 72,
        },
        {
            "one full to five sliding": {},
            "layer types": {
                "layer_types": [FULL, SLIDING, FULL, SLIDING, SLIDING, FULL, SLIDING],
                "attention_bias": True,
            },
            "tied": {"tie_word_embeddings": True, "num_key_value_heads": 4},
        },
    ),
    "laguna": (
        "LagunaForCausalLM",
        MOE
        | NO_IDS
        | {
            "num_hidden_layers": 4,
            "head_dim": 40,
            "sliding_window": 16,
            "shared_expert_intermediate_size": 104,
            "pad_token_id": None,
        },
        {
            "a gate a head": {},
            "a gate an element": {"gating": "per-element"},
            "heads and windows by layer": {
                "num_attention_heads_per_layer": [6, 8, 4, 6],
                "layer_types": [FULL, SLIDING, SLIDING, FULL],
            },
            "bias, tied": {"attention_bias": True, "tie_word_embeddings": True},
        },
    ),
    "llama4_text": (
        "Llama4ForCausalLM",
        GROUPED
        | {
            "num_hidden_layers": 4,
            "head_dim": 40,
            "intermediate_size": 72,
            "intermediate_size_mlp": 352,
            "num_local_experts": 6,
            "num_experts_per_tok": 1,
            "attention_chunk_size": 256,
        },
        {
            "one of six": {},
            "every second layer, biases": {"interleave_moe_layer_step": 2, "attention_bias": True},
            "no norms on queries and keys, tied": {"use_qk_norm": False, "tie_word_embeddings": True},
            "chunks shorter than the text": {"attention_chunk_size": 28},
        },
    ),
    "deepseek_v4": (
        "DeepseekV4ForCausalLM",
        GROUPED
        | {
            "num_hidden_layers": 5,
            "num_key_value_heads": 1,
            "head_dim": 48,
            "q_lora_rank": 56,
            "o_groups": 3,
            "o_lora_rank": 40,
            "sliding_window": 16,
            "n_routed_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 72,
            "index_n_heads": 5,
            "index_head_dim": 32,
            "index_topk": 24,
            "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16},
            "partial_rotary_factor": 0.25,
        },
        {
            "small": {},
            "three streams": {"hc_mult": 3, "num_hash_layers": 1},
            "one shared expert all the same": {"n_shared_experts": 2, "mlp_bias": True},
        },
    ),
}

NO_DEFAULT = {
    "hunyuan_v1_moe": "head_dim has no default",
    "dots1": "the experts have no default",
}
TRANSPOSED = {"llama4_text": ("experts.gate_up_proj", "experts.down_proj")}
BEYOND = {"llama4_text": (experts_not_chosen, keys_before_the_chunk)}
BUFFERS = {
    "hy_v3": ("expert_bias",),
    "sarvam_moe": ("expert_bias",),
    "ernie4_5_moe": (),
    "laguna": (),
    "deepseek_v4": ("gate.bias", "gate.tid2eid"),
}
RENAMED = {
    "deepseek_v4": (
        (r"^embed\.", "embed_tokens."),
        (r"^hc_head_", "hc_head.hc_"),
        (r"\.attn\.kv_norm\.", ".attn.norm."),
        (r"^(?!head\.)", "model."),
    ),
}
NOTES = {
    "deepseek_v32": f"{MLA_NOTE}; {INDEX_NOTE}",
    "glm_moe_dsa": f"{MLA_NOTE}; {INDEX_NOTE}",
    "deepseek_v4": INDEX_NOTE,
    "glm4_moe_lite": MLA_NOTE,
    "sarvam_mla": MLA_NOTE,
    "llama4_text": ALL_EXPERTS_NOTE,
}
