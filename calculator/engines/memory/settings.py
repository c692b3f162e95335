"""The engines' settings that decide about memory, by the engines' own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calculator.errors import WorkloadError, choose


@dataclass(frozen=True)
class Setting:
    """A setting: its command-line flag, "fraction", "count", "bytes" or "switch", and what it does."""

    flag: str
    kind: str
    meaning: str


COMMON = {
    "max_model_len": Setting("", "count", "tokens of the longest sequence, prompt and output together"),
    "max_num_batched_tokens": Setting("", "count", "tokens of one step"),
}
VLLM = {
    "gpu_memory_utilization": Setting("--gpu-memory-utilization", "fraction", "part of the device that vLLM may use"),
    "max_model_len": Setting("--max-model-len", "count", "tokens of the longest sequence"),
    "max_num_seqs": Setting("--max-num-seqs", "count", "sequences of one step; the profile run samples for as many"),
    "max_num_batched_tokens": Setting("--max-num-batched-tokens", "count", "tokens of one step and of the profile run"),
    "block_size": Setting("--block-size", "count", "tokens a page"),
    "kv_cache_memory_bytes": Setting("--kv-cache-memory-bytes", "bytes", "the pool itself, in place of the profile"),
    "num_gpu_blocks_override": Setting("--num-gpu-blocks-override", "count", "blocks, whatever the memory"),
    "enforce_eager": Setting("--enforce-eager", "switch", "no CUDA graphs"),
    "disable_hybrid_kv_cache_manager": Setting(
        "--disable-hybrid-kv-cache-manager", "switch", "windows hold all tokens"
    ),
    "decode_context_parallel_size": Setting("--decode-context-parallel-size", "count", "ranks that share the tokens"),
    "enable_expert_parallel": Setting("--enable-expert-parallel", "switch", "whole experts on each rank"),
}
SGLANG = {
    "mem_fraction_static": Setting("--mem-fraction-static", "fraction", "part of the device for weights and cache"),
    "context_length": Setting("--context-length", "count", "tokens of the longest sequence"),
    "chunked_prefill_size": Setting("--chunked-prefill-size", "count", "tokens of one prefill step"),
    "cuda_graph_max_bs": Setting("--cuda-graph-max-bs", "count", "sequences of the largest captured batch"),
    "max_running_requests": Setting("--max-running-requests", "count", "sequences at once"),
    "max_total_tokens": Setting("--max-total-tokens", "count", "tokens of the pool at most"),
    "page_size": Setting("--page-size", "count", "tokens a page"),
}
TENSORRT_LLM = {
    "free_gpu_memory_fraction": Setting(
        "--kv_cache_free_gpu_memory_fraction", "fraction", "part of what is left that the cache takes"
    ),
    "max_seq_len": Setting("--max_seq_len", "count", "tokens of the longest sequence"),
    "max_num_tokens": Setting("--max_num_tokens", "count", "tokens of one step"),
    "max_batch_size": Setting("--max_batch_size", "count", "sequences at once"),
    "tokens_per_block": Setting("", "count", "tokens a page (kv_cache_config.tokens_per_block)"),
}
LLAMA_CPP = {
    "n_gpu_layers": Setting("--n-gpu-layers", "count", "layers on the device, the last ones; the rest on the host"),
    "ctx_size": Setting("--ctx-size", "count", "tokens of all sequences together"),
    "parallel": Setting("--parallel", "count", "sequences that share the context"),
    "ubatch_size": Setting("--ubatch-size", "count", "tokens of one step"),
    "flash_attn": Setting("--flash-attn", "switch", "scores are never written"),
}
TRANSFORMERS = {
    "batch_size": Setting("", "count", "sequences of generate()"),
    "attn_implementation": Setting("", "choice", "eager or sdpa"),
}
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "tensorrt-llm": TENSORRT_LLM,
    "llama.cpp": LLAMA_CPP,
    "transformers": TRANSFORMERS,
}
"""Engine -> its settings by name."""
ALSO = ("cache_pool", "concurrency", "version")  # of every engine: a given pool, sequences wanted, the engine's version


def checked(engine: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given, with their values checked.

    Raises:
        WorkloadError: an engine, a setting or a value that is not known.
    """
    if engine not in SETTINGS:
        raise WorkloadError(f"Engine {engine!r} is not known; {choose(engine, SETTINGS)}")
    known = SETTINGS[engine]
    found = {}
    for name, value in given.items():
        if name not in known and name not in ALSO and name not in COMMON:
            raise WorkloadError(
                f"{name!r} is no setting of {engine} that memory depends on; {choose(name, (*known, *ALSO))}"
            )
        if value is not None:
            found[name] = _value(name, known.get(name), value)
    return found


def _value(name: str, setting: Setting | None, value: Any) -> Any:
    kind = setting.kind if setting else {"cache_pool": "bytes", "version": "version"}.get(name, "count")
    if kind == "version":
        return str(value)
    if kind == "choice":
        if value not in ("eager", "sdpa"):
            raise WorkloadError(f"{name} must be eager or sdpa, not {value!r}.")
        return value
    if kind == "switch":
        if not isinstance(value, bool):
            raise WorkloadError(f"{name} must be True or False, not {value!r}.")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WorkloadError(f"{name} must be a number, not {value!r}.")
    if kind == "fraction":
        if not 0 < value <= 1:
            raise WorkloadError(f"{name} must be above 0 and at most 1, not {value!r}.")
        return float(value)
    least = 0 if name == "n_gpu_layers" else 1
    if value != int(value) or value < least:
        raise WorkloadError(f"{name} must be a whole number from {least} up, not {value!r}.")
    return int(value)
