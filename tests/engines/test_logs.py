"""Logs of engines read back, in the words of the versions that printed them, beside what is predicted."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import calculator
from calculator import Model, read_log
from calculator.errors import WorkloadError

H100 = "h100-sxm-80gb"


@cache
def load(name: str) -> Model:
    return calculator.load_model(name)


def beside(text: str, model: str, device: str = H100, **changes: Any) -> dict[str, dict[str, Any]]:
    """The rows of a log by figure."""
    reading = read_log(text)
    return {row["figure"]: row for row in reading.rows(reading.predicted(load(model), device, **changes))}


def test_a_log_beside_what_is_predicted() -> None:
    text = """INFO 10-02 api_server.py vLLM API server version 0.11.0
    non-default args: {'model': 'Qwen/Qwen3-32B', 'max_model_len': 16000, 'tensor_parallel_size': 2, 'block_size': 128}
    Model loading took 30.59 GiB and 11.2 seconds
    Memory profiling takes 2.1 seconds. Total non KV cache memory: 36.77GiB; torch peak memory increase: 5.64GiB;
    non-torch forward increase memory: 0.54GiB; weights memory: 30.59GiB.
    Available KV cache memory: 34.49 GiB
    GPU KV cache size: 282,496 tokens
    Maximum concurrency for 16,000 tokens per request: 17.66x"""
    reading = read_log(text)
    assert (reading.model, reading.tp, reading.settings["version"]) == ("Qwen/Qwen3-32B", 2, "0.11.0")
    rows = {row["figure"]: row for row in reading.rows(reading.predicted(load("Qwen/Qwen3-32B"), H100))}
    assert rows["Tokens in the printed pool"]["predicted"] == 282496
    assert all(abs(row["error"]) < 0.01 for row in rows.values())


def test_an_old_log() -> None:
    text = """Loading model weights took 13.9476 GB
    model weights take 13.95GiB; non_torch_memory takes 0.25GiB; PyTorch activation peak memory takes 0.19GiB;
    the rest of the memory reserved for KV Cache is 8.69GiB.
    the current vLLM instance can use total_gpu_memory (23.55GiB) x gpu_memory_utilization (0.98) = 23.08GiB
    # cuda blocks: 5096, # CPU blocks: 2730"""
    printed = read_log(text).printed
    assert (printed["pool"], printed["blocks"], printed["total"]) == (8.69, 5096, 23.55)
    assert read_log(text).settings["gpu_memory_utilization"] == 0.98


def test_a_text_without_memory_lines_is_no_log() -> None:
    with pytest.raises(WorkloadError, match=r"none of the memory lines of vLLM, SGLang, TensorRT-LLM or llama\.cpp"):
        read_log("INFO hello")


def test_vllm_0_6() -> None:
    """vllm-project/vllm#10517, with the sum of 0.6.4 in one line, and #10511, in a table."""
    text = """Initializing an LLM engine (v0.6.4) with config: model='meta-llama/Llama-3.1-8B-Instruct', 
    max_seq_len=20000,
    Loading model weights took 14.9888 GB
    Memory profiling results: total_gpu_memory=23.58GiB initial_memory_usage=15.34GiB peak_torch_memory=17.06GiB
    memory_usage_post_profile=15.35GiB non_torch_memory=0.35GiB kv_cache_size=3.81GiB gpu_memory_utilization=0.90
    # GPU blocks: 1952, # CPU blocks: 2048
    Maximum concurrency for 20000 tokens per request: 1.56x"""
    reading = read_log(text)
    assert reading.settings == {"version": "0.6.4", "max_model_len": 20000, "gpu_memory_utilization": 0.9}
    assert reading.printed == {
        "weights": 14.9888, "non_torch": 0.35, "pool": 3.81, "blocks": 1952, "concurrency": 1.56, "total": 23.58
    }  # fmt: skip
    rows = beside(text, "meta-llama/Llama-3.1-8B", "rtx-3090")
    assert all(abs(row["error"]) < 0.01 for row in rows.values())
    table = """worker.py:243] total_gpu_memory     79.22GiB
    gpu_memory_utilization       0.90
    model weights take   14.96GiB
    non_torch_memory     1.79GiB
    PyTorch activation peak memory       1.26GiB
    available_kv_cache_memory    53.29GiB"""
    printed = read_log(table).printed
    assert printed == {"weights": 14.96, "activations": 1.26, "non_torch": 1.79, "pool": 53.29, "total": 79.22}


