"""The named parameters of the time model, and which of them an engine and a device use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.errors import DeviceError, WorkloadError, choose
from calculator.hardware import Device

TITLES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "tensorrt-llm": "TensorRT-LLM",
    "llama.cpp": "llama.cpp",
    "transformers": "transformers",
}
"""What a person calls the engines."""
ENGINES = tuple(TITLES)
ALIASES = {"trtllm": "tensorrt-llm", "tensorrt_llm": "tensorrt-llm", "trt-llm": "tensorrt-llm", "llamacpp": "llama.cpp"}
SERVERS = frozenset(("vllm", "sglang", "tensorrt-llm"))


@dataclass(frozen=True)
class Parameter:
    """A parameter: its value, the interval of refits with one source left out, and what it is."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    meaning: str
    source: str


@cache
def parameters() -> Mapping[str, Parameter]:
    """All parameters by name."""
    found = json.loads((DATA / "efficiency.json").read_text(encoding="utf-8"))["parameters"]
    return {name: Parameter(name, **row) for name, row in found.items()}


def engine_named(name: str) -> str:
    """The engine of that name.

    Raises:
        WorkloadError: none is.
    """
    key = name.strip().lower()
    key = ALIASES.get(key, key)
    if key not in ENGINES:
        raise WorkloadError(f"Engine {name[:40]!r} is not known; {choose(name, ENGINES)}")
    return key


@dataclass(frozen=True)
class Efficiency:
    """What a device reaches under an engine, as fractions of its datasheet and seconds."""

    compute: float
    low: Mapping[str, float]  # format of the arithmetic -> relative to 16 bit
    memory: float
    dequantized: float
    dequantized_prefill: float
    dequantized_experts: float
    compute_experts: float
    experts_low: float
    launch: float
    step: float
    sequence: float
    prefill_host: float
    first_token: float
    collective: float
    hop: float
    link: float
    all_to_all: float
    wave: float
    interference: float
    queue: float
    handover: float
    host_memory: float
    wave_pools: float


def efficiency(device: Device, engine: str, changed: Mapping[str, float] | None = None) -> Efficiency:
    """The parameters of an engine on a device; `changed` replaces values by name.

    Raises:
        WorkloadError: a name that no parameter has.
    """
    v: dict[str, Any] = {name: p.value for name, p in parameters().items()}
    for name, value in (changed or {}).items():
        if name not in v:
            raise WorkloadError(f"No parameter is called {name!r}; they are {', '.join(v)}.")
        v[name] = value
    served = engine in SERVERS
    apple = device.vendor == "Apple"
    launch = f"launch_{engine}" if served else "launch_eager" if engine == "transformers" else "launch_cpp"
    return Efficiency(
        compute=v["compute_apple"] if apple else v["compute"],
        low={"fp8": v["compute_fp8"], "int8": v["compute_fp8"], "nvfp4": v["compute_fp4"], "mxfp4": v["compute_fp4"]},
        memory=v[_memory(device)],
        dequantized=v["dequantized"],
        dequantized_prefill=v["dequantized_prefill"],
        dequantized_experts=v["dequantized_experts"],
        compute_experts=v["compute_experts"],
        experts_low=v["experts_low"],
        launch=v["launch_metal"] if apple else v[launch],
        step=v["step"] if served else 0.0,
        sequence=v["sequence"] if served else 0.0,
        prefill_host=v["prefill_host"] if served else 0.0,
        first_token=v[f"first_token_{engine}"] if served else 0.0,
        collective=v["collective"],
        hop=v["hop"],
        link=v["link"],
        all_to_all=v["all_to_all"],
        wave=v[f"wave_{engine}"] if served else 0.0,
        interference=v["interference"],
        queue=v["queue"],
        handover=v["handover"] if served else 0.0,
        host_memory=v["host_memory"],
        wave_pools=v["wave_pools"],
    )


def _memory(device: Device) -> str:
    if device.id.startswith("h20-"):
        return "memory_h20"
    kind = device.memory_type.upper()
    if "LPDDR" in kind or "UNIFIED" in kind:
        return "memory_lpddr"
    return "memory_gddr" if "GDDR" in kind or "DDR" in kind else "memory_hbm"


def link_of(device: Device, devices: int) -> float:
    """Bytes a second, in each direction, that a device sends to others of a group of so many.

    Raises:
        DeviceError: no link is known.
    """
    if devices <= device.domain:
        rate = device.link
    else:
        # A group that fills its nodes has all their network cards.
        rate = min(device.link or device.network, device.network * min(devices, device.node)) or device.host_link
    if not rate:
        raise DeviceError(f"No link between devices of {device.name} is known, so {devices} of them cannot be timed.")
    return rate
