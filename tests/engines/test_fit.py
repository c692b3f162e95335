"""The memory of a device as engines divide it, against what they printed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import calculator
from calculator import Fit, Layout, Model, fit, fit_map
from calculator.engines.memory.ask import longest
from calculator.errors import CalculatorError

GIB = 2**30
H100 = "h100-sxm-80gb"
LLM_D = {"max_model_len": 16000, "block_size": 128}


@cache
def load(name: str) -> Model:
    return calculator.load_model(name)


def fitted(model: str, device: str = H100, **options: Any) -> Fit:
    return fit(load(model), device, **options)


LOGS = [
    # llm-d-incubation/llm-d-planner docs/empirical-vllm-memory-results.md: vLLM 0.11.0 on H100 of 79.18 GiB
    ("openai/gpt-oss-20b", H100, 1, LLM_D, 13.47, 50.28),
    ("openai/gpt-oss-120b", H100, 1, {**LLM_D, "gpu_memory_utilization": 0.95}, 64.38, 3.33),
    ("meta-llama/Llama-3.3-70B-Instruct", H100, 2, {**LLM_D, "dtype": "fp8"}, 33.88, 32.0),
    ("meta-llama/Llama-3.1-8B", H100, 1, LLM_D, 14.99, 51.38),
    ("Qwen/Qwen3-0.6B", H100, 1, LLM_D, 1.12, 64.45),
    ("Qwen/Qwen3-32B", H100, 1, LLM_D, 61.03, 4.45),
    ("Qwen/Qwen3-32B", H100, 2, LLM_D, 30.59, 34.49),
    # vllm-project/vllm#10517, on a 3090 of 23.58 GiB, before chunked prefill was the default
    ("meta-llama/Llama-3.1-8B", "rtx-3090", 1, {"max_model_len": 20000, "version": "0.6.4"}, 14.9888, 3.81),
    ("meta-llama/Llama-3.1-8B", "rtx-3090", 1, {"max_model_len": 29000, "version": "0.6.4"}, 14.9888, 2.89),
    # vllm-project/vllm#23278, Marlin experts, and a public log of DeepSeek-R1
    ("openai/gpt-oss-120b", H100, 1, {"version": "0.10.1"}, 65.9651, -2.14),
    ("deepseek-ai/DeepSeek-R1", "h200-sxm-141gb", 8, {}, 79.739, 41.6),
]


@pytest.mark.parametrize(("model", "device", "tp", "options", "weights", "pool"), LOGS)
def test_weights_and_pool_are_what_vllm_printed(
    model: str, device: str, tp: int, options: dict[str, Any], weights: float, pool: float
) -> None:
    found = fitted(model, device, layout=Layout(tp=tp), **options)
    assert abs(found.weights / GIB / weights - 1) < 0.01
    assert abs(found.cache_pool / GIB / pool - 1) < 0.03


@pytest.mark.parametrize(
    ("model", "tp", "pool", "block", "tokens"),
    [
        ("deepseek-ai/DeepSeek-R1", 8, 46.8, None, 715072),
        ("google/gemma-3-27b-it", 1, 109.86, None, 205696),
        ("Qwen/Qwen3-30B-A3B", 2, 25.91, None, 566016),
    ],
)
def test_tokens_of_a_printed_pool(model: str, tp: int, pool: float, block: int | None, tokens: int) -> None:
    """The logs round the pool to 0.01 GiB, so tokens may lie that far from the printed ones and no further."""
    found = fitted(
        model, "h200-sxm-141gb", layout=Layout(tp=tp), kv_cache_memory_bytes=round(pool * GIB), block_size=block
    )
    low, high = (found.budget.cache.tokens(round((pool + d) * GIB)) for d in (-0.005, 0.005))
    assert low <= tokens <= high


@pytest.mark.parametrize(
    ("model", "tp", "blocks", "bytes_a_block", "tokens"),
    [
        ("meta-llama/Llama-3.1-8B", 1, 1952, 16 * 131072, 31232),
        ("Qwen/Qwen2-7B-Instruct", 2, 25809, 16 * 28672, 412944),
        ("deepseek-ai/DeepSeek-R1", 8, 11173, 64 * 70272, 715072),
    ],
)
def test_tokens_are_exact_where_the_pool_is_given(
    model: str, tp: int, blocks: int, bytes_a_block: int, tokens: int
) -> None:
    for spare in (0, bytes_a_block - 1):
        pool = blocks * bytes_a_block + spare
        assert fitted(model, "h200-sxm-141gb", layout=Layout(tp=tp), cache_pool=pool).cache_tokens == tokens


def test_decode_context_parallelism_shares_the_latent() -> None:
    pool = 11173 * 64 * 70272
    found = fitted(
        "deepseek-ai/DeepSeek-R1",
        "h200-sxm-141gb",
        layout=Layout(tp=8),
        cache_pool=pool,
        decode_context_parallel_size=8,
    )
    assert found.cache_tokens == 5720576  # 8 × 715,072; the recipe that turns it on prints 8 times as many, too


def test_tensorrt_llm_fills_the_card() -> None:
    """NVIDIA/TensorRT-LLM#1400: 132,608 tokens beside 6,683 MiB of Llama-2-7B."""
    found = fitted(
        "meta-llama/Llama-2-7b-hf", "a100-sxm4-80gb", engine="tensorrt-llm", cache_pool=69524783104, tokens_per_block=64
    )
    assert found.cache_tokens == 132608


