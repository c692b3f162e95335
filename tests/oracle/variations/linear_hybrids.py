"""Decoders with state-space layers, short convolutions or linear attention."""

from __future__ import annotations

from variations.pieces import DELTA_NOTE, DENSE, FULL, LINEAR, MAMBA2_NOTE, MAMBA_NOTE, MOE, NO_IDS, Type

GROUPED = DENSE | NO_IDS
MAMBA2 = {"mamba_n_heads": 12, "mamba_n_groups": 3, "mamba_d_state": 20, "mamba_chunk_size": 32}
DELTA = {
    "num_hidden_layers": 4,
    "head_dim": 40,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 24,
    "linear_value_head_dim": 32,
}

TYPES: dict[str, Type] = {
    "falcon_mamba": (
        "FalconMambaForCausalLM",
        {"vocab_size": 1009, "hidden_size": 192, "num_hidden_layers": 3, "state_size": 12},
        {
            "twelve states": {},
            "biases, wide": {"use_bias": True, "expand": 3, "time_step_rank": 20},
            "no convolution bias, untied": {"use_conv_bias": False, "conv_kernel": 3, "tie_word_embeddings": False},
        },
    ),
    "bamba": (
        "BambaForCausalLM",
        GROUPED | MAMBA2 | {"num_hidden_layers": 4, "attn_layer_indices": [2]},
        {
            "one attention layer": {},
            "biases": {"attention_bias": True, "mlp_bias": True, "mamba_proj_bias": True},
            "no convolution bias, tied": {"mamba_conv_bias": False, "mamba_d_conv": 3, "tie_word_embeddings": True},
        },
    ),
    "granitemoehybrid": (
        "GraniteMoeHybridForCausalLM",
        GROUPED
        | MAMBA2
        | {
            "num_hidden_layers": 4,
            "num_local_experts": 7,
            "num_experts_per_tok": 3,
            "shared_intermediate_size": 104,
            "layer_types": ["mamba", "mamba", "attention", "mamba"],
        },
        {
            "experts": {},
            "no experts": {"num_local_experts": 0, "num_experts_per_tok": 0, "position_embedding_type": "rope"},
            "biases, tied": {"mamba_proj_bias": True, "attention_bias": True, "tie_word_embeddings": True},
        },
    ),
    "nemotron_h": (
        "NemotronHForCausalLM",
        GROUPED
        | {
            "num_hidden_layers": 5,
            "hybrid_override_pattern": "M-M*E",
            "head_dim": 40,
            "mamba_num_heads": 12,
            "mamba_head_dim": 24,
            "n_groups": 3,
            "ssm_state_size": 20,
            "chunk_size": 32,
            "n_routed_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 72,
            "moe_shared_expert_intermediate_size": 104,
        },
        {
            "all four kinds": {},
            "latent experts": {"moe_latent_size": 48, "hybrid_override_pattern": "MEM*E"},
            "biases, tied": {
                "mlp_bias": True,
                "use_bias": True,
                "attention_bias": True,
                "tie_word_embeddings": True,
                "hybrid_override_pattern": "M-*-M",
            },
        },
    ),
    "zamba2": (
        "Zamba2ForCausalLM",
        GROUPED
        | {
            "num_hidden_layers": 6,
            "num_key_value_heads": 6,
            "mamba_d_state": 20,
            "mamba_ngroups": 2,
            "n_mamba_heads": 12,
            "chunk_size": 32,
            "adapter_rank": 10,
            "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid", "mamba", "hybrid"],
        },
        {
            "one block": {},
            "two blocks, attention adapters": {"num_mem_blocks": 2, "use_shared_attention_adapter": True},
            "biases": {"add_bias_linear": True, "use_mem_rope": True},
            "untied": {"num_mem_blocks": 2, "tie_word_embeddings": False},
        },
    ),
    "lfm2": (
        "Lfm2ForCausalLM",
        GROUPED | {"num_hidden_layers": 4, "full_attn_idxs": [2], "block_multiple_of": 40},
        {
            "one attention layer": {},
            "width as stated, bias": {"block_auto_adjust_ff_dim": False, "conv_bias": True},
            "layer types, untied": {
                "full_attn_idxs": None,
                "layer_types": ["conv", FULL, FULL, "conv"],
                "tie_word_embeddings": False,
                "conv_L_cache": 4,
                "block_ffn_dim_multiplier": 1.3,
            },
        },
    ),
    "lfm2_moe": (
        "Lfm2MoeForCausalLM",
        MOE | NO_IDS | {"num_hidden_layers": 4, "num_dense_layers": 1, "layer_types": ["conv", "conv", FULL, "conv"]},
        {
            "one dense layer": {},
            "no correction, bias": {"use_expert_bias": False, "conv_bias": True},
            "all sparse, untied": {"num_dense_layers": 0, "tie_word_embeddings": False},
        },
    ),
    "minimax": (
        "MiniMaxForCausalLM",
        GROUPED
        | {"num_hidden_layers": 4, "num_local_experts": 7, "num_experts_per_tok": 3, "head_dim": 40, "block_size": 32},
        {
            "every second layer full": {},
            "layer types, tied": {"layer_types": [LINEAR, FULL, FULL, LINEAR], "tie_word_embeddings": True},
        },
    ),
    "qwen3_5_text": (
        "Qwen3_5ForCausalLM",
        GROUPED | DELTA,
        {
            "three linear to one full": {},
            "every second layer full, tied": {"full_attention_interval": 2, "tie_word_embeddings": True},
            "layer types, bias": {"layer_types": [FULL, LINEAR, LINEAR, FULL], "attention_bias": True},
        },
    ),
    "qwen3_5_moe_text": (
        "Qwen3_5MoeForCausalLM",
        MOE | NO_IDS | DELTA | {"shared_expert_intermediate_size": 104},
        {
            "three linear to one full": {},
            "every second layer full, tied": {"full_attention_interval": 2, "tie_word_embeddings": True},
        },
    ),
}

NO_DEFAULT = {
    "lfm2_moe": "layer_types has no default",
}
BUFFERS = {"lfm2_moe": ("expert_bias",)}
SCANS = {
    "falcon_mamba": MAMBA_NOTE,
    **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text"), DELTA_NOTE),
    **dict.fromkeys(("bamba", "granitemoehybrid", "nemotron_h", "zamba2"), MAMBA2_NOTE),
}
NOTES = {"minimax": "linear attention in blocks of block_size; in decode two products a token"}
