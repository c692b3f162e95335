"""Numbers of single families, derived by hand: what no counter of torch sees, the cache above all."""

from __future__ import annotations

from math import prod

import pytest

from calculator import Workload, estimate
from calculator.sources.load import load_model, model_from_config

# ---------------------------------------------------------------------------------- hybrids and caches

NEMOTRON_3_NANO = {
    "model_type": "nemotron_h",
    "architectures": ["NemotronHForCausalLM"],
    "head_dim": 128,
    "hidden_size": 2688,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
    "num_hidden_layers": 52,
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "mamba_ssm_cache_dtype": "float32",
    "n_groups": 8,
    "ssm_state_size": 128,
    "conv_kernel": 4,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
}
NEMOTRON_H_56B = {
    "model_type": "nemotron_h",
    "architectures": ["NemotronHForCausalLM"],
    "attention_head_dim": 128,
    "hidden_size": 8192,
    "intermediate_size": 32768,
    "hybrid_override_pattern": "M-" * 54 + "*" * 10,  # 118 layers; the order changes no cache
    "num_hidden_layers": 118,
    "mamba_num_heads": 256,
    "mamba_head_dim": 64,
    "n_groups": 8,
    "ssm_state_size": 256,
    "conv_kernel": 4,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}
NEMOTRON_SUPER_49B = {
    "model_type": "nemotron-nas",
    "hidden_size": 8192,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "block_configs": [
        {"attention": {"n_heads_in_group": 8, "no_op": False}, "ffn": {"ffn_mult": 5.25, "no_op": False}},
    ]
    * 49
    + [{"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 1.0, "no_op": False}}] * 31,
}
GLM_5 = {"model_type": "glm_moe_dsa", "architectures": ["GlmMoeDsaForCausalLM"], "num_hidden_layers": 78}
KIMI_K25 = {
    "model_type": "kimi_k25",
    "text_config": {
        "model_type": "deepseek_v3",
        "hidden_size": 7168,
        "num_hidden_layers": 61,
        "num_attention_heads": 64,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "n_routed_experts": 384,
    },
}


def held(model, length: int, **options) -> int:
    """Bytes of one sequence's cache of so many tokens."""
    return estimate(model, mode="decode", sequence_length=length, kv_dtype="bf16", **options).memory.kv_cache


def grows_by(model, length: int = 8192) -> int:
    return held(model, length + 1) - held(model, length)


@pytest.mark.parametrize(
    ("config", "growth", "state"),
    [
        # 6 layers × 2 heads × 128 × (key + value) × 2 bytes; a state: 23 layers × 64·64·128 × 4 bytes and, of
        # 64·64 + 2·8·128 channels, 3 past inputs × 2 bytes.
        (NEMOTRON_3_NANO, 6 * 2 * 128 * 2 * 2, 23 * (64 * 64 * 128 * 4 + (64 * 64 + 2 * 8 * 128) * 3 * 2)),
        # 10 layers × 8 heads × 128 × 2 × 2 bytes; a state: 54 layers × 256·64·256 × 4 bytes, the type's default.
        (NEMOTRON_H_56B, 10 * 8 * 128 * 2 * 2, 54 * (256 * 64 * 256 * 4 + (256 * 64 + 2 * 8 * 256) * 3 * 2)),
        # 49 of 80 blocks have attention: 49 × 8 heads × 128 × 2 × 2 bytes.
        (NEMOTRON_SUPER_49B, 49 * 8 * 128 * 2 * 2, 0),
        # 78 layers × ((512 + 64) × 2 bytes of latent, and an index key of 128 bytes with a 4-byte scale).
        (GLM_5, 78 * (576 * 2 + 132), 0),
        (KIMI_K25, 61 * (512 + 64) * 2, 0),
    ],
    ids=["Nemotron-3-Nano-30B", "Nemotron-H-56B", "Nemotron-Super-49B", "GLM-5", "Kimi-K2.5"],
)
def test_a_token_and_a_sequence_hold(config, growth, state):
    model = model_from_config(config)
    assert grows_by(model) == growth
    assert held(model, 8192) - 8192 * growth == state
    assert growth in (6144, 40_960, 200_704, 100_152, 70_272)


@pytest.mark.parametrize(
    ("name", "growth"),
    [
        ("Qwen/Qwen3.5-27B", 65_536),  # 16 full layers × 4 heads × 256 × (key + value) × 2 bytes
        ("zai-org/GLM-5.1", 100_152),
        ("deepseek-ai/DeepSeek-V3", 70_272),
        ("meta-llama/Llama-3.1-8B", 131_072),  # 32 layers × 8 heads × 128 × 2 × 2 bytes
    ],
)
def test_a_token_holds(name, growth):
    assert grows_by(load_model(name)) == growth


def test_qwen3_5_keeps_its_states_in_32_bit():
    """48 layers × (48 heads × 128 × 128 × 4 bytes, and 3 past inputs × (2·16·128 + 48·128) channels × 2 bytes)."""
    model = load_model("Qwen/Qwen3.5-27B")
    assert held(model, 8192) - 8192 * 65_536 == 48 * (3_145_728 + 61_440) == 153_944_064


def test_gemma_4_holds_windows_and_shared_keys():
    """25 layers × min(n, 1024) × 8 heads × 256 × 2 × 2 bytes, and 5 × n × 2 heads × 512 × 2 × 2 bytes: a key that
    serves as value is normed and rotated apart from it, so that both are kept."""
    model = load_model("google/gemma-4-26B-A4B-it")
    assert held(model, 4096) == 280 * 2**20
    assert held(model, 131_072) == 2760 * 2**20


def test_gpt_oss_holds_windows():
    """12 layers × 4096 and 12 × 128 tokens, each 8 heads × 64 × 2 × 2 bytes."""
    assert held(load_model("openai/gpt-oss-20b"), 4096) == 12 * (4096 + 128) * 2048 == 99 * 2**20


SHARING = {
    "model_type": "gemma4_text",
    "num_hidden_layers": 6,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"] * 2,
    "num_kv_shared_layers": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "global_head_dim": 64,
    "sliding_window": 100,
}


def test_layers_that_share_keys_hold_none():
    """Layers 0, 2 and 3 keep 100 tokens × 2 heads × 32, layer 1 all with heads of 64; 4 and 5 read theirs (the type
    makes the last layer a full one)."""
    model = model_from_config(SHARING)
    assert held(model, 1000) == (3 * 100 * 2 * 32 + 1000 * 2 * 64) * 2 * 2


@pytest.mark.parametrize(
    ("config", "growth", "state"),
    [
        # 6 of 27 layers (4, 8, … 24) × (512 + 64) × 2 bytes; a state: 21 layers × (32 heads × 128 × 128 × 4 bytes, and
        # 3 past inputs of q, k and v, each 32·128 channels, × 2 bytes).
        ({"model_type": "kimi_linear"}, 6 * 576 * 2, 21 * (32 * 128 * 128 * 4 + 3 * 3 * 4096 * 2)),
        # 7 of 42 layers; otherwise the same arithmetic.
        ({"model_type": "bailing_hybrid"}, 7 * 576 * 2, 35 * (32 * 128 * 128 * 4 + 3 * 3 * 4096 * 2)),
        # 8 of 32 layers × 30 heads × 128 × 2 × 2 bytes; 24 layers × (30 heads × 96 × 192 × 4 bytes, and 3 past inputs
        # of 2·30·96 + 30·192 channels).
        ({"model_type": "olmo_hybrid"}, 8 * 30 * 128 * 2 * 2, 24 * (30 * 96 * 192 * 4 + 3 * 11_520 * 2)),
        # 4 of 32 layers × 8 heads × 128 × 2 × 2 bytes; 28 layers × 8192 channels × (16 states + 3 past inputs) × 2.
        ({"model_type": "jamba"}, 4 * 8 * 128 * 2 * 2, 28 * 8192 * 19 * 2),
        # 13 of 76 layers (2, 7, 13, … 73) × 16 heads × 464 × 2 × 2 bytes; all 76 × 7424 channels × 19 × 2 bytes.
        ({"model_type": "zamba"}, 13 * 16 * 464 * 2 * 2, 76 * 7424 * 19 * 2),
        # 32 layers × (two last tokens of 4096 features × 2 bytes, and three vectors of 4096 × 4 bytes).
        ({"model_type": "rwkv"}, 0, 32 * 4096 * (2 * 2 + 3 * 4)),
        # 32 layers × 8 heads × (256 × 512 + 256 + 1) × 4 bytes.
        ({"model_type": "xlstm"}, 0, 32 * 8 * (256 * 512 + 257) * 4),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_states_of_the_class_defaults(config, growth, state):
    model = model_from_config(config)
    assert grows_by(model) == growth
    assert held(model, 8192) - 8192 * growth == state


def test_recurrent_gemma_holds_a_window_and_a_state():
    """8 of 26 layers × 2048 tokens × 10 heads × 256 × 2 × 2 bytes; 18 × 2560 channels × (a state × 4 bytes, and 3 past
    inputs × 2)."""
    model = model_from_config({"model_type": "recurrent_gemma"})
    assert held(model, 8192) == 8 * 2048 * 2560 * 4 + 18 * 2560 * (4 + 6)


def test_states_are_a_sequences():
    model = model_from_config({"model_type": "rwkv"})
    assert held(model, 100, batch_size=7) == 7 * held(model, 1)


CHUNKED = {
    "model_type": "llama4_text",
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "hidden_size": 32,
    "attention_chunk_size": 10,
    "no_rope_layers": [1],
}


def attention_flops(**options) -> int:
    found = estimate(model_from_config(CHUNKED), **options)
    return found.flops.by_kind["attention"]


def test_a_chunk_is_seen_to_its_start():
    """2 heads × 16 × 4 FLOPs a key; the token after 25 others is the sixth of its chunk, after 30 the first."""
    assert attention_flops(mode="decode", sequence_length=25) == 6 * 128
    assert attention_flops(mode="decode", sequence_length=30) == 1 * 128
    assert attention_flops(mode="decode", sequence_length=9) == 10 * 128


def test_chunks_are_triangles_of_causal_flops():
    """Two chunks of 10²/2 pairs and one of 5²/2; counted in full, 25² pairs."""
    assert attention_flops(sequence_length=25, attention_flops="causal") == (100 + 100 + 25) // 2 * 128 + 64
    assert attention_flops(sequence_length=25, attention_flops="full") == 625 * 128


def test_steps_through_chunks_add_up():
    model = model_from_config(CHUNKED)
    for flash in (False, True):
        options = {"mode": "decode", "flash_decode": flash, "flash_decode_block_size": 3}
        whole = estimate(model, Workload(sequence_length=7, decode_length=29, **options)).generation
        steps = [estimate(model, Workload(sequence_length=7 + i, **options)) for i in range(29)]
        assert whole.flops.total == sum(s.flops.total for s in steps)
        assert whole.traffic.total == sum(s.traffic.total for s in steps)


def test_eagle_and_finch_have_the_parameters_of_the_paper():
    """arXiv:2404.05892: 13·d²·L + 14·d·L + 4·d + 2·d·V and 13·d²·L + 464·d·L + 4·d + 2·d·V."""
    d, layers, vocabulary = 2560, 32, 65_536
    sizes = {"hidden_size": d, "num_hidden_layers": layers, "vocab_size": vocabulary}
    eagle, finch = (model_from_config({"model_type": name, **sizes}) for name in ("rwkv5", "rwkv6"))
    shared = 13 * d * d * layers + 4 * d + 2 * d * vocabulary
    assert eagle.parameters.total == shared + 14 * d * layers == 3_062_999_040
    assert finch.parameters.total == shared + 464 * d * layers
    # 32 layers × (two last tokens × 2 bytes, and 40 heads × 64 × 64 × 4 bytes)
    assert held(eagle, 1) == held(finch, 1) == 32 * (2 * d * 2 + 40 * 64 * 64 * 4)


RING_MINI_LINEAR = {
    "model_type": "bailing_moe_linear",
    "architectures": ["BailingMoeLinearV2ForCausalLM"],
    "first_k_dense_replace": 1,
    "group_norm_size": 4,
    "head_dim": 128,
    "hidden_size": 2048,
    "intermediate_size": 5120,
    "layer_group_size": 5,
    "moe_intermediate_size": 512,
    "moe_router_enable_expert_bias": True,
    "moe_shared_expert_intermediate_size": 512,
    "num_attention_heads": 16,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 20,
    "num_key_value_heads": 4,
    "num_shared_experts": 1,
    "partial_rotary_factor": 0.5,
    "use_qk_norm": True,
    "vocab_size": 157184,
    "tie_word_embeddings": False,
}


def test_ring_linear():
    """16 layers of lightning attention, 5 matrices of 2048 × 2048, an output norm of 2048, two head norms of 128; 4 of
    grouped-query attention, 2 · 2048 · (2048 + 512) and two head norms; 1 MLP, 19 mixtures of 257 experts and a router;
    41 norms; embedding and head, which is 16.4 billion. The score biases are buffers."""
    model = model_from_config(RING_MINI_LINEAR)
    lightning, full = 5 * 2048 * 2048 + 2048 + 2 * 128, 2 * 2048 * (2048 + 512) + 2 * 128
    mixture = 257 * 3 * 2048 * 512 + 256 * 2048
    rest = 3 * 2048 * 5120 + 41 * 2048 + 2 * 157_184 * 2048
    assert model.parameters.total == 16 * lightning + 4 * full + 19 * mixture + rest
    assert round(model.parameters.total / 1e9, 1) == 16.4
    assert grows_by(model) == 4 * 4 * 128 * 2 * 2
    assert held(model, 1) - grows_by(model) == 16 * 16 * 128 * 128 * 4


def test_kimi_linear_48b():
    """48 billion, 3 of them active (arXiv:2510.26692); beside the parameters 26 mixtures hold a score bias for each of
    256 experts."""
    full = [4, 8, 12, 16, 20, 24, 27]
    linear = {
        "full_attn_layers": full,
        "kda_layers": sorted({*range(1, 28)} - {*full}),
        "head_dim": 128,
        "num_heads": 32,
    }
    model = model_from_config({"model_type": "kimi_linear", "linear_attn_config": linear})
    assert model.parameters.total + 26 * 256 == 49_122_681_728
    assert sum(prod(shape) for _, shape in model.tensors()) == 49_122_681_728
    assert grows_by(model) == 7 * 576 * 2


def cached(config: dict, tokens: int) -> float:
    """Bytes that so many tokens of one sequence hold."""
    return estimate(model_from_config(config), mode="decode", sequence_length=tokens).memory.kv_cache


def test_dory_keeps_the_past_of_every_loop_or_of_the_last():
    """transformers, modeling_dory.py: layers 8 to 27 of 36 run twice; of them 15 have the window of 1,024 tokens and 5
    see all, of the other 16 12 and 4. A token is keys and values of 4 heads of 256 in 2 bytes."""
    token, past = 2 * 4 * 256 * 2, 4096
    once, again = (16 + 20) // 4 * past + 27 * 1024, 5 * past + 15 * 1024
    assert cached({"model_type": "dory"}, past) == (once + again) * token
    assert cached({"model_type": "dory", "recurrent_kv_cache_mode": "last_loop"}, past) == once * token


def test_inkling_2_loop_keeps_the_past_of_every_pass():
    """transformers, modeling_inkling2_loop.py: `Each pass uses its own copies of the loop cache layers`. 24 layers, of
    which 6 to 17 run three times; every sixth sees all, the others 1,024 tokens. A token is keys and values of 8 heads
    of 128; convolutions keep 3 inputs of keys, values, and twice of the 2,304 features, in 32 bit."""
    past, full, local = 4096, 4 + 2 * 2, 20 + 2 * 10
    states = (full + local) * 3 * (2 * 1024 + 2 * 2304) * 4
    expected = (full * past + local * 1024) * 2 * 8 * 128 * 2 + states
    assert cached({"model_type": "inkling2_loop_text"}, past) == expected