def test_vllm_0_10_with_its_sentence_after_the_start() -> None:
    """A log of Qwen3-8B in FP8 on a card of 23.5 GiB that stands in a public repository."""
    text = """Free memory on device (23.08/23.53 GiB) on startup. Desired GPU memory utilization is (0.8, 18.82 GiB).
    Actual usage is 8.8 GiB for weight, 1.4 GiB for peak activation, 0.02 GiB for non-torch memory, and 0.68 GiB for
    CUDAGraph memory. Current kv cache memory in use is 9232221491 bytes.
    Available KV cache memory: 8.60 GiB
    GPU KV cache size: 62,608 tokens
    Maximum concurrency for 1,024 tokens per request: 61.14x"""
    text = " ".join(text.split())
    reading = read_log(text)
    assert reading.settings == {"max_model_len": 1024, "gpu_memory_utilization": 0.8}
    rows = beside(text, "Qwen/Qwen3-8B", "rtx-4090", dtype="fp8", version="0.10.2")
    assert rows["Tokens in the printed pool"]["predicted"] == 62608
    assert rows["CUDA graphs, GiB"]["printed"] == 0.68
    assert abs(rows["Model weights, GiB"]["error"]) < 0.0005
    assert abs(rows["Available KV cache memory, GiB"]["error"]) < 0.01
    assert abs(rows["Activation peak of the profile run, GiB"]["error"]) < 0.01


def test_vllm_0_24_counts_tokens_by_the_longest_sequence() -> None:
    """noonghunna/club-3090#612: Qwen3.6-35B-A3B, which has the shapes of 3.5."""
    text = """(APIServer pid=1) INFO 07-06 22:50:34 [api_utils.py:273] non-default args: {'max_model_len': 131072,
    'kv_cache_dtype': 'fp8', 'enable_prefix_caching': True, 'max_num_batched_tokens': 8192, 'max_num_seqs': 1}
    (EngineCore pid=107) INFO [core.py:114] Initializing a V1 LLM engine (v0.24.0) with config: model='qwen3.6-35b'
    \x1b[0;36m(EngineCore pid=107)\x1b[0;0m INFO [gpu_worker.py:508] Available KV cache memory: 5.98 GiB
    (EngineCore pid=107) INFO [kv_cache_utils.py:2146] GPU KV cache size: 567,978 tokens
    (EngineCore pid=107) INFO [kv_cache_utils.py:2147] Maximum concurrency for 131,072 tokens per request: 4.33x"""
    reading = read_log(text)
    assert reading.settings["enable_prefix_caching"] is True
    assert reading.settings["version"] == "0.24.0"
    rows = beside(text, "Qwen/Qwen3.5-35B-A3B", "rtx-5090")
    assert rows["Tokens in the printed pool"]["predicted"] == 567978


def test_vllm_s_refusal_is_a_log() -> None:
    """vllm-project/vllm#44376."""
    text = """ValueError: To serve at least one request with the model's max seq len (30000), (6.66 GiB KV cache is
    needed, which is larger than the available KV cache memory (5.44 GiB). Based on the available memory, the
    estimated maximum model length is 13528. Try increasing `gpu_memory_utilization`"""
    text = " ".join(text.split())
    reading = read_log(text)
    assert reading.printed == {"pool": 5.44, "needed": 6.66, "longest": 13528}
    assert reading.settings == {"max_model_len": 30000}
    asked = {"kv_dtype": "fp8", "block_size": 256, "max_num_batched_tokens": 16384, "tp": 2}
    layout = calculator.Layout(tp=asked.pop("tp"))
    rows = beside(text, "deepseek-ai/DeepSeek-V4-Flash", "h200-sxm-141gb", layout=layout, **asked)
    assert round(rows["Cache that the longest sequence needs, GiB"]["predicted"], 2) == 6.66
    assert abs(rows["Longest sequence that fits, tokens"]["error"]) < 0.02  # a page of 256 tokens is 0.001 GiB


