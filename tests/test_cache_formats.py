"""The KV cache in what engines keep it in, by their names for it.

Sizes of blocks: ggml-org/llama.cpp, gguf-py GGML_QUANT_SIZES. Pages: vllm/v1/kv_cache_interface.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from calculator import Workload, estimate, load_model
from calculator.errors import WorkloadError
from calculator.formats.cache import cache_format_named

LLAMA = "meta-llama/Llama-3.1-8B"  # 32 layers of 8 heads of 128: 65,536 elements of keys and values a token
V32 = {
    "model_type": "deepseek_v32",
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "moe_intermediate_size": 2048,
    "n_group": 8,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "topk_group": 4,
    "torch_dtype": "bfloat16",
    "v_head_dim": 128,
    "vocab_size": 129280,
    "index_n_heads": 64,
    "index_head_dim": 128,
    "index_topk": 2048,
}


def held(model: object, kv_dtype: str, length: int = 8192, **options: object) -> int:
    loaded = load_model(model)  # type: ignore[arg-type]
    work = Workload(mode="decode", sequence_length=length, kv_dtype=kv_dtype, **options)  # type: ignore[arg-type]
    return estimate(loaded, work).memory.kv_cache


@pytest.mark.parametrize(
    ("name", "size"),
    {
        "f32": 2_147_483_648,
        "f16": 1_073_741_824,
        "BF16": 1_073_741_824,
        "fp8_e4m3": 536_870_912,
        "fp8_e5m2": 536_870_912,
        "int8": 536_870_912,
        "q8_0": 570_425_344,  # 34 bytes per 32
        "q5_1": 402_653_184,  # 24
        "q5_0": 369_098_752,  # 22
        "q4_1": 335_544_320,  # 20
        "q4_0": 301_989_888,  # 18
        "iq4_nl": 301_989_888,
        "nvfp4": 301_989_888,  # 9 per 16
        "int8_per_token_head": 553_648_128,  # 132 per head of 128
        "q8_0/q4_0": 436_207_616,
        "f16/q8_0": 822_083_584,
        "Q5_1, q4_1": 369_098_752,
    }.items(),
)
def test_a_cache_of_grouped_heads(name: str, size: int):
    assert held(LLAMA, name) == size


def test_blocks_are_whole_in_each_row():
    """llama.cpp rounds a token's heads together, vLLM each head: 2 heads of 40 are 80 elements."""
    assert cache_format_named("q8_0").pair(2, 40, 40) == 2 * 3 * 34
    assert cache_format_named("nvfp4").pair(2, 40, 40) == 2 * 2 * 3 * 9
    assert cache_format_named("q8_0/f16").pair(1, 48, 32) == 2 * 34 + 64


@pytest.mark.parametrize(
    ("name", "size"),
    {
        "fp8_ds_mla": 3_150_184_448,  # 656 + 132 bytes a token and layer, sgl-project/sglang#11309
        "fp8": 2_830_368_768,  # 576 + 132
        "bf16": 5_133_041_664,  # 1152 + 132
        "q8_0": 2_974_285_824 // 1,  # 18 blocks of 34, and 132
    }.items(),
)
def test_a_latent_with_index_keys(name: str, size: int):
    assert held(V32, name, 65536) == size


def test_deepseek_v4_keeps_584_bytes_an_entry():
    """448 + 7 + 1 + 128 (vllm/v1/attention/backends/mla/sparse_swa.py), instead of the 1,024 of 16 bit."""
    model = load_model("deepseek-ai/DeepSeek-V4-Flash")
    work = Workload(mode="decode", sequence_length=65536, kv_dtype="fp8_ds_mla")
    kept = {op.kept.per_token for op in estimate(model, work).operations if op.kept and op.kept.kind != "state"}
    assert kept == {584, 132}


@pytest.mark.parametrize("attention", ["flash", "eager"])
def test_what_is_read_is_what_is_held(attention: str):
    """A decode step reads the whole cache but for its own token."""
    for name in ("q8_0/q4_0", "bf16", "nvfp4"):
        e = estimate(load_model(LLAMA), mode="decode", sequence_length=8192, kv_dtype=name, attention=attention)
        assert sum(op.cache_reads * op.count for op in e.operations) == e.memory.kv_cache


def test_lengths_may_be_arrays():
    lengths = np.array([8192, 16384])
    assert held(LLAMA, "q8_0/q4_0", lengths).tolist() == [436_207_616, 872_415_232]  # type: ignore[arg-type,attr-defined]


@pytest.mark.parametrize(
    ("model", "name", "words"),
    [
        (LLAMA, "fp8_ds_mla", "layout of DeepSeek's latent"),
        (LLAMA, "turbo3", "choose one of auto"),
        (LLAMA, "q8_0/", "cannot be kept in"),
        (V32, "fp8_ds_mla/fp8", "stands alone"),
    ],
)
def test_what_no_cache_is_kept_in_is_refused(model: object, name: str, words: str):
    with pytest.raises(WorkloadError, match=words):
        held(model, name)
