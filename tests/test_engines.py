"""What engines reserve for caches, against the engines' own logs and the layouts their sources describe."""

from __future__ import annotations

import pytest

from calculator import Workload, estimate, load_model
from calculator.engines.reserved import ENGINES, reserved
from calculator.errors import WorkloadError

GIB = 2**30
GEMMA_3_27B = {
    "model_type": "gemma3_text",
    "vocab_size": 262208,
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_hidden_layers": 62,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "sliding_window": 1024,
    "sliding_window_pattern": 6,
    "max_position_embeddings": 131072,
}
QWEN_25_05B = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}


def sizes(source, length, **options):
    model = load_model(source)
    return {r.engine: r.bytes for r in reserved(model, Workload(mode="decode", sequence_length=length, **options))}


@pytest.mark.parametrize(
    ("source", "length", "available", "sequences"),
    [
        # vLLM's start-up log: GPU KV cache memory, "Maximum concurrency for N tokens per request".
        (GEMMA_3_27B, 4096, 109.86, 50.05),  # 52 layers of 62 with a window, 8 of padding; vLLM 0.11
        ("meta-llama/Llama-3.1-8B-Instruct", 20000, 3.81, 1.56),
        ("meta-llama/Llama-3.1-8B-Instruct", 29000, 2.89, 0.82),
        (QWEN_25_05B, 2048, 11.71, 499.46),
        ("Qwen/Qwen3-0.6B", 8192, 61.84, 70.67),
    ],
)
def test_vllm_s_concurrency(source, length, available, sequences):
    assert available * GIB / sizes(source, length)["vllm"] == pytest.approx(sequences, rel=2e-3, abs=0.005)


