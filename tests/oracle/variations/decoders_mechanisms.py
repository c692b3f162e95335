"""Decoders with plain attention and one MLP a layer that have a norm, a window or a mechanism of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from variations.beyond import tokens_past_the_shared_keys
from variations.pieces import DENSE, FULL, MLA, NO_IDS, SLIDING, Type

GROUPED = DENSE | NO_IDS
OLD = {"vocab_size": 1009, "n_embd": 192, "n_layer": 3, "n_head": 6, "n_positions": 128} | NO_IDS
LATENT = {key: value for key, value in MLA.items() if "expert" not in key and not key.startswith(("moe", "first"))}


def in_pairs(tensors: Iterator[tuple[str, tuple[int, ...]]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """transformers saves Dory's attention and MLP, which the published checkpoints number as layers apart, as one."""
    halves = {"attn_alpha": "lambda_1", "mlp_alpha": "lambda_2"}
    for name, shape in tensors:
        if found := re.fullmatch(r"(backbone\.layers)\.(\d+)\.(mixer|attn_alpha|mlp_alpha)(.*)", name):
            path, index, module, rest = found[1], int(found[2]), found[3], found[4]
            name = f"{path}.{index // 2}.{halves.get(module) or ('self_attn', 'mlp')[index % 2]}{rest}"
        yield name, shape


