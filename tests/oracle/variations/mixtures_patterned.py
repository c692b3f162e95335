"""Mixtures of experts whose layers follow a pattern, or whose attention is latent or chosen."""

from __future__ import annotations

from variations.beyond import choices_of_an_identity, halves_of_identities, values_before_the_first_token
from variations.pieces import DENSE, FULL, INDEX_NOTE, MLA, MLA_NOTE, MOE, NO_IDS, SLIDING, Type

GROUPED = MOE | NO_IDS | {"num_hidden_layers": 5, "head_dim": 40, "sliding_window": 16}
PLAIN = DENSE | NO_IDS
LATENT = MLA | NO_IDS
INDEX = {"index_n_heads": 5, "index_head_dim": 28, "index_topk": 256}

TYPES: dict[str, Type] = {
    "afmoe": (
        "AfmoeForCausalLM",
        GROUPED | {"num_shared_experts": 1},
        {
            "one dense layer": {},
            "every third layer full, three shared": {"global_attn_every_n_layers": 3, "num_shared_experts": 3},
            "two dense, biases": {"num_dense_layers": 2, "attention_bias": True, "mup_enabled": True},
            "layer types, tied": {
                "layer_types": [FULL, SLIDING, FULL, FULL, SLIDING],
                "num_dense_layers": 0,
                "tie_word_embeddings": True,
            },
        },
    ),
    "kolibri1": (
        "Kolibri1ForCausalLM",
        {k: v for k, v in GROUPED.items() if k != "intermediate_size"} | {"shared_expert_intermediate_size": 104},
        {
            "every fifth layer full": {"num_hidden_layers": 6},
            "layer types": {"layer_types": [SLIDING, FULL, FULL, SLIDING, FULL], "num_key_value_heads": 3},
            "all full, tied": {
                "layer_types": [FULL] * 5,
                "tie_word_embeddings": True,
                "num_experts_per_tok": 1,
            },
        },
    ),
    "beam": (
        "BeamForCausalLM",
        GROUPED | {"num_hidden_layers": 7, "num_experts": 12, "n_group": 4, "topk_group": 2},
        {
            "three dense layers": {},
            "all layer types rotate": {
                "rope_parameters": {t: {"rope_type": "default", "rope_theta": 10000.0} for t in (FULL, SLIDING)},
                "attention_bias": True,
            },
            "listed, tied": {
                "num_hidden_layers": 3,
                "layer_types": [FULL, SLIDING, SLIDING],
                "mlp_layer_types": ["sparse", "dense", "sparse"],
                "tie_word_embeddings": True,
            },
        },
    ),
    "flint": (
        "FlintForCausalLM",
        GROUPED | {"num_hidden_layers": 7, "shared_expert_intermediate_size": 104},
        {
            "two dense layers": {},
            "every second layer": {"decoder_sparse_step": 2, "mlp_only_layers": [3], "attention_bias": True},
            "layer types, all sparse, tied": {
                "num_hidden_layers": 3,
                "layer_types": [SLIDING, FULL, SLIDING],
                "mlp_only_layers": [],
                "tie_word_embeddings": True,
            },
        },
    ),
    "mellum": (
        "MellumForCausalLM",
        GROUPED | {"num_hidden_layers": 4},
        {
            "three of seven": {},
            "windows and dense layers": {
                "layer_types": [SLIDING, SLIDING, FULL, SLIDING],
                "mlp_layer_types": ["dense", "sparse", "sparse", "dense"],
                "attention_bias": True,
            },
            "tied": {"tie_word_embeddings": True, "num_key_value_heads": 6, "num_mtp_layers": 1},
        },
    ),
    "flex_olmo": (
        "FlexOlmoForCausalLM",
        PLAIN | {"num_experts": 6, "num_experts_per_tok": 2},
        {
            "two of six": {},
            "bias, four of five": {"attention_bias": True, "num_experts": 5, "num_experts_per_tok": 4},
            "wide heads, tied": {"head_dim": 48, "tie_word_embeddings": True},
        },
    ),
    "granitemoe_swa": (
        "GraniteMoeSWAForCausalLM",
        PLAIN | {"num_hidden_layers": 5, "num_local_experts": 7, "num_experts_per_tok": 3, "sliding_window": 16},
        {
            "three of seven": {},
            "shared MLP, biases": {"shared_intermediate_size": 104, "attention_bias": True},
            "layers without positions, tied": {
                "layer_types": [SLIDING, FULL, SLIDING, SLIDING, FULL],
                "layer_rope_theta": [10000.0, 0, 10000.0, 500000.0, 0],
                "tie_word_embeddings": True,
            },
        },
    ),
    "aria_text": (
        "AriaTextForCausalLM",
        PLAIN | {"moe_num_experts": 6, "moe_topk": 3, "intermediate_size": 72},
        {
            "three of six": {},
            "biases, one shared": {"attention_bias": True, "mlp_bias": True, "moe_num_shared_experts": 1},
            "wide heads, three shared, tied": {
                "head_dim": 40,
                "moe_num_shared_experts": 3,
                "tie_word_embeddings": True,
            },
        },
    ),
    "cohere2_moe": (
        "Cohere2MoeForCausalLM",
        PLAIN
        | {
            "num_hidden_layers": 6,
            "head_dim": 40,
            "intermediate_size": 72,
            "num_experts": 7,
            "num_experts_per_tok": 3,
            "sliding_window": 16,
        },
        {
            "all sparse": {},
            "two dense layers, RMSNorm": {
                "first_k_dense_replace": 2,
                "prefix_dense_intermediate_size": 352,
                "num_shared_experts": 2,
                "rms_norm_eps": 1e-6,
            },
            "a pattern of its own in front": {
                "first_k_dense_replace": 3,
                "prefix_dense_sliding_window_pattern": 2,
                "sliding_window_pattern": 3,
                "attention_bias": True,
            },
            "listed, untied": {
                "num_hidden_layers": 3,
                "layer_types": [SLIDING, FULL, FULL],
                "mlp_layer_types": ["sparse", "dense", "sparse"],
                "shared_expert_combination_strategy": "sum",
                "num_shared_experts": 1,
                "tie_word_embeddings": False,
            },
        },
    ),
    "cohere_compass_text": (
        "CohereCompassForCausalLM",
        PLAIN | {"sliding_window": 16},
        {
            "full": {"rope_parameters": {FULL: {"rope_type": "default", "rope_theta": 10000.0}}},
            "own head size": {
                "head_dim": 40,
                "rope_parameters": {FULL: {"rope_type": "default", "rope_theta": 10000.0}},
            },
            "windows, biases": {
                "layer_types": [SLIDING, FULL, SLIDING],
                "rope_parameters": {SLIDING: {"rope_type": "default", "rope_theta": 10000.0}, FULL: None},
                "attention_bias": True,
            },
            "untied": {
                "layer_types": [FULL, SLIDING, FULL],
                "rope_parameters": {t: {"rope_type": "default", "rope_theta": 10000.0} for t in (FULL, SLIDING)},
                "tie_word_embeddings": False,
                "num_key_value_heads": 3,
            },
        },
    ),
    "axk1": (
        "AXK1ForCausalLM",
        LATENT | {"n_group": 2, "topk_group": 1},
        {
            "one dense layer": {},
            "every second layer, biases": {
                "num_hidden_layers": 5,
                "first_k_dense_replace": 2,
                "moe_layer_freq": 2,
                "attention_bias": True,
            },
            "listed, two shared, tied": {
                "mlp_layer_types": ["sparse", "dense", "sparse", "dense"],
                "n_shared_experts": 2,
                "tie_word_embeddings": True,
            },
        },
    ),
    "axk2": (
        "AXK2ForCausalLM",
        LATENT | INDEX | {"gated_norm_rank": 10},
        {
            "one dense layer": {},
            "every second layer, biases": {
                "num_hidden_layers": 5,
                "first_k_dense_replace": 0,
                "moe_layer_freq": 2,
                "attention_bias": True,
                "n_group": 4,
                "topk_group": 2,
            },
            "listed, two shared, tied": {
                "mlp_layer_types": ["sparse", "dense", "sparse", "dense"],
                "n_shared_experts": 2,
                "tie_word_embeddings": True,
                "gated_norm_rank": 6,
            },
        },
    ),
    "longcat_flash": (
        "LongcatFlashForCausalLM",
        {
            k: v
            for k, v in LATENT.items()
            if k not in ("num_hidden_layers", "num_experts_per_tok", "moe_intermediate_size")
        }
        | {
            "num_layers": 2,
            "head_dim": 16,
            "ffn_hidden_size": 352,
            "expert_ffn_hidden_size": 72,
            "moe_topk": 3,
            "zero_expert_num": 4,
        },
        {
            "three of eight and four": {},
            "three layers, biases": {"num_layers": 3, "attention_bias": True, "moe_topk": 4, "router_bias": True},
            "no identities, tied": {"zero_expert_num": 0, "n_routed_experts": 6, "tie_word_embeddings": True},
        },
    ),
    "hy_v4": (
        "HYV4ForCausalLM",
        LATENT | INDEX | {"num_hidden_layers": 6},
        {
            "three of four share a choice": {},
            "listed, biases": {
                "indexer_types": ["full", "shared", "full", "shared", "shared", "full"],
                "mlp_layer_types": ["sparse", "dense", "sparse", "sparse", "dense", "sparse"],
                "attention_bias": True,
            },
            "three streams, two shared, tied": {
                "num_hidden_layers": 3,
                "hc_mult": 3,
                "n_shared_experts": 2,
                "tie_word_embeddings": True,
            },
        },
    ),
    "dots3_note_text": (
        "Dots3NoteForCausalLM",
        LATENT
        | INDEX
        | {
            "num_hidden_layers": 6,
            "n_group": 1,
            "shared_experts_intermediate_size": 104,
            "sliding_window": 16,
            "head_dim": 40,
            "swa_num_attention_heads": 4,
            "swa_num_key_value_heads": 4,
            "swa_q_lora_rank": 48,
            "swa_kv_lora_rank": 44,
            "swa_head_dim": 52,
            "swa_qk_nope_head_dim": 32,
            "swa_v_head_dim": 28,
        },
        {
            "three of four slide": {},
            "every second layer, biases": {
                "first_k_dense_replace": 2,
                "moe_layer_freq": 2,
                "attention_bias": True,
                "n_shared_experts": 2,
            },
            "no indexer": {"use_dsa": False, "moe_layer_freq": [0, 1, 1, 0, 1, 1], "swa_qk_rope_head_dim": 20},
            "no windows, tied": {"use_sliding_window": False, "num_hidden_layers": 3, "tie_word_embeddings": True},
            "sizes by layer": {
                "num_hidden_layers": 3,
                "layer_types": ["indexed_attention", SLIDING, FULL],
                "per_layer_config": {"1": {"num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 44}},
                "head_dim": 40,
            },
        },
    ),
    "jetmoe": (
        "JetMoeForCausalLM",
        NO_IDS
        | {
            "vocab_size": 1009,
            "hidden_size": 192,
            "num_hidden_layers": 3,
            "num_key_value_heads": 2,
            "kv_channels": 40,
            "intermediate_size": 72,
            "num_local_experts": 7,
            "num_experts_per_tok": 3,
        },
        {
            "three of seven": {},
            "two of five, untied": {
                "num_local_experts": 5,
                "num_experts_per_tok": 2,
                "num_key_value_heads": 3,
                "tie_word_embeddings": False,
            },
            "one of four": {"num_local_experts": 4, "num_experts_per_tok": 1, "num_hidden_layers": 2},
        },
    ),
    "zaya": (
        "ZayaForCausalLM",
        PLAIN
        | {
            "num_hidden_layers": 4,
            "head_dim": 40,
            "moe_intermediate_size": 72,
            "num_experts": 7,
            "router_hidden_size": 28,
        },
        {
            "one of seven": {},
            "windows, biases, untied": {
                "layer_types": ["hybrid_sliding", "hybrid", "hybrid_sliding", "hybrid"],
                "sliding_window": 16,
                "attention_bias": True,
                "lm_head_bias": True,
                "tie_word_embeddings": False,
            },
            "longer kernels": {"cca_time0": 3, "cca_time1": 4, "num_key_value_heads": 3, "num_hidden_layers": 2},
        },
    ),
    "minimax_m3_vl_text": (
        "MiniMaxM3VLForCausalLM",
        PLAIN
        | {
            "num_hidden_layers": 4,
            "head_dim": 40,
            "rotary_dim": 20,
            "intermediate_size": 72,
            "dense_intermediate_size": 352,
            "shared_intermediate_size": 104,
            "num_local_experts": 7,
            "num_experts_per_tok": 3,
            "index_n_heads": 2,
            "index_head_dim": 40,
            "index_topk_blocks": 4,
        },
        {
            "full attention": {},
            "two block-sparse, one dense layer": {
                "layer_types": [FULL, "minimax_m3_sparse", "minimax_m3_sparse", FULL],
                "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
            },
            "as on the Hub, tied": {
                "sparse_attention_config": {
                    "sparse_num_index_heads": 2,
                    "sparse_index_dim": 44,
                    "sparse_block_size": 64,
                    "sparse_topk_blocks": 6,
                    "sparse_local_block": 1,
                    "sparse_attention_freq": [0, 0, 1, 1],
                },
                "moe_layer_freq": [0, 0, 1, 1],
                "tie_word_embeddings": True,
            },
        },
    ),
    "dbrx": (
        "DbrxForCausalLM",
        NO_IDS
        | {
            "vocab_size": 1009,
            "d_model": 192,
            "n_heads": 6,
            "n_layers": 3,
            "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8},
            "ffn_config": {"ffn_hidden_size": 72, "moe_num_experts": 7, "moe_top_k": 3},
        },
        {
            "three of seven": {},
            "one key-value head": {"attn_config": {"kv_n_heads": 1}, "n_layers": 2},
            "one of four": {"d_model": 240, "ffn_config": {"moe_num_experts": 4, "moe_top_k": 1}},
        },
    ),
}

NO_DEFAULT = {
    "dbrx": "its attn_config has no rope_theta, which the attention reads",
    "cohere_compass_text": "it has no rope_parameters for the layers' types",
}
TRANSPOSED = {"aria_text": ("experts.fc1.weight", "experts.fc2.weight")}
BUFFERS = {"afmoe": (), "zaya": ("balancing_biases",)}
BEYOND = {"longcat_flash": (choices_of_an_identity,), "zaya": (values_before_the_first_token,)}
ADDED = {"longcat_flash": halves_of_identities}
RENAMED = {
    "hy_v4": (
        (r"\.(hc_\w+)\.hc_pre\.", r".hc_pre.\1."),
        (r"\.hc_head\.", ".hc_pre.hc_head."),
        (r"\.mlp\.(shared_experts\.)?gate_proj\.", r".mlp.\1linear_gate."),
    ),
}
NOTES = {
    "minimax_m3_vl_text": INDEX_NOTE,
    "zaya": "a prefill projects a zero token in front of each sequence for its delayed value",
    "axk1": MLA_NOTE,
    "axk2": f"{MLA_NOTE}; {INDEX_NOTE}",
    "hy_v4": f"{MLA_NOTE}; {INDEX_NOTE}",
    "dots3_note_text": f"{MLA_NOTE}; {INDEX_NOTE}",
    "longcat_flash": f"{MLA_NOTE}; the identity experts have a gate and an up projection here, 180 B parameters that "
    "the published 561 B lack, and every choice is an expert that computes",
}
