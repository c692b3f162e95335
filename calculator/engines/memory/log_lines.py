"""The lines by which engines' logs state memory and settings, of all versions whose logs are known here.

A pattern's groups are added up: SGLang prints keys and values apart. Numbers are bounded, because digits without end
would be tried in every way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NUMBER = r"(-?\d[\d,]{0,24}(?:\.\d{1,24})?)"
SHARE = r"(\d{1,9}(?:\.\d{1,24})?)"
COUNT = r"(\d{1,12})"

Said = Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]]


@dataclass(frozen=True)
class Lines:
    """How an engine's log is read.

    Attributes:
        title: what it is called. printed: figure -> patterns. said: setting -> patterns and how the text is read.
        known: figures of which a log must have one. asked: words of the lines, for who pasted none of them.
        summed: figures whose different lines are parts of one amount (pools of windows, devices).
    """

    title: str
    printed: Mapping[str, tuple[str, ...]]
    said: Said
    known: tuple[str, ...]
    asked: str
    summed: tuple[str, ...] = ()


def whole(said: str) -> int:
    """A number with commas."""
    return int(said.replace(",", ""))


def _name(said: str) -> str:
    return said.strip().lower().replace(" - medium", "_m").replace(" - small", "_s").replace(" - large", "_l")


VLLM = Lines(
    "vLLM",
    {
        "weights": (
            rf"[Mm]odel loading took {NUMBER}\s*Gi?B",
            rf"Loading model weights took {NUMBER}\s*Gi?B",
            rf"model weights take\s+{NUMBER}\s*GiB",
            rf"weights memory:\s*{NUMBER}\s*GiB",
            rf"Actual usage is {NUMBER}\s*GiB for weight,",
        ),
        "activations": (
            rf"PyTorch activation peak memory(?: takes)?\s+{NUMBER}\s*GiB",
            rf"torch peak memory increase:\s*{NUMBER}\s*GiB",
            rf"(?:for weight|\+ non-torch\)), {NUMBER}\s*GiB for peak activation",
        ),
        "non_torch": (
            rf"non_torch_memory(?: takes)?[ =]\s*{NUMBER}\s*GiB",
            rf"non-torch forward increase memory:\s*{NUMBER}\s*GiB",
            rf"peak activation, {NUMBER}\s*GiB for non-torch memory",
        ),
        "pool": (
            rf"Available KV cache memory:\s*{NUMBER}\s*GiB",
            rf"reserved for KV Cache is\s+{NUMBER}\s*GiB",
            rf"available_kv_cache_memory\s+{NUMBER}\s*GiB",
            rf"kv_cache_size={NUMBER}\s*GiB",
            rf"larger than the available KV cache memory \({NUMBER}\s*GiB\)",
            rf"Current kv cache memory in use is {NUMBER}\s*GiB",
        ),
        "tokens": (
            rf"GPU KV cache size:\s*{NUMBER}\s*tokens",
            rf"maximum number of tokens that can be stored in KV cache \({NUMBER}\)",
        ),
        "blocks": (rf"(?i:# (?:GPU|CUDA) blocks):\s*{NUMBER}",),
        "concurrency": (rf"Maximum concurrency for [\d,]{{1,20}} tokens per request:\s*{NUMBER}x",),
        "needed": (rf"\({NUMBER}\s*GiB KV cache is needed",),
        "longest": (rf"estimated maximum model length is {NUMBER}",),
        "graphs": (
            rf"Graph capturing finished in [\d.]{{1,20}} secs, took {NUMBER}\s*GiB",
            rf"CUDA graph pool memory: {NUMBER}\s*GiB \(actual\)",
            rf"and {NUMBER}\s*GiB for CUDAGraph memory",
        ),
        "total": (
            rf"total_gpu_memory \({NUMBER}\s*GiB\)",
            rf"total_gpu_memory[ =]\s*{NUMBER}\s*GiB",
            rf"Free memory on device \(-?[\d.]{{1,20}}/{NUMBER}\s*GiB\)",
        ),
    },
    {
        "version": (
            (
                r"vLLM API server version v?(\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)",
                r"LLM engine \(v(\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)",
                r"█\s{1,20}version v?(\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)",
            ),
            str,
        ),
        "model": (
            (r"config:? model='([^']{1,200})'", r"'model(?:_tag)?': '([^']{1,200})'", r"vllm serve ([\w./-]{1,200})"),
            str,
        ),
        "tp": (
            (
                rf"tensor_parallel_size'?[=:]\s*{COUNT}",
                rf"--tensor[-_]parallel[-_]size[= ]{COUNT}",
                rf"(?:^|\s)-tp[= ]{COUNT}",
            ),
            int,
        ),
        "pp": ((rf"pipeline_parallel_size'?[=:]\s*{COUNT}", rf"--pipeline[-_]parallel[-_]size[= ]{COUNT}"), int),
        "max_model_len": (
            (
                rf"max_(?:seq|model)_len'?[=:]\s*{COUNT}",
                rf"--max[-_]model[-_]len[= ]{COUNT}",
                r"model's max seq len \((\d[\d,]{0,15})\)",
                r"Maximum concurrency for (\d[\d,]{0,15}) tokens",
            ),
            whole,
        ),
        "gpu_memory_utilization": (
            (
                rf"gpu_memory_utilization'?[=:]\s*{SHARE}",
                rf"--gpu[-_]memory[-_]utilization[= ]{SHARE}",
                rf"gpu_memory_utilization \({SHARE}\)",
                rf"gpu_memory_utilization\s+{SHARE}",
                rf"Desired GPU memory utilization is \({SHARE},",
            ),
            float,
        ),
        "max_num_seqs": ((rf"max_num_seqs'?[=:]\s*{COUNT}", rf"--max[-_]num[-_]seqs[= ]{COUNT}"), int),
        "max_num_batched_tokens": (
            (rf"max_num_batched_tokens'?[=:]\s*{COUNT}", rf"--max[-_]num[-_]batched[-_]tokens[= ]{COUNT}"),
            int,
        ),
        "block_size": ((rf"'block_size':\s*{COUNT}", rf"--block[-_]size[= ]{COUNT}"), int),
        "kv_dtype": (
            (r"kv_cache_dtype'?[=:]\s*'?(fp8\w{0,20})", r"--kv[-_]cache[-_]dtype[= ](fp8\w{0,20})"),
            lambda _: "fp8",
        ),
        "enable_prefix_caching": ((r"'enable_prefix_caching': (True)", r"--enable-prefix-(caching)"), bool),
        "decode_context_parallel_size": (
            (rf"decode_context_parallel_size'?[=:]\s*{COUNT}", rf"--decode-context-parallel-size[= ]{COUNT}"),
            int,
        ),
    },
    ("weights", "pool", "tokens", "blocks"),
    "“Model loading took … GiB”, “Available KV cache memory: …”, “GPU KV cache size: … tokens”",
)
SGLANG = Lines(
    "SGLang",
    {
        "weights": (rf"Load weight end[^\n]{{0,300}}mem usage={NUMBER}\s*GB",),
        "pool": (
            rf"KV Cache is allocated\.[^\n]{{0,120}}K size: {NUMBER}\s*GB, V size: {NUMBER}\s*GB",
            rf"KV Cache is allocated\.[^\n]{{0,120}}KV size: {NUMBER}\s*GB",
            rf"Mamba Cache is allocated[^\n]{{0,120}}conv_state size: {NUMBER}\s*GB, ssm_state size: {NUMBER}\s*GB",
        ),
        "tokens": (rf"max_total_num_tokens={NUMBER}", rf"KV Cache is allocated\.[^\n]{{0,80}}#tokens: {NUMBER}"),
    },
    {
        "model": ((r"model_path='([^']{1,200})'", r"--model(?:-path)?[= ]([\w./-]{1,200})"), str),
        "tp": ((rf"tp_size={COUNT}", rf"--tp(?:-size)?[= ]{COUNT}"), int),
        "pp": ((rf"pp_size={COUNT}",), int),
        "context_length": ((rf"context_len(?:gth)?={COUNT}", rf"--context-length[= ]{COUNT}"), int),
        "mem_fraction_static": ((rf"mem_fraction_static={SHARE}", rf"--mem-fraction-static[= ]{SHARE}"), float),
        "chunked_prefill_size": ((rf"chunked_prefill_size={COUNT}", rf"--chunked-prefill-size[= ]{COUNT}"), int),
        "page_size": ((rf"page_size={COUNT}", rf"--page-size[= ]{COUNT}"), int),
        "kv_dtype": ((r"kv_cache_dtype='(fp8\w{0,20})'", r"--kv-cache-dtype[= ](fp8\w{0,20})"), lambda _: "fp8"),
    },
    ("pool", "tokens"),
    "“KV Cache is allocated. #tokens: …”, “max_total_num_tokens=…”",
    ("pool",),
)
TENSORRT_LLM = Lines(
    "TensorRT-LLM",
    {
        "pool": (rf"Allocated {NUMBER}\s*GiB for max tokens in paged KV cache",),
        "tokens": (rf"for max tokens in paged KV cache \({NUMBER}\)", rf"Using {NUMBER} tokens in paged KV cache"),
        "total": (rf"max tokens in paged kv cache: total: {NUMBER}\s*GiB",),
    },
    {
        "tp": ((rf"--tp_size[= ]{COUNT}", rf"tensor_parallel_size[=:]\s*{COUNT}"), int),
        "tokens_per_block": ((rf"[Nn]umber of tokens per block: {COUNT}", rf"tokens per block={COUNT}"), int),
        "max_seq_len": ((rf"max_seq_len=\s*{COUNT}", rf"--max_seq_len[= ]{COUNT}"), int),
        "max_num_tokens": ((rf"max_num_tokens=\s*{COUNT}", rf"--max_num_tokens[= ]{COUNT}"), int),
        "max_batch_size": ((rf"--max_batch_size[= ]{COUNT}",), int),
        "kv_dtype": ((r"kv_cache_dtype[=: ]{1,2}'?(fp8)",), str),
    },
    ("pool", "tokens"),
    "“Allocated … GiB for max tokens in paged KV cache (…)”",
)
LLAMA_CPP = Lines(
    "llama.cpp",
    {
        "model_buffer": (rf"CUDA\d{{1,2}} (?:model )?buffer size =\s*{NUMBER}\s*MiB",),
        "kv_buffer": (rf"KV self size\s+=\s*{NUMBER}\s*MiB", rf"llama_kv_cache\w*: size =\s*{NUMBER}\s*MiB"),
        "compute_buffer": (rf"CUDA0 compute buffer size =\s*{NUMBER}\s*MiB",),
    },
    {
        "ctx_size": ((rf"n_ctx\s+=\s*{COUNT}",), int),
        "ubatch_size": ((rf"n_ubatch\s+=\s*{COUNT}",), int),
        "flash_attn": ((r"flash_attn\s+=\s*(\w{1,10})",), lambda said: said not in ("0", "disabled")),
        "kv_dtype": ((r"type_k = '(\w{1,12})'", r"K \((\w{1,12})\):"), str),
        "dtype": (
            (r"file type\s+= (Q\d\w{0,6}(?: - \w{1,8})?)", r"model ftype\s+= (Q\d\w{0,6}(?: - \w{1,8})?)"),
            _name,
        ),
    },
    ("kv_buffer", "compute_buffer", "model_buffer"),
    "“KV self size = … MiB”, “CUDA0 model buffer size = … MiB”",
    ("model_buffer", "kv_buffer"),
)
ENGINES: Mapping[str, Lines] = {"vllm": VLLM, "sglang": SGLANG, "tensorrt-llm": TENSORRT_LLM, "llama.cpp": LLAMA_CPP}
"""Engine -> its lines; the first whose lines a text has is the engine that wrote it."""
