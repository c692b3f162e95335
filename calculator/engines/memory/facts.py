"""The constants of the engines' memory rules, each with its source, and the memory that a process sees of a device."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.hardware import Device
from calculator.numbers.units import GIB, MIB


@cache
def facts() -> dict[str, Any]:
    """The data file."""
    read: dict[str, Any] = json.loads((DATA / "engine_memory.json").read_text(encoding="utf-8"))
    return read


def visible_memory(device: Device) -> tuple[int, str]:
    """Bytes of a device that a process sees, which engines take their fractions of, and where the figure is from."""
    known = facts()["visible_memory"]
    if device.id in known["devices"]:
        mib, source = known["devices"][device.id]
        return int(mib) * MIB, source
    kind = device.memory_type.upper()
    unreserved = device.vendor != "NVIDIA" or device.category == "custom"
    group = "shared" if unreserved or kind.startswith("LPDDR") else "GDDR" if kind.startswith("GDDR") else "HBM"
    share, source = known["otherwise"][group]
    return int(device.memory * (1 - share)) // MIB * MIB, source


def hopper_or_later(device: Device) -> bool:
    """Whether torch gives cuBLAS the larger workspace on the device."""
    name = device.name.upper()
    return any(
        word in name for word in ("H100", "H200", "H800", "H20", "GH200", "B100", "B200", "B300", "GB", "RUBIN", "THOR")
    )


def large_card(device: Device) -> bool:
    """Whether vLLM's defaults are those of large cards: 70 GiB and more, but not an A100 (vllm/engine/arg_utils.py)."""
    return visible_memory(device)[0] >= 70 * GIB and "A100" not in device.name.upper()
