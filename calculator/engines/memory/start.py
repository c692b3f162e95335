"""How to start an engine with the settings of a fit: its command, and what Kubernetes and SkyPilot have to be asked."""

from __future__ import annotations

import json
import shlex
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.engines.memory.fit import Fit
from calculator.errors import WorkloadError
from calculator.numbers.units import GIB

WEIGHTS = {"fp8": "fp8"}  # what vLLM and SGLang quantize to while they load a 16-bit checkpoint
CACHES = {"fp8": "fp8_e4m3"}
SKYPILOT = {
    "h100-sxm-80gb": "H100",
    "h100-pcie-80gb": "H100",
    "h200-sxm-141gb": "H200",
    "b200-sxm-180gb": "B200",
    "b300-sxm-288gb": "B300",
    "gb200-nvl72": "GB200",
    "gb300-nvl72": "GB300",
    "a100-sxm4-40gb": "A100",
    "a100-sxm4-80gb": "A100-80GB",
    "a100-pcie-80gb": "A100-80GB",
    "l4": "L4",
    "l40s": "L40S",
    "a10": "A10",
    "a10g": "A10G",
    "t4": "T4",
    "v100-sxm2-16gb": "V100",
    "v100-sxm2-32gb": "V100-32GB",
    "rtx-4090": "RTX4090",
    "rtx-3090": "RTX3090",
    "rtx-a6000": "RTXA6000",
    "rtx-5090": "RTX5090",
    "mi300x": "MI300X",
}
"""Device -> accelerator by SkyPilot's name (`sky show-gpus`, v0.10)."""


@cache
def engine_flags() -> dict[str, Any]:
    """The engines' own flags, each engine with the version and the source they were read from."""
    read: dict[str, Any] = json.loads((DATA / "engine_flags.json").read_text(encoding="utf-8"))
    return read


CONNECTED = '{{"kv_connector":"NixlConnector","kv_role":"kv_{}"}}'
POOLS: dict[str, dict[str, list[str]]] = {
    "vllm": {
        "prefill": ["--kv-transfer-config", CONNECTED.format("producer")],
        "decode": ["--kv-transfer-config", CONNECTED.format("consumer")],
    },
    "sglang": {
        "prefill": ["--disaggregation-mode", "prefill"],
        "decode": ["--disaggregation-mode", "decode"],
    },
    "tensorrt-llm": {"prefill": ["--server_role", "context"], "decode": ["--server_role", "generation"]},
}
"""Engine -> pool -> what its command says beside the rest where prompts and generation have devices of their own."""


def command(found: Fit, pool: str = "") -> list[str]:
    """The words of the command that starts the engine with the fit's settings.

    Args:
        pool: "prefill" or "decode" for one of the pools of a plan that keeps them apart.

    Raises:
        WorkloadError: the engine is a library and has no server; or it knows no such pools.
    """
    if found.engine not in COMMANDS:
        raise WorkloadError(f"{found.engine} has no server to start; choose one of {', '.join(COMMANDS)}.")
    words: list[str] = COMMANDS[found.engine](found)
    if not pool:
        return words
    if found.engine not in POOLS:
        raise WorkloadError(f"{found.engine} has no pools of their own; choose one of {', '.join(POOLS)}.")
    return words + POOLS[found.engine][pool]


def shell(found: Fit, pool: str = "") -> str:
    """The command as a shell reads it, a flag a line; `pool` as for `command`."""
    lines: list[list[str]] = [[]]
    for word in command(found, pool):
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def _vllm(found: Fit) -> list[str]:
    layout, given = found.layout, found.settings
    words = ["vllm", "serve", found.model.name, "--max-model-len", str(found.max_model_len)]
    words += ["--gpu-memory-utilization", f"{given.get('gpu_memory_utilization', 0.9):g}"]
    if layout.attention_dp > 1:
        words += ["--tensor-parallel-size", str(layout.attention_tp)]
        words += ["--data-parallel-size", str(layout.attention_dp * layout.dp)]
    else:
        words += ["--tensor-parallel-size", str(layout.tp)]
        words += ["--data-parallel-size", str(layout.dp)] if layout.dp > 1 else []
    words += ["--pipeline-parallel-size", str(layout.pp)] if layout.pp > 1 else []
    words += ["--enable-expert-parallel"] if layout.ep > 1 else []
    words += ["--max-num-seqs", str(found.budget.sequences)]
    words += ["--max-num-batched-tokens", str(found.budget.defaults["max_num_batched_tokens"])]
    words += ["--quantization", WEIGHTS[found.dtype]] if found.dtype in WEIGHTS else []
    words += ["--kv-cache-dtype", found.kv_dtype] if found.kv_dtype == "fp8" else []
    for name in ("block_size", "decode_context_parallel_size", "kv_cache_memory_bytes", "num_gpu_blocks_override"):
        words += [f"--{name.replace('_', '-')}", str(given[name])] if name in given else []
    for name in ("enforce_eager", "disable_hybrid_kv_cache_manager"):
        words += [f"--{name.replace('_', '-')}"] if given.get(name) else []
    return words