def test_vllm_s_pages_hold_the_states_of_a_hybrid():
    # "Setting attention block size to 544 tokens": 32 × 128 × 128 + 3 × 8192 elements in 16 bit, 2048 bytes a token.
    (vllm,) = (
        r for r in reserved(load_model("Qwen/Qwen3-Next-80B-A3B-Instruct"), Workload("decode")) if r.engine == "vllm"
    )
    assert "544 tokens" in vllm.steps[0]
    assert vllm.bytes == (-(-4096 // 544) + 3) * 12 * 544 * 2048


def test_pages_and_cells_are_rounded_up():
    # 131,072 bytes a token: 63 pages of 16 tokens, and 1,024 cells.
    assert sizes("meta-llama/Llama-3.1-8B", 1000) == {
        "vllm": 63 * 16 * 131072,
        "sglang": 1000 * 131072,
        "tensorrt-llm": 32 * 32 * 131072,
        "llama.cpp": 1024 * 131072,
    }
    assert sizes("meta-llama/Llama-3.1-8B", 1000, batch_size=3)["vllm"] == 3 * 63 * 16 * 131072
    # llama.cpp's log of an 8,192-token context: KV self size = 1024.00 MiB.
    assert sizes("meta-llama/Llama-3.1-8B", 8192)["llama.cpp"] == 1024 * 2**20


def test_windows_in_a_hybrid_model():
    # gpt-oss-20b, 2048 bytes a token and layer: with the hybrid manager a window's 12 layers still take what one
    # scheduler step may bring; without it every token; llama.cpp 128 + 512 tokens, padded to 768 cells.
    assert sizes("openai/gpt-oss-20b", 4096) == {
        "vllm": (256 + 257) * 12 * 16 * 2048,
        "vllm-full-pages": 24 * 4096 * 2048,
        "sglang": 12 * (4096 + 3276) * 2048,
        "tensorrt-llm": 12 * (128 + 5) * 32 * 2048,
        "llama.cpp": 12 * (4096 + 768) * 2048,
    }
    long = sizes("openai/gpt-oss-20b", 131072)
    assert long["vllm"] == (8192 + -(-(127 + 8192) // 16) + 1) * 12 * 16 * 2048
    assert estimate(load_model("openai/gpt-oss-20b"), mode="decode").memory.kv_cache == 12 * (4096 + 128) * 2048


def test_layers_of_two_widths_share_pages_of_one_size():
    # Gemma 4 26B: 25 layers of 8,192 bytes a token under a window, 5 of 4,096 without: their pages hold 32 tokens.
    found = sizes("google/gemma-4-26B-A4B-it", 131072)
    assert found["vllm"] == (5 * (-(-(1023 + 8192) // 16) + 1) + 131072 // 32) * 5 * 16 * 8192


def test_latent_caches_before_and_after_llama_cpp_knew_them():
    # 61 layers × (512 + 64) × 2 bytes; n_embd_k_gqa = 24576 and n_embd_v_gqa = 16384 in logs of early 2025.
    found = sizes("deepseek-ai/DeepSeek-V3.1", 4096)
    assert found == {
        "vllm": 4096 * 70272,
        "sglang": 4096 * 70272,
        "tensorrt-llm": 4096 * 70272,
        "llama.cpp": 4096 * 70272,
        "llama.cpp-2025": 4096 * 61 * (576 + 512) * 2,
        "llama.cpp-expanded": 4096 * 61 * (24576 + 16384) * 2,
    }
    # vLLM's log for 46.8 GiB: 715,072 tokens, whole pages of 64.
    tokens = 46.8 * GIB // (64 * 70272) * 64
    assert tokens == pytest.approx(715072, abs=128)


SPARSE = "deepseek-ai/DeepSeek-V3.2"


@pytest.mark.parametrize(
    ("kv_dtype", "vllm", "sglang"),
    [
        ("auto", 656, 1152),  # vLLM keeps it in fp8_ds_mla unless told otherwise, SGLang on Hopper in 16 bit
        ("fp8", 656, 656),
        ("fp8_ds_mla", 656, 656),
        ("bf16", 1152, 1152),
    ],
)
def test_a_latent_beside_an_indexer(kv_dtype, vllm, sglang):
    """61 layers, pages of 64, index keys of 132 bytes; 975,424 tokens are 43.67 GiB (sgl-project/sglang#11309)."""
    found = sizes(SPARSE, 1000, kv_dtype=kv_dtype)
    assert found["vllm"] == 16 * 64 * 61 * (vllm + 132)
    assert found["sglang"] == 16 * 64 * 61 * (sglang + 132)
    if kv_dtype == "fp8":
        assert 975_424 * found["sglang"] / 1024 / GIB == pytest.approx(43.67, abs=0.005)


def test_settings_of_an_engine():
    model, work = load_model("openai/gpt-oss-20b"), Workload(mode="decode", sequence_length=32768)

    def found(**settings):
        return {r.engine: r.bytes for r in reserved(model, work, **settings)}

    assert found(batched_tokens=2048)["vllm"] == (2048 + -(-(127 + 2048) // 16) + 1) * 12 * 16 * 2048
    assert found(block_size=64)["vllm"] == (512 + -(-(127 + 8192) // 64) + 1) * 12 * 64 * 2048
    assert found(block_size=64)["tensorrt-llm"] == 12 * (512 + 3) * 64 * 2048
    assert found(batched_tokens=1024)["llama.cpp"] == 12 * (32768 + 1280) * 2048
    with pytest.raises(WorkloadError, match="No engine has a setting 'pages'"):
        found(pages=3)
    with pytest.raises(WorkloadError, match="whole number of tokens"):
        found(block_size=0)


@pytest.mark.parametrize(
    ("source", "length", "kv_dtype", "pages", "tuples", "page"),
    [
        # Pages: of the past, of the window in two groups, of the states of ratio 4 and of ratio 128.
        # A tuple: 64 entries of 584 bytes, 64 of 132, 2 of 584, each up to a multiple of 576.
        ("deepseek-ai/DeepSeek-V4-Flash", 2**20, "fp8", 4096 + 2 * 131 + 2051 + 1041, 22, 37440 + 8640 + 1728),
        ("deepseek-ai/DeepSeek-V4-Flash", 1000, "fp8_ds_mla", 4 + 2 * 17 + 251 + 126, 22, 37440 + 8640 + 1728),
        ("deepseek-ai/DeepSeek-V4-Pro", 2**20, "fp8", 4096 + 2 * 131 + 2051 + 1041, 31, 37440 + 8640 + 1728),
        # In 16 bit 64 entries of 1,024 bytes, 64 of 132, 2 of 1,024, each up to a multiple of 512.
        ("deepseek-ai/DeepSeek-V4-Pro", 2**20, "auto", 4096 + 2 * 131 + 2051 + 1041, 31, 65536 + 8704 + 2048),
    ],
)
def test_vllm_s_tuples_of_a_compressed_past(source, length, kv_dtype, pages, tuples, page):
    """43 layers in vLLM's own code: 21 of ratio 4, 20 of 128; the window's 43 are split so that the fewest are added to
    21, 43, 21 and 20: two groups, of 22 at the most. Pro has 30 and 31 of 61."""
    found = sizes(source, length, kv_dtype=kv_dtype)
    assert found["vllm"] == pages * tuples * page


@pytest.mark.parametrize(
    ("source", "length", "nbytes"),
    [
        # SGLang 0.5.12 logs bytes_per_full_token=23749.84 for Pro: 62 windows, of which one is the prediction layer's.
        ("deepseek-ai/DeepSeek-V4-Pro", 2**20, 24842272768),  # (23,749.8375 − 0.1 × 584) × 2²⁰
        ("deepseek-ai/DeepSeek-V4-Flash", 2**20, 16669684532),  # 15,897.45 a slot: 43 windows, 21 of ratio 4, 20 of 128
        ("deepseek-ai/DeepSeek-V4-Flash", 1000, 16278989),  # four pages of 256 slots
    ],
)
@pytest.mark.parametrize("kv_dtype", ["auto", "fp8_e4m3", "fp8_ds_mla"])
def test_sglang_s_pools_of_a_compressed_past(source, length, nbytes, kv_dtype):
    """Each pool is a share of the slots; all is FP8 as FlashMLA packs it, 584 bytes a vector, and states are 32 bit."""
    assert sizes(source, length, kv_dtype=kv_dtype)["sglang"] == nbytes


def test_sglang_has_one_format_and_whole_windows_for_a_compressed_past():
    model = load_model("deepseek-ai/DeepSeek-V4-Flash")
    for fields, settings in (({"kv_dtype": "bf16"}, {}), ({}, {"block_size": 64})):
        found = {r.engine: r for r in reserved(model, Workload(mode="decode", **fields), **settings)}
        assert found["sglang"].bytes is None
        assert "fp8_e4m3 alone, in pages of whole multiples of 128" in found["sglang"].steps[0]


@pytest.mark.parametrize(
    ("length", "kv_dtype", "block", "nbytes"),
    [
        # Blocks of the past: 21 × (128/4 × 512 + 128/4 × 132) + 20 × 512 bytes; of the window 43 × 128 × 512; of states
        # 21 × 128 × 2 × 2 × (512 + 128) × 4 and 20 × 128 × 2 × 512 × 4; one more of what does not grow.
        (2**20, "fp8", None, 8192 * (21 * 32 * 644 + 20 * 512) + 2 * (2818048 + 27525120 + 10485760)),
        (2**20, "fp8", 256, 4096 * (21 * 64 * 644 + 20 * 1024) + 2 * 2 * (2818048 + 27525120 + 10485760)),
        (2**20, "auto", None, 8192 * (21 * 32 * 1156 + 20 * 1024) + 2 * (5636096 + 27525120 + 10485760)),
        (100, "fp8", None, (21 * 32 * 644 + 20 * 512) + 2818048 + 2 * 27525120 + 10485760),
    ],
)
def test_tensorrt_llm_s_blocks_of_a_compressed_past(length, kv_dtype, block, nbytes):
    model = load_model("deepseek-ai/DeepSeek-V4-Flash")
    workload = Workload(mode="decode", sequence_length=length, kv_dtype=kv_dtype)
    found = {r.engine: r.bytes for r in reserved(model, workload, block_size=block)}
    assert found["tensorrt-llm"] == nbytes
    odd = {r.engine: r for r in reserved(model, Workload(mode="decode"), block_size=32)}["tensorrt-llm"]
    assert odd.steps == ("TensorRT-LLM keeps such a cache in blocks of 128 or 256 tokens, not of 32",)


def test_fewer_batched_tokens_are_fewer_pages_of_states():
    model = load_model("deepseek-ai/DeepSeek-V4-Flash")
    workload = Workload(mode="decode", sequence_length=2**20, kv_dtype="fp8")
    found = {r.engine: r.bytes for r in reserved(model, workload, batched_tokens=2048)}
    assert found["vllm"] == (4096 + 2 * (34 + 1) + (514 + 1) + (272 + 1)) * 22 * 47808
    odd = {r.engine: r for r in reserved(model, workload, block_size=64)}
    assert "whole multiples of 128 tokens, not of 64" in " ".join(odd["vllm"].steps)


def test_sglang_keeps_three_states_of_a_running_request():
    found = sizes("Qwen/Qwen3-Next-80B-A3B-Instruct", 4096)["sglang"]
    assert found == 36 * 3 * (32 * 128 * 128 * 4 + 3 * 8192 * 2) + 12 * 4096 * 2048


def test_states_of_llama_cpp_are_32_bit():
    # 36 layers × (32 × 128 × 128 + 3 × 8192) elements, and 12 layers of 2,048 bytes a token.
    found = sizes("Qwen/Qwen3-Next-80B-A3B-Instruct", 4096)["llama.cpp"]
    assert found == 36 * (32 * 128 * 128 + 3 * 8192) * 4 + 12 * 4096 * 2048


def test_the_cache_table_adds_up_to_the_minimum():
    for name in ("google/gemma-4-26B-A4B-it", "Qwen/Qwen3-Next-80B-A3B-Instruct", "deepseek-ai/DeepSeek-V3.1"):
        e = estimate(load_model(name), mode="decode", batch_size=3)
        assert sum(row["bytes"] for row in e.rows("cache")) == e.memory.kv_cache
        assert all(row["times_minimum"] >= 1 for row in e.rows("engines") if row["bytes"] is not None)
        assert {row["engine"] for row in e.to_dict()["cache"]["engines"]} <= set(ENGINES)


def test_what_keeps_nothing_says_so():
    model = load_model(QWEN_25_05B)
    e = estimate(model, mode="pretraining")
    for table in ("cache", "engines"):
        with pytest.raises(WorkloadError, match="Pretraining keeps nothing"):
            e.rows(table)
    with pytest.raises(WorkloadError, match="Pretraining keeps no cache"):
        reserved(model, Workload(mode="pretraining"))
