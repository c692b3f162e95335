"""Decoders with plain attention and one MLP a layer."""

from __future__ import annotations

from variations.beyond import keys_before_the_window, tokens_past_the_shared_keys
from variations.pieces import DENSE, FULL, NO_IDS, SLIDING, Type

GROUPED = DENSE | NO_IDS
OLD = {"vocab_size": 1009, "n_embd": 192, "n_layer": 3, "n_head": 6, "n_positions": 128} | NO_IDS

TYPES: dict[str, Type] = {
    "apertus": (
        "ApertusForCausalLM",
        GROUPED,
        {"grouped heads": {}, "biases": {"attention_bias": True}, "tied, wide heads": {"tie_word_embeddings": True}},
    ),
    "apertus1p5_text": (
        "Apertus1p5TextForCausalLM",
        GROUPED,
        {
            "every token": {},
            "a head of the text's tokens": {"output_vocab_size": 700, "attention_bias": True},
            "tied": {"tie_word_embeddings": True, "num_key_value_heads": None},
        },
    ),
    "exaone": (
        "LlamaForCausalLM",
        {key: value for key, value in GROUPED.items() if key != "num_hidden_layers"},
        {
            "the authors' spelling": {"num_layers": 2, "layer_norm_epsilon": 1e-5, "activation_function": "silu"},
            "biases, wide heads, tied": {
                "num_hidden_layers": 3,
                "attention_bias": True,
                "mlp_bias": True,
                "head_dim": 48,
                "tie_word_embeddings": True,
            },
        },
    ),
    "arcee": (
        "ArceeForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "biases": {"attention_bias": True, "mlp_bias": True},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48},
        },
    ),
    "nemotron": (
        "NemotronForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "biases": {"attention_bias": True, "mlp_bias": True},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48},
        },
    ),
    "codegen": (
        "CodeGenForCausalLM",
        OLD | {"n_head": 8, "rotary_dim": 8},
        {"four times the width": {}, "inner width, tied": {"n_inner": 352, "tie_word_embeddings": True}},
    ),
    "gptj": (
        "GPTJForCausalLM",
        OLD | {"rotary_dim": 8},
        {"four times the width": {}, "inner width, tied": {"n_inner": 352, "tie_word_embeddings": True}},
    ),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        {
            "vocab_size": 1009,
            "hidden_size": 192,
            "num_layers": 4,
            "num_heads": 6,
            "max_position_embeddings": 128,
            "window_size": 16,
            "attention_types": [[["global", "local"], 2]],
        }
        | NO_IDS,
        {
            "every other layer local": {},
            "three to one, inner width": {
                "attention_types": [[["local", "local", "local", "global"], 1]],
                "intermediate_size": 352,
            },
            "untied": {"tie_word_embeddings": False},
        },
    ),
    "gpt_bigcode": (
        "GPTBigCodeForCausalLM",
        OLD,
        {
            "one key head": {},
            "as many key heads": {"multi_query": False, "n_inner": 352},
            "untied": {"tie_word_embeddings": False},
        },
    ),
    "xglm": (
        "XGLMForCausalLM",
        {
            "vocab_size": 1009,
            "d_model": 192,
            "ffn_dim": 352,
            "num_layers": 3,
            "attention_heads": 6,
            "max_position_embeddings": 128,
        },
        {
            "six heads": {},
            "untied": {"tie_word_embeddings": False, "attention_heads": 4},
            "crossed": {"add_cross_attention": True},
        },
    ),
    "phi": (
        "PhiForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "norms on queries and keys": {"qk_layernorm": True, "num_key_value_heads": None},
            "tied": {"tie_word_embeddings": True},
        },
    ),
    "olmo": (
        "OlmoForCausalLM",
        GROUPED,
        {"grouped heads": {}, "bias, tied": {"attention_bias": True, "tie_word_embeddings": True}},
    ),
    "olmo3": (
        "Olmo3ForCausalLM",
        GROUPED | {"num_hidden_layers": 5, "sliding_window": 16},
        {
            "three sliding to one full": {},
            "layer types, bias": {"layer_types": [FULL, SLIDING, FULL, FULL, SLIDING], "attention_bias": True},
            "tied, no groups": {"tie_word_embeddings": True, "num_key_value_heads": None},
        },
    ),
    "glm": (
        "GlmForCausalLM",
        GROUPED | {"head_dim": 40},
        {"grouped heads": {}, "no bias, tied": {"attention_bias": False, "tie_word_embeddings": True}},
    ),
    "glm4": (
        "Glm4ForCausalLM",
        GROUPED | {"head_dim": 40},
        {"grouped heads": {}, "no bias, tied": {"attention_bias": False, "tie_word_embeddings": True}},
    ),
    "exaone4": (
        "Exaone4ForCausalLM",
        GROUPED | {"num_hidden_layers": 5, "sliding_window": 16},
        {
            "every fourth layer full": {},
            "no window": {"sliding_window": None, "layer_types": [FULL] * 5},
            "every third layer full, tied": {"sliding_window_pattern": 3, "head_dim": 40, "tie_word_embeddings": True},
        },
    ),
    "smollm3": (
        "SmolLM3ForCausalLM",
        GROUPED | {"num_hidden_layers": 5},
        {
            "grouped heads": {},
            "windows": {"use_sliding_window": True, "sliding_window": 16, "no_rope_layer_interval": 2},
            "biases, untied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
        },
    ),
    "seed_oss": (
        "SeedOssForCausalLM",
        GROUPED | {"head_dim": 40},
        {
            "grouped heads": {},
            "bias on the output alone": {"attention_bias": False, "attention_out_bias": True, "mlp_bias": True},
            "tied": {"tie_word_embeddings": True},
        },
    ),
    "ernie4_5": (
        "Ernie4_5ForCausalLM",
        GROUPED | {"head_dim": 40},
        {"grouped heads": {}, "biases": {"use_bias": True}, "untied": {"tie_word_embeddings": False}},
    ),
    "hunyuan_v1_dense": (
        "HunYuanDenseV1ForCausalLM",
        GROUPED | {"head_dim": 40},
        {
            "grouped heads": {},
            "bias": {"attention_bias": True},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48},
        },
    ),
    "stablelm": (
        "StableLmForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "bias, norms of each head": {"use_qkv_bias": True, "qk_layernorm": True},
            "parallel, tied": {"use_parallel_residual": True, "tie_word_embeddings": True},
            "parallel, norms of each head": {"use_parallel_residual": True, "qk_layernorm": True},
        },
    ),
    "ministral": (
        "MinistralForCausalLM",
        GROUPED | {"num_hidden_layers": 5, "sliding_window": 16, "head_dim": 40},
        {
            "windows everywhere": {},
            "layer types": {"layer_types": [FULL, SLIDING, SLIDING, FULL, SLIDING], "head_dim": 48},
            "tied": {"tie_word_embeddings": True, "num_key_value_heads": 6},
        },
    ),
    "ministral3": (
        "Ministral3ForCausalLM",
        GROUPED | {"head_dim": 40},
        {"grouped heads": {}, "short window": {"sliding_window": 16}, "tied": {"tie_word_embeddings": True}},
    ),
    "gemma3n_text": (
        "Gemma3nForCausalLM",
        DENSE
        | {
            "num_hidden_layers": 6,
            "head_dim": 40,
            "sliding_window": 16,
            "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 24,
            "vocab_size_per_layer_input": 1001,
            "laurel_rank": 20,
            "altup_num_inputs": 3,
            "activation_sparsity_pattern": [0.0] * 6,
            "layer_types": [SLIDING, SLIDING, FULL, SLIDING, SLIDING, FULL],
        },
        {
            "two layers share": {},
            "no sharing, untied": {"num_kv_shared_layers": 0, "tie_word_embeddings": False},
            "four streams, wide heads": {"altup_num_inputs": 4, "head_dim": 48, "attention_bias": True},
            "sizes by layer": {"intermediate_size": [352, 352, 360, 352, 352, 360], "num_kv_shared_layers": 3},
        },
    ),
    "gemma4_text": (
        "Gemma4ForCausalLM",
        DENSE
        | {
            "num_hidden_layers": 6,
            "head_dim": 40,
            "global_head_dim": 56,
            "sliding_window": 16,
            "hidden_size_per_layer_input": 24,
            "vocab_size_per_layer_input": 1001,
        },
        {
            "last layer full": {},
            "no per-layer input": {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0},
            "shared keys and values, twice as wide": {
                "num_kv_shared_layers": 2,
                "use_double_wide_mlp": True,
                "layer_types": [SLIDING, FULL, SLIDING, SLIDING, SLIDING, FULL],
            },
            "keys are values": {"attention_k_eq_v": True, "num_global_key_value_heads": 1},
            "experts": {
                "enable_moe_block": True,
                "num_experts": 7,
                "top_k_experts": 3,
                "moe_intermediate_size": 72,
                "hidden_size_per_layer_input": 0,
            },
            "untied": {"tie_word_embeddings": False, "attention_bias": True},
        },
    ),
}

NO_DEFAULT = {
    "nemotron": "num_key_value_heads has no default",
    "hunyuan_v1_dense": "head_dim has no default",
    "ministral": "head_dim has no default",
}
BUFFERS = {"gemma4_text": ("layer_scalar",)}
BEYOND = {"gpt_neo": (keys_before_the_window,), "gemma4_text": (tokens_past_the_shared_keys,)}
NOTES = {"gpt_neo": "local attention is a mask, the cache and the scores do not shrink"}