@pytest.mark.parametrize(
    ("model", "context", "cache", "compute"),
    [("meta-llama/Llama-3.1-8B", 8192, 1024, 560), ("meta-llama/Llama-2-7b-hf", 2048, 1024, 164)],
)
def test_llama_cpp_buffers_are_what_it_printed(model: str, context: int, cache: int, compute: int) -> None:
    found = fitted(model, "rtx-4090", engine="llama.cpp", ctx_size=context, flash_attn=False, dtype="q4_k")
    assert found.needed == cache * 2**20
    assert found.activations == compute * 2**20


def test_llama_cpp_keeps_what_is_not_offloaded_on_the_host() -> None:
    whole = fitted("meta-llama/Llama-3.1-8B", "rtx-4090", engine="llama.cpp", dtype="q8_0")
    half = fitted("meta-llama/Llama-3.1-8B", "rtx-4090", engine="llama.cpp", dtype="q8_0", n_gpu_layers=16)
    assert half.weights + half.budget.host == whole.weights + whole.budget.host
    assert half.weights < whole.weights / 1.9
    assert half.needed * 2 == whole.needed


def test_sglang_keeps_its_default_fraction() -> None:
    found = fitted("meta-llama/Llama-3.1-8B", engine="sglang")
    assert found.budget.defaults["mem_fraction_static"] == 0.834  # 512 + 1.5 · 8192 + 2 · 256 + 128 MiB of 81,079
    assert found.weights + found.activations + found.overhead + found.cache_pool == found.capacity


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers"])
def test_shares_make_up_what_the_engine_may_use(engine: str) -> None:
    found = fitted("Qwen/Qwen3-8B", engine=engine, max_model_len=8192)
    assert found.weights + found.activations + found.overhead + found.cache_pool == found.capacity
    assert found.fits
    assert found.sequences >= 1
    assert found.fixes == ()
    assert found.budget.cache.needed(found.longest_context) <= found.cache_pool
    assert found.budget.cache.needed(found.longest_context + 256) > found.cache_pool
    assert all(row["source"] for row in found.rows())


def test_every_fix_is_checked_and_the_least_costly_comes_first() -> None:
    found = fitted("meta-llama/Llama-3.1-8B", "l4", max_model_len=32768)
    assert not found.fits
    assert found.short_by == found.needed - found.cache_pool
    assert all(fix.fit.fits for fix in found.fixes)
    words = [fix.short for fix in found.fixes]
    assert "fp8 cache" in words
    assert "TP 2" in words
    assert words.index("fp8 cache") < words.index("fp8 weights") < words.index("TP 2")
    assert found.verdict.startswith(
        "meta-llama/Llama-3.1-8B on L4 with vLLM does not fit one sequence of 32,768 tokens"
    )


