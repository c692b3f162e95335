"""Decoders with linear attention, recurrences and state-space layers of other kinds."""

from __future__ import annotations

from collections.abc import Iterator

from variations import beyond
from variations.pieces import (
    DELTA_NOTE,
    DENSE,
    FULL,
    LINEAR,
    MAMBA_NOTE,
    MLA,
    MLA_NOTE,
    MOE,
    NO_IDS,
    SLIDING,
    VISION,
    Type,
)

OTHER_NAMES = ("n_routed_experts", "n_shared_experts", "num_experts_per_tok", "first_k_dense_replace", "q_lora_rank")
KIMI = {key: value for key, value in MLA.items() if key not in OTHER_NAMES} | {
    "num_experts": 8,
    "num_shared_experts": 1,
    "num_experts_per_token": 3,
    "num_hidden_layers": 5,
}
NO_CONTEXT = {key: value for key, value in DENSE.items() if key not in ("num_attention_heads", "num_key_value_heads")}

DELTA = {
    "num_hidden_layers": 4,
    "head_dim": 40,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 24,
    "linear_value_head_dim": 32,
}
QWEN4 = (
    MOE
    | DELTA
    | {
        "shared_expert_intermediate_size": 104,
        "hc_lowrank": 44,
        "indexer_n_heads": 3,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 48,
        "indexer_budget": 32,
        "indexer_compress_ratio": 4,
        "ngram_vocab_size_base": 500,
        "make_ngram_vocab_size_divisible_by": 64,
        "split_ngram_parts": 5,
        "eos_token_id": 7,
    }
)

LOCAL = {"hidden_size": 96, "num_attention_heads": 4}
INKLING = MOE | {
    "num_hidden_layers": 4,
    "layer_types": ["hybrid_sliding", "hybrid_sliding", "hybrid_sliding", "hybrid"],
    "head_dim": 40,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_head_dim": 24,
    "sliding_window_size": 20,
    "d_rel": 10,
    "rel_extent": 50,
    "n_routed_experts": 7,
    "bos_token_id": None,
    "eos_token_id": None,
}
INKLING = {key: value for key, value in INKLING.items() if key != "num_experts"}