def _sglang(found: Fit) -> list[str]:
    layout, defaults = found.layout, found.budget.defaults
    words = ["python", "-m", "sglang.launch_server", "--model-path", found.model.name]
    words += ["--context-length", str(found.max_model_len), "--tp-size", str(layout.tp)]
    words += ["--mem-fraction-static", f"{defaults['mem_fraction_static']:g}"]
    words += ["--chunked-prefill-size", str(defaults["chunked_prefill_size"])]
    words += ["--cuda-graph-max-bs", str(defaults["cuda_graph_max_bs"])]
    words += ["--pp-size", str(layout.pp)] if layout.pp > 1 else []
    words += ["--ep-size", str(layout.ep)] if layout.ep > 1 else []
    if layout.attention_dp > 1:
        words += ["--dp-size", str(layout.attention_dp), "--enable-dp-attention"]
    elif layout.dp > 1:
        words += ["--dp-size", str(layout.dp)]
    words += ["--quantization", WEIGHTS[found.dtype]] if found.dtype in WEIGHTS else []
    words += ["--kv-cache-dtype", CACHES[found.kv_dtype]] if found.kv_dtype in CACHES else []
    for name in ("max_running_requests", "max_total_tokens", "page_size"):
        words += [f"--{name.replace('_', '-')}", str(found.settings[name])] if name in found.settings else []
    return words


def _tensorrt_llm(found: Fit) -> list[str]:
    layout, defaults = found.layout, found.budget.defaults
    words = ["trtllm-serve", found.model.name, "--max_seq_len", str(found.max_model_len)]
    words += ["--tp_size", str(layout.tp)]
    words += ["--pp_size", str(layout.pp)] if layout.pp > 1 else []
    words += ["--ep_size", str(layout.ep)] if layout.ep > 1 else []
    words += ["--max_batch_size", str(defaults["max_batch_size"]), "--max_num_tokens", str(defaults["max_num_tokens"])]
    words += ["--kv_cache_free_gpu_memory_fraction", f"{defaults['free_gpu_memory_fraction']:g}"]
    return words


def _llama_cpp(found: Fit) -> list[str]:
    quantized = "" if found.dtype == "auto" else f":{found.dtype.upper()}"
    words = ["llama-server", "--hf-repo", f"{found.model.name}-GGUF{quantized}"]
    words += ["--ctx-size", str(found.max_model_len * found.concurrency), "--parallel", str(found.concurrency)]
    words += ["--n-gpu-layers", str(found.budget.defaults["n_gpu_layers"])]
    words += ["--ubatch-size", str(found.budget.defaults["ubatch_size"])]
    words += ["--flash-attn", "on" if found.settings.get("flash_attn", True) else "off"]
    if found.kv_dtype != "auto":
        words += ["--cache-type-k", found.kv_dtype, "--cache-type-v", found.kv_dtype]
    return words


COMMANDS = {"vllm": _vllm, "sglang": _sglang, "tensorrt-llm": _tensorrt_llm, "llama.cpp": _llama_cpp}
"""Engine -> its command."""


def kubernetes(found: Fit) -> str:
    """The resources of a container, and the shared memory that a tensor group talks through.

    Raises:
        WorkloadError: no device plugin for the vendor is known.
    """
    vendor = {"NVIDIA": "nvidia.com/gpu", "AMD": "amd.com/gpu"}.get(found.device.vendor)
    if vendor is None:
        raise WorkloadError(f"No Kubernetes device plugin for {found.device.name} is known here.")
    count = min(found.layout.devices, found.device.node)
    nodes = -(-found.layout.devices // count)
    said = f"# {nodes} pods like this one\n" if nodes > 1 else ""
    return (
        f"{said}resources:\n  requests:\n    {vendor}: {count}\n  limits:\n    {vendor}: {count}\n"
        "volumeMounts:\n  - name: shm\n    mountPath: /dev/shm\n"
        "volumes:\n  - name: shm\n    emptyDir:\n      medium: Memory\n"
    )


def skypilot(found: Fit) -> str:
    """SkyPilot's `resources:` block.

    Raises:
        WorkloadError: SkyPilot has no name for the device that is known here.
    """
    name = SKYPILOT.get(found.device.id)
    if name is None:
        raise WorkloadError(f"SkyPilot's name for {found.device.name} is not known here.")
    count = min(found.layout.devices, found.device.node)
    nodes = -(-found.layout.devices // count)
    disk = -(-int(found.weights * found.layout.tp * found.layout.pp * 1.3) // GIB) + 64
    said = f"num_nodes: {nodes}\n" if nodes > 1 else ""
    return f"{said}resources:\n  accelerators: {name}:{count}\n  disk_size: {disk}\n  ports: 8000\n"