SGLANG = """[2025-01-23 19:35:20 TP0] Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16, avail mem=63.72 GB
[2025-01-23 19:35:20 TP0] KV Cache is allocated. K size: 27.13 GB, V size: 27.13 GB.
[2025-01-23 19:35:27 TP0] max_total_num_tokens=444500, max_prefill_tokens=16384, context_len=131072"""
TP4 = """server_args ... tp_size=4 ... mem_fraction_static=0.8 ...
Load weight end. type=Qwen3ForCausalLM, dtype=torch.bfloat16, avail mem=16.00 GB, mem usage=7.08 GB.
[TP1] KV Cache is allocated. #tokens: 298447, K size: 5.69 GB, V size: 5.69 GB
[TP0] KV Cache is allocated. #tokens: 298447, K size: 5.69 GB, V size: 5.69 GB
max_total_num_tokens=298447, chunked_prefill_size=2048, max_prefill_tokens=16384, context_len=40960"""
HYBRID = """Load weight end. type=Lfm2ForCausalLM, dtype=torch.bfloat16, avail mem=13.81 GB, mem usage=1.52 GB.
Mamba Cache is allocated. max_mamba_cache_size: 85292, conv_state size: 4.88GB, ssm_state size: 0.00GB
KV Cache is allocated. dtype: torch.bfloat16, #tokens: 473854, K size: 2.71 GB, V size: 2.71 GB"""
TENSORRT = """[TensorRT-LLM][INFO] Number of tokens per block: 32.
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 0.27 GiB for max tokens in paged KV cache (12800).
[TensorRT-LLM][INFO] Max KV cache blocks per sequence: 65 [window size=2051], tokens per block=32, primary blocks=116617
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 78.30 GiB for max tokens in paged KV cache (3731744)."""
LLAMA_CPP = """llm_load_print_meta: model ftype      = Q4_K - Medium
llm_load_print_meta: n_ctx_train      = 32768
llama_new_context_with_model: n_ctx         = 4096
llama_new_context_with_model: n_ubatch      = 512
llama_new_context_with_model: flash_attn    = 1
llama_kv_cache_init:      CUDA0 KV buffer size =   144.00 MiB
llama_init_from_model: KV self size  =  144.00 MiB, K (f16):   72.00 MiB, V (f16):   72.00 MiB
llama_init_from_model:  CUDA_Host  output buffer size =     0.58 MiB
llama_init_from_model:      CUDA0 compute buffer size =   300.75 MiB"""


@pytest.mark.parametrize(
    ("text", "engine", "printed"),
    [
        (SGLANG, "sglang", {"pool": 54.26, "tokens": 444500}),
        (TP4, "sglang", {"weights": 7.08, "pool": 11.38, "tokens": 298447}),
        (HYBRID, "sglang", {"weights": 1.52, "pool": 10.3, "tokens": 473854}),
        (TENSORRT, "tensorrt-llm", {"pool": 78.3, "tokens": 3731744}),
        (LLAMA_CPP, "llama.cpp", {"kv_buffer": 144, "compute_buffer": 300.75}),
    ],
)
def test_logs_of_other_engines(text: str, engine: str, printed: dict[str, float]) -> None:
    reading = read_log(text)
    assert reading.engine == engine
    assert reading.printed == pytest.approx(printed)


@pytest.mark.parametrize(
    ("text", "model", "device", "changes"),
    [
        (SGLANG, "meta-llama/Llama-3.1-8B", H100, {"mem_fraction_static": 0.88}),
        (TP4, "Qwen/Qwen3-14B", "rtx-4090", {}),
        (HYBRID, "LiquidAI/LFM2-700M", "l4", {"cache_pool": round(10.3 * 2**30)}),
        (TENSORRT, "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "gh200-96gb", {"cache_pool": round(78.3 * 2**30)}),
    ],
)
def test_tokens_of_the_pool_that_another_engine_printed(
    text: str, model: str, device: str, changes: dict[str, Any]
) -> None:
    rows = beside(text, model, device, **changes)
    assert abs(rows["Tokens in the printed pool"]["error"]) < 0.001
    assert abs(rows["Available KV cache memory, GiB"]["error"]) < 0.03


def test_llama_cpp_s_buffers_are_what_the_log_says() -> None:
    rows = beside(LLAMA_CPP, "Qwen/Qwen2.5-3B", "rtx-4090")
    assert read_log(LLAMA_CPP).settings == {
        "ctx_size": 4096, "ubatch_size": 512, "flash_attn": True, "kv_dtype": "f16", "dtype": "q4_k_m"
    }  # fmt: skip
    assert rows["KV buffer, MiB"]["predicted"] == 144
    assert rows["Compute buffer, MiB"]["predicted"] == 300.75