TYPES: dict[str, Type] = {
    "dory": (
        "DoryForCausalLM",
        GROUPED
        | {
            "head_dim": 40,
            "num_hidden_layers": 5,
            "n_input_layers": 1,
            "n_output_layers": 1,
            "sliding_window": 16,
        },
        {
            "two loops": {},
            "three loops, the last one's keys and values": {
                "n_recurrent_loops": 3,
                "recurrent_kv_cache_mode": "last_loop",
                "attention_bias": True,
                "mlp_bias": True,
            },
            "as released": {
                "layer_types": [half for kind in (FULL, SLIDING, FULL) for half in (kind, "mlp")],
                "num_hidden_layers": 6,
                "n_input_layers": 2,
                "n_recurrent_layers": 2,
                "n_output_layers": 2,
                "n_recurrent_loops": 4,
                "tie_word_embeddings": True,
            },
            "one loop": {"n_recurrent_loops": 1, "n_recurrent_layers": 3, "num_key_value_heads": 6},
        },
    ),
    "gemma4_unified_assistant": ("Gemma4UnifiedAssistantForCausalLM", {}, {}),
    "internlm3": (
        "LlamaForCausalLM",
        GROUPED | {"head_dim": 40},
        {
            "grouped heads": {},
            "biases by their older names": {"qkv_bias": True, "bias": True, "num_key_value_heads": 3},
            "tied, no head size": {"tie_word_embeddings": True, "head_dim": None},
        },
    ),
    "iquestcoder": (
        "LlamaForCausalLM",
        GROUPED | {"head_dim": 40},
        {
            "grouped heads": {},
            "biases": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": None},
            "tied, no head size": {"tie_word_embeddings": True, "head_dim": None, "num_hidden_layers": 2},
        },
    ),
    "gpt-sw3": (
        "GPT2LMHeadModel",
        OLD,
        {
            "four times the width": {},
            "inner width, untied": {"n_inner": 352, "tie_word_embeddings": False, "n_head": 4},
            "cross-attention that is not run": {"add_cross_attention": True, "n_layer": 2},
        },
    ),
    "cwm": (
        "CwmForCausalLM",
        DENSE | {"num_hidden_layers": 6, "head_dim": 40, "sliding_window": 16},
        {
            "one full to three sliding": {},
            "layer types, bias": {"layer_types": [SLIDING, FULL, FULL, SLIDING, FULL, SLIDING], "mlp_bias": True},
            "tied, no groups, full only": {
                "tie_word_embeddings": True,
                "num_key_value_heads": 6,
                "layer_types": [FULL] * 6,
            },
        },
    ),
    "vaultgemma": (
        "VaultGemmaForCausalLM",
        GROUPED | {"num_hidden_layers": 5, "head_dim": 40, "sliding_window": 16},
        {
            "every other layer sliding": {},
            "layer types, bias": {"layer_types": [FULL, FULL, SLIDING, FULL, SLIDING], "attention_bias": True},
            "untied, one key head": {"tie_word_embeddings": False, "num_key_value_heads": 1},
        },
    ),
    "jais2": (
        "Jais2ForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "no biases": {"attention_bias": False, "mlp_bias": False, "num_key_value_heads": None},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48},
        },
    ),
    "youtu": (
        "YoutuForCausalLM",
        LATENT | NO_IDS,
        {
            "low-rank queries": {},
            "whole queries, bias": {"q_lora_rank": None, "attention_bias": True},
            "untied, other sizes": {
                "tie_word_embeddings": False,
                "kv_lora_rank": 48,
                "qk_rope_head_dim": 8,
                "qk_nope_head_dim": 20,
                "v_head_dim": 28,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
            },
        },
    ),
    "minicpm3": (
        "MiniCPM3ForCausalLM",
        {key: value for key, value in LATENT.items() if key != "v_head_dim"} | NO_IDS,
        {
            "values of the width's share": {},
            "whole queries, biases": {"q_lora_rank": None, "attention_bias": True, "mlp_bias": True, "v_head_dim": 36},
            "untied, other sizes": {
                "tie_word_embeddings": False,
                "kv_lora_rank": 48,
                "qk_rope_head_dim": 8,
                "qk_nope_head_dim": 20,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
            },
        },
    ),
    "hyperclovax": (
        "HyperCLOVAXForCausalLM",
        GROUPED,
        {
            "norms after each half": {},
            "norms before only, biases": {"use_post_norm": False, "attention_bias": True, "mlp_bias": True},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48, "num_key_value_heads": 3},
        },
    ),
    "helium": (
        "HeliumForCausalLM",
        GROUPED | {"head_dim": 32},
        {
            "grouped heads": {},
            "biases": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 6},
            "tied": {"tie_word_embeddings": True, "num_attention_heads": 8, "head_dim": 24},
        },
    ),
    "nanochat": (
        "NanoChatForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "bias, no groups": {"attention_bias": True, "num_key_value_heads": None},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48},
        },
    ),
    "bitnet": (
        "BitNetForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "bias": {"attention_bias": True, "num_key_value_heads": None, "num_attention_heads": 4},
            "tied": {"tie_word_embeddings": True, "num_key_value_heads": 1},
        },
    ),
    "granite_swa": (
        "GraniteSWAForCausalLM",
        GROUPED | {"num_hidden_layers": 5, "sliding_window": 16},
        {
            "one full to three sliding": {},
            "layer types, biases": {
                "layer_types": [SLIDING, SLIDING, FULL, FULL, SLIDING],
                "attention_bias": True,
                "mlp_bias": True,
            },
            "no positions in some, untied": {
                "layer_rope_theta": [0, 10000.0, 10000.0, 500000.0, 0],
                "tie_word_embeddings": False,
                "head_dim": 48,
            },
        },
    ),
    "gemma4_unified_text": (
        "Gemma4UnifiedForCausalLM",
        GROUPED | {"num_hidden_layers": 7, "head_dim": 24, "global_head_dim": 40, "sliding_window": 16},
        {
            "five sliding to one full": {},
            "layer types, keys as values": {
                "layer_types": [SLIDING, FULL, SLIDING, FULL, SLIDING, SLIDING, FULL],
                "attention_k_eq_v": True,
                "num_global_key_value_heads": 1,
            },
            "shared keys, twice as wide": {
                "num_kv_shared_layers": 3,
                "use_double_wide_mlp": True,
                "layer_types": [SLIDING, FULL, SLIDING, FULL, SLIDING, SLIDING, FULL],
            },
            "untied, bias, both ways": {
                "tie_word_embeddings": False,
                "attention_bias": True,
                "use_bidirectional_attention": "all",
            },
        },
    ),
    "openai-gpt": (
        "OpenAIGPTLMHeadModel",
        OLD,
        {
            "six heads": {},
            "untied": {"tie_word_embeddings": False, "n_head": 4},
            "other sizes": {"n_embd": 160, "n_head": 5, "n_layer": 2, "n_positions": 96},
        },
    ),
    "ctrl": (
        "CTRLLMHeadModel",
        OLD | {"dff": 352},
        {
            "six heads": {},
            "untied": {"tie_word_embeddings": False, "n_head": 4},
            "other sizes": {"n_embd": 160, "n_head": 5, "dff": 136, "n_layer": 2, "n_positions": 96},
        },
    ),
    "biogpt": (
        "BioGptForCausalLM",
        {key: value for key, value in GROUPED.items() if key != "num_key_value_heads"}
        | {"pad_token_id": 1, "max_position_embeddings": 128},
        {
            "six heads": {},
            "untied": {"tie_word_embeddings": False, "num_attention_heads": 4},
            "other sizes": {"hidden_size": 160, "num_attention_heads": 5, "max_position_embeddings": 96},
        },
    ),
    "gpt_neox_japanese": (
        "GPTNeoXJapaneseForCausalLM",
        {
            "vocab_size": 1009,
            "hidden_size": 192,
            "num_hidden_layers": 3,
            "num_attention_heads": 6,
            "intermediate_multiple_size": 2,
            "is_decoder": True,
        }
        | NO_IDS,
        {
            "twice the width": {},
            "untied, rotating a quarter": {"tie_word_embeddings": False, "rotary_pct": 0.25, "num_attention_heads": 8},
            "one layer": {"num_hidden_layers": 1, "intermediate_multiple_size": 3},
        },
    ),
    "persimmon": (
        "PersimmonForCausalLM",
        {key: value for key, value in GROUPED.items() if key != "num_key_value_heads"},
        {
            "norms on queries and keys": {},
            "no norms": {"qk_layernorm": False, "num_attention_heads": 4},
            "tied": {"tie_word_embeddings": True, "partial_rotary_factor": 0.25, "num_hidden_layers": 2},
        },
    ),
    "mpt": (
        "MptForCausalLM",
        {"vocab_size": 1009, "d_model": 192, "n_heads": 6, "n_layers": 3, "max_seq_len": 128},
        {
            "six heads": {},
            "clipped, dropped out": {"attn_config": {"clip_qkv": 6.0, "softmax_scale": 0.1}, "n_heads": 4},
            "untied": {"tie_word_embeddings": False, "d_model": 160, "n_heads": 5, "n_layers": 2},
        },
    ),
    "diffllama": (
        "DiffLlamaForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "bias, no groups": {"attention_bias": True, "num_key_value_heads": None},
            "tied, wide heads": {"tie_word_embeddings": True, "head_dim": 48, "num_attention_heads": 8},
        },
    ),
    "lfm3": (
        "Lfm3ForCausalLM",
        GROUPED | {"num_hidden_layers": 6, "head_dim": 40, "sliding_window": 16},
        {
            "convolutions, full and sliding attention": {},
            "layer types, biases, no gate": {
                "layer_types": [FULL, "conv", SLIDING, SLIDING, "conv", FULL],
                "attention_bias": True,
                "conv_bias": True,
                "use_attention_gate": False,
            },
            "untied, no norms after": {
                "tie_word_embeddings": False,
                "use_sandwich_norm": False,
                "conv_L_cache": 5,
                "num_key_value_heads": 3,
            },
        },
    ),
    "doge": (
        "DogeForCausalLM",
        GROUPED,
        {
            "grouped heads": {},
            "biases, a window": {"attention_bias": True, "mlp_bias": True, "sliding_window": 16},
            "fewer kept than there are tokens": {"keep_window_size": 8, "num_key_value_heads": None},
            "experts, tied": {"is_moe": True, "num_experts": 50, "num_experts_per_tok": 5, "tie_word_embeddings": True},
            "experts, biases": {"is_moe": True, "num_experts": 36, "num_experts_per_tok": 4, "mlp_bias": True},
        },
    ),
    "hrm_text": (
        "HrmTextForCausalLM",
        {key: value for key, value in GROUPED.items() if key != "num_key_value_heads"} | {"head_dim": 40},
        {
            "two cycles of three": {},
            "biases, gradients through all": {"attention_bias": True, "mlp_bias": True, "L_bp_cycles": [1, 3]},
            "tied, three cycles of two": {"tie_word_embeddings": True, "H_cycles": 3, "L_cycles": 2},
            "sizes as they are saved": {
                "num_layers_per_stack": 2,
                "num_hidden_layers": 10,
                "H_cycles": 1,
                "L_cycles": 4,
                "num_attention_heads": 4,
            },
        },
    ),
    "cpmant": (
        "CpmAntForCausalLM",
        {
            "vocab_size": 1009,
            "hidden_size": 192,
            "num_attention_heads": 6,
            "dim_head": 40,
            "dim_ff": 352,
            "num_hidden_layers": 3,
            "prompt_length": 8,
            "prompt_types": 4,
            "segment_types": 5,
            "position_bias_num_buckets": 24,
        },
        {
            "a prompt of eight": {},
            "other sizes": {"prompt_length": 12, "num_attention_heads": 4, "dim_head": 24, "segment_types": 3},
        },
    ),
}

CONV1D = ("c_attn.weight", "q_attn.weight", "c_proj.weight", "c_fc.weight")
TRANSPOSED = {"gpt-sw3": CONV1D, "openai-gpt": CONV1D}
BUFFERS = dict.fromkeys(("gemma4_unified_text", "gemma4_unified_assistant"), ("layer_scalar",))
RESHAPED = {"dory": in_pairs}
NO_FORWARD = {"gemma4_unified_assistant": "it drafts from its target's hidden states, keys and values"}
BEYOND = {"gemma4_unified_text": (tokens_past_the_shared_keys,)}