TYPES: dict[str, Type] = {
    "kimi_linear": (
        "KimiLinearForCausalLM",
        KIMI | NO_IDS | {"linear_head_dim": 28, "linear_num_heads": 5},
        {
            "every fourth full": {},
            "low-rank queries, bias, two dense": {
                "q_lora_rank": 56,
                "attention_bias": True,
                "first_k_dense_replace": 2,
                "num_shared_experts": 2,
            },
            "as the checkpoint states it": {
                "linear_attn_config": {
                    "full_attn_layers": [2, 5],
                    "kda_layers": [1, 3, 4],
                    "head_dim": 20,
                    "num_heads": 7,
                    "short_conv_kernel_size": 3,
                },
                "num_experts": 6,
                "num_experts_per_token": 2,
                "num_shared_experts": 3,
            },
            "layer types, all sparse, tied": {
                "layer_types": [FULL, LINEAR, LINEAR, FULL, LINEAR],
                "mlp_layer_types": ["sparse"] * 5,
                "linear_conv_kernel_dim": 5,
                "tie_word_embeddings": True,
            },
        },
    ),
    "bailing_hybrid": (
        "BailingHybridForCausalLM",
        KIMI | NO_IDS | {"layer_group_size": 3, "head_dim": 28, "num_expert_group": 2, "topk_group": 1},
        {
            "every third full": {},
            "bias, one dense, wider gate": {
                "attention_bias": True,
                "first_k_dense_replace": 1,
                "kda_safe_gate": False,
                "short_conv_kernel_size": 3,
            },
            "as transformers saves it": {
                "head_dim": 16,
                "linear_head_dim": 28,
                "linear_num_heads": 5,
                "linear_conv_kernel_dim": 3,
            },
            "layer types, two shared experts": {
                "layer_types": [FULL, LINEAR, LINEAR, FULL, LINEAR],
                "mlp_layer_types": ["sparse", "dense", "sparse", "sparse", "dense"],
                "num_shared_experts": 2,
                "num_nextn_predict_layers": 0,
                "tie_word_embeddings": True,
            },
        },
    ),
    "olmo_hybrid": (
        "OlmoHybridForCausalLM",
        DENSE | NO_IDS | {"num_hidden_layers": 4},
        {
            "sizes of the attention": {},
            "sizes of its own": {
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 4,
                "linear_key_head_dim": 24,
                "linear_value_head_dim": 24,
                "linear_conv_kernel_dim": 3,
            },
            "layer types, bias, rotary": {
                "layer_types": [FULL, LINEAR, FULL, LINEAR],
                "attention_bias": True,
                "num_key_value_heads": None,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "three layers, the last full, tied": {"num_hidden_layers": 3, "tie_word_embeddings": True},
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemmaForCausalLM",
        DENSE | NO_IDS | {"num_hidden_layers": 4, "attention_window_size": 20, "intermediate_size": 706},
        {
            "two recurrences to one": {},
            "wider recurrence, one head of keys": {"lru_width": 228, "num_key_value_heads": 1, "conv1d_width": 3},
            "alternating, bias, untied": {
                "block_types": ["attention", "recurrent"],
                "attention_bias": True,
                "num_key_value_heads": None,
                "attention_window_size": 300,
                "tie_word_embeddings": False,
            },
        },
    ),
    "rwkv": (
        "RwkvForCausalLM",
        NO_CONTEXT | NO_IDS,
        {
            "intermediate as stated": {},
            "four times as wide, tied": {"intermediate_size": None, "tie_word_embeddings": True, "rescale_every": 0},
            "narrower attention": {"attention_hidden_size": 136, "num_hidden_layers": 4},
        },
    ),
    "xlstm": (
        "xLSTMForCausalLM",
        # Its cache rounds the widths of keys and values up to multiples of 64, its projections do not.
        {"vocab_size": 1009, "hidden_size": 256, "num_hidden_layers": 3, "num_heads": 4, "chunk_size": 16},
        {
            "half as wide keys": {},
            "wide values, biases": {
                "num_heads": 2,
                "hidden_size": 192,
                "qk_dim_factor": 1.0,
                "v_dim_factor": 2.0,
                "use_bias": True,
                "ffn_proj_factor": 1.5,
            },
            "fused, tied": {
                "weight_mode": "fused",
                "num_heads": 2,
                "qk_dim_factor": 0.25,
                "num_blocks": 4,
                "num_hidden_layers": 4,
                "ffn_round_up_to_multiple_of": 10,
                "tie_word_embeddings": True,
            },
            "fused, biases": {"weight_mode": "fused", "use_bias": True},
        },
    ),
    "qwen4_exp_text": (
        "Qwen4ExpForCausalLM",
        QWEN4,
        {
            "three linear to one indexed": {},
            "n-grams, three streams": {
                "ple_layer_ids": [1, 3],
                "hc_count": 3,
                "ngram_size": 4,
                "heads_per_ngram": 2,
                "ple_embed_dim": 120,
                "ple_conv_kernel_size": 3,
            },
            "indexed last, n-grams": {
                "layer_types": [LINEAR] * 3 + ["indexed_attention"],
                "ple_layer_ids": [2],
                "hc_count": 2,
                "tie_word_embeddings": True,
                "split_ngram_parts": 4,
                "linear_conv_kernel_dim": 3,
            },
            "layer types, bias": {"layer_types": [FULL, LINEAR, FULL, LINEAR], "attention_bias": True},
        },
    ),
    "qwen4_exp": (
        "Qwen4ExpForConditionalGeneration",
        {"text_config": QWEN4, "vision_config": VISION | {"deepstack_visual_indexes": []}},
        {"small": {}, "n-grams": {"text_config": {"ple_layer_ids": [1], "tie_word_embeddings": True}}},
    ),
    "inkling_text": (
        "InklingForCausalLM",
        INKLING,
        {
            "local but for the last": {},
            "ids, one dense, three shared": {
                "layer_types": None,
                "local_layer_ids": [1, 2],
                "dense_mlp_idx": 1,
                "n_shared_experts": 3,
                "conv_kernel_size": 3,
                "tie_word_embeddings": True,
            },
            "types, older spelling": {
                "layer_types": ["hybrid", "hybrid_sliding", "hybrid", "hybrid_sliding"],
                "mlp_layer_types": ["sparse", "dense", "dense", "sparse"],
                "dense_intermediate_size": 200,
                "unpadded_vocab_size": 990,
                "log_scaling_n_floor": 64,
            },
        },
    ),
    "lara_mini": (
        "LaraMiniForCausalLM",
        MOE | DELTA | {"shared_expert_intermediate_size": 104, "sliding_window": 16, "num_hidden_layers": 5},
        {
            "as released": {},
            "layer types, untied": {
                "layer_types": [SLIDING, FULL, LINEAR, LINEAR, LINEAR],
                "tie_word_embeddings": False,
                "linear_conv_kernel_dim": 3,
            },
            "biases, as many key heads": {"attention_bias": True, "linear_num_key_heads": 4, "sliding_window": 40},
        },
    ),
    "inkling2_text": (
        "Inkling2ForCausalLM",
        INKLING | {"unpadded_vocab_size": 1000, "n_layers_per_attn_res_block": 2},
        {
            "local but for the last": {},
            "five layers, blocks of three": {
                "num_hidden_layers": 5,
                "layer_types": ["hybrid", "hybrid_sliding", "hybrid", "hybrid_sliding", "hybrid"],
                "n_layers_per_attn_res_block": 3,
                "conv_kernel_size": 3,
                "num_attention_heads": 8,
            },
            "blocks of one layer": {"n_layers_per_attn_res_block": 1, "d_rel": 6, "tie_word_embeddings": True},
        },
    ),
    "inkling2_loop_text": (
        "Inkling2LoopForCausalLM",
        INKLING
        | {
            "unpadded_vocab_size": 1000,
            "n_layers_per_attn_res_block": 2,
            "num_hidden_layers": 6,
            "layer_types": ["hybrid_sliding", "hybrid", "hybrid_sliding", "hybrid", "hybrid_sliding", "hybrid"],
            "loop_layer_index_start": 2,
            "loop_layer_index_end": 4,
            "loop_gate_rank": 28,
        },
        {
            "three passes of one block": {},
            "two passes of two blocks": {"loop_layer_index_end": 6, "loop_num_passes": 2},
            "four passes, as the first files state them": {
                "loop_config": {"core_start": 3, "core_end": 6, "num_passes": 4, "gate_rank": 20},
                "n_layers_per_attn_res_block": 3,
                "conv_kernel_size": 3,
            },
            "blocks of one layer, one pass": {
                "n_layers_per_attn_res_block": 1,
                "loop_layer_index_start": 1,
                "loop_num_passes": 1,
            },
        },
    ),
    "blt": (
        "BltForCausalLM",
        {
            "vocab_size": 260,
            "encoder_hash_byte_group_vocab": 301,
            "local_attention_window_len": 24,
            "encoder_config": LOCAL | {"num_hidden_layers": 2, "intermediate_size": 200},
            "decoder_config": LOCAL | {"num_hidden_layers": 3, "intermediate_size": 168, "hidden_size_global": 120},
            "global_config": {
                "hidden_size": 120,
                "num_attention_heads": 5,
                "num_hidden_layers": 2,
                "intermediate_size": 232,
            },
            "patcher_config": {
                "hidden_size": 72,
                "num_attention_heads": 3,
                "num_hidden_layers": 2,
                "intermediate_size": 152,
            },
        },
        {
            "projected between": {},
            "cross-attention everywhere, key-value heads": {
                "encoder_config": {"cross_attn_all_layers": True, "num_key_value_heads": 2, "intermediate_size": None},
                "decoder_config": {"num_key_value_heads": 1},
                "patch_size": 5,
                "patcher_config": {"num_key_value_heads": 1, "sliding_window": None},
                "encoder_hash_byte_group_nb_functions": 2,
                "encoder_hash_byte_group_size": [3, 5, 8],
                "local_attention_window_len": None,
            },
            "not projected, three a patch, once": {
                "cross_attn_k": 3,
                "encoder_config": {"cross_attn_k": 3},
                "decoder_config": {"cross_attn_k": 3, "cross_attn_all_layers": False, "hidden_size_global": 288},
                "global_config": {"hidden_size": 288, "num_attention_heads": 6, "num_key_value_heads": 3},
                "tie_word_embeddings": True,
            },
        },
    ),
    "zamba": (
        "ZambaForCausalLM",
        DENSE | NO_IDS | {"num_hidden_layers": 7, "mamba_d_state": 12, "attn_layer_period": 3, "attn_layer_offset": 1},
        {
            "two heads": {},
            "four heads, biases, untied": {
                "n_mamba_heads": 4,
                "mamba_expand": 3,
                "mamba_proj_bias": True,
                "mamba_dt_rank": 20,
                "attention_head_dim": 40,
                "tie_word_embeddings": False,
            },
            "listed, one head, no convolution bias": {
                "n_mamba_heads": 1,
                "layers_block_type": ["mamba", "hybrid", "mamba", "mamba", "hybrid", "mamba", "mamba"],
                "mamba_conv_bias": False,
                "mamba_d_conv": 3,
                "num_key_value_heads": 6,
            },
        },
    ),
    "jamba": (
        "JambaForCausalLM",
        DENSE
        | NO_IDS
        | {
            "num_hidden_layers": 5,
            "num_experts": 7,
            "num_experts_per_tok": 3,
            "attn_layer_period": 3,
            "attn_layer_offset": 1,
            "mamba_d_state": 12,
        },
        {
            "experts in every second": {},
            "biases, wide, tied": {
                "mamba_proj_bias": True,
                "mamba_expand": 3,
                "mamba_dt_rank": 20,
                "expert_layer_period": 3,
                "expert_layer_offset": 2,
                "tie_word_embeddings": True,
            },
            "no experts": {"num_experts": 1, "num_experts_per_tok": 1, "mamba_conv_bias": False, "mamba_d_conv": 3},
            "attention last": {"attn_layer_period": 9, "attn_layer_offset": 4, "num_key_value_heads": 6},
        },
    ),
}


def in_thirds(tensors: Iterator[tuple[str, tuple[int, ...]]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """transformers saves the convolution of q, k and v, which it loads as one, in three equal pieces, whatever the
    sizes of q, k and v; the checkpoint has one for each."""
    listed = list(tensors)
    sizes = {name: shape for name, shape in listed if ".q_conv1d" in name or ".k_conv1d" in name or ".v_conv1d" in name}
    for name, shape in listed:
        if name in sizes:
            path = name.rsplit(".", 2)[0]
            total = sum(sizes[f"{path}.{letter}_conv1d.weight"][0] for letter in "qkv")
            piece = -(-total // 3)
            shape = (total - 2 * piece if ".v_conv1d" in name else piece, *shape[1:])
        yield name, shape


INKLING2 = ("inkling2_text", "inkling2_loop_text")
BUFFERS = {"bailing_hybrid": ("expert_bias",), **dict.fromkeys(INKLING2, ("mlp.gate.bias",))}
RENAMED = {
    "kimi_linear": ((r"\.mlp\.", ".block_sparse_moe."),),  # of the dense layers too
    "olmo_hybrid": (("post_attention_layernorm", "feedforward_layer_norm"),),  # of the attention layers too
}
RESHAPED = {"olmo_hybrid": in_thirds}
BEYOND = {
    "rwkv": (beyond.tokens_of_every_pair,),
    **dict.fromkeys(INKLING2, (beyond.products_with_the_padding,)),
    "blt": (beyond.patches_made_anew,),
    **dict.fromkeys(("qwen4_exp", "qwen4_exp_text"), (beyond.blocks_not_scored,)),
}
UNLOADED = dict.fromkeys(INKLING2, beyond.padding_of_the_head)
NO_DEFAULT = dict.fromkeys(("qwen4_exp", "qwen4_exp_text"), "its layers need an indexer, whose sizes have no default")
SCANS = {
    "kimi_linear": DELTA_NOTE,
    "bailing_hybrid": DELTA_NOTE,
    "olmo_hybrid": DELTA_NOTE,
    "xlstm": "the products of each chunk, and in decode of the state with the query",
    "zamba": MAMBA_NOTE,
    "qwen4_exp_text": DELTA_NOTE,
    "qwen4_exp": DELTA_NOTE,
    "jamba": MAMBA_NOTE,
    "lara_mini": DELTA_NOTE,
}
NOTES = {
    "rwkv": "a decode step of B sequences computes B × B tokens",
    "blt": "as many patches as patch_size says (without patch_in_forward transformers makes each byte one); a decode "
    "step there forgets the patches before",
    **dict.fromkeys(("qwen4_exp", "qwen4_exp_text"), "the indexer chooses nothing and scores nothing"),
    "kimi_linear": MLA_NOTE,
    "bailing_hybrid": MLA_NOTE,
}