def test_two_changes_where_none_is_enough() -> None:
    found = fitted("meta-llama/Llama-3.3-70B-Instruct", "l40s", max_model_len=131072, concurrency=2)
    assert not found.fits
    assert all(fix.fit.fits for fix in found.fixes)


def test_a_map_is_the_same_question_for_every_cell() -> None:
    found = fitted("openai/gpt-oss-20b", max_model_len=131072)
    batches, contexts = np.array([1, 7, 64]), np.array([1000, 16384, 131072])
    shares = fit_map(found, batches, contexts)
    for i, batch in enumerate(batches):
        for j, context in enumerate(contexts):
            again = found.again(max_model_len=int(context), concurrency=int(batch))
            assert (shares[i, j] <= 1) == again.fits


def test_a_longer_context_of_a_window_costs_only_the_layers_without_one() -> None:
    found = fitted("openai/gpt-oss-20b")
    cache = found.budget.cache
    assert cache.needed(131072) - cache.needed(65536) == 65536 * 12 * 2048
    assert longest(found.budget, 1) == found.longest_context


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "vlm"}, "Engine 'vlm' is not known"),
        ({"mem_fraction": 0.9}, "'mem_fraction' is no setting of vllm"),
        ({"gpu_memory_utilization": 1.2}, "gpu_memory_utilization must be above 0 and at most 1"),
        ({"max_model_len": 0}, "max_model_len must be a whole number from 1 up"),
        ({"concurrency": 0}, "concurrency must be a whole number from 1 up"),
        ({"version": "new"}, "version 'new' is not a version"),
        ({"layout": Layout(ep=2, tp=2)}, "has no experts"),
    ],
)
def test_what_is_not_known_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(CalculatorError, match=said):
        fitted("Qwen/Qwen3-8B", **options)


@pytest.mark.parametrize(
    ("engine", "model", "pp"),
    [
        ("sglang", "state-spaces/mamba-370m-hf", 1),
        ("sglang", "Qwen/Qwen3-Next-80B-A3B-Instruct", 48),
        ("tensorrt-llm", "state-spaces/mamba-370m-hf", 1),
        ("tensorrt-llm", "Qwen/Qwen3-Next-80B-A3B-Instruct", 48),
        ("transformers", "state-spaces/mamba-370m-hf", 1),
    ],
)
def test_states_alone_fill_no_pool_with_tokens(engine: str, model: str, pp: int) -> None:
    """Mamba, and a stage of a hybrid that holds linear attention only: any number of tokens is held."""
    found = fitted(model, engine=engine, layout=Layout(pp=pp), max_model_len=4096, concurrency=2)
    assert found.fits
    assert found.growing == (pp > 1)
    assert found.to_dict()["sequences"] > 2
    assert ("tokens of cache" in found.verdict) == found.growing
    assert found.taken + found.free == found.capacity == sum(row["bytes"] for row in found.rows())
    shares = fit_map(found, np.array([1, 2]), np.array([1024, 2048, 4096]))
    assert shares.shape == (2, 3)
    assert (shares[0, 0] < shares[0, 2]) == found.growing


@pytest.mark.parametrize("odd", [{"rotary_pct": "x"}, {"qk_rope_head_dim": [1]}, {"text_config": None}])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama.cpp"])
def test_fields_that_the_family_does_not_read_may_be_anything(engine: str, odd: dict[str, object]) -> None:
    sizes = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "vocab_size": 1000}
    model = calculator.load_model({"model_type": "llama", "intermediate_size": 512, **sizes, **odd})
    assert calculator.fit(model, "h100", engine, max_model_len=2048).fits
