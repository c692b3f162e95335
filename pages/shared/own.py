"""A device that no catalogue has: from numbers typed in the sidebar, or from its file."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from calculator.errors import CalculatorError, DeviceError
from calculator.hardware import Device, device
from calculator.limits import check_json
from pages.shared import fields

OWN = "my own"
NAME = "custom device"
LARGEST = 2**20  # bytes of a device's file
TYPED: dict[str, tuple[str, float | None, str]] = {
    "own_memory": ("Memory (GiB)", 80.0, "As the driver reports it."),
    "own_bandwidth": ("Memory (GB/s)", 3350.0, "Bandwidth of the memory, as the vendor states it."),
    "own_bf16": ("BF16 (TFLOP/s)", 989.0, "Dense peak of 16-bit products, as the vendor states it."),
    "own_fp8": ("FP8 (TFLOP/s)", None, "Dense peak. Empty: products of FP8 run at the 16-bit peak."),
    "own_link": ("Links (GB/s)", None, "To the other devices of its host, in each direction. Empty: none is known."),
}
"""Key in the link: label, what stands in it, what it means."""


def choose_own(refused: fields.Refused) -> Device | None:
    """Draw the numbers of a device of one's own and return it; None where its file is refused, in words."""
    with st.grid(2, min_column_width=100, gap="xsmall"):
        found = {key: _number(key, *typed) for key, typed in TYPED.items()}
    file = st.file_uploader(
        "Or its file",
        type=["json"],
        key="device_file",
        max_upload_size=1,
        help="JSON with name, memory_gib, bandwidth_gb_s and peak_tflops, and any of link_gb_s, domain, node, price, "
        "watts. Goes before the numbers, and is not part of the link.",
    )
    try:
        return device(_numbers(found) if file is None else _read(file.name, file.getvalue()))
    except CalculatorError as problem:
        refused.beside(str(problem))
        return None


def _number(key: str, label: str, value: float | None, meaning: str) -> float | None:
    found = st.number_input(
        label,
        0.1,
        1e8,
        value,
        1.0,
        format="%0.6g",
        key=key,
        bind="query-params",
        persist_state="session",
        placeholder="none",
        help=meaning,
    )
    return None if found is None else float(found)


def _numbers(typed: dict[str, float | None]) -> dict[str, Any]:
    """What `calculator.device` takes."""
    peaks = {name: typed[f"own_{name}"] for name in ("bf16", "fp8")}
    link = typed["own_link"]
    return {
        "name": NAME,
        "memory_gib": typed["own_memory"] or 0.0,
        "bandwidth_gb_s": typed["own_bandwidth"] or 0.0,
        "peak_tflops": {name: peak for name, peak in peaks.items() if peak},
        **({"link_gb_s": link, "domain": 8, "node": 8} if link else {}),
    }


def _read(name: str, content: bytes) -> dict[str, Any]:
    """The object in a device's file.

    Raises:
        CalculatorError: it is too large, nested too deep, or no JSON object.
    """
    if len(content) > LARGEST:
        raise DeviceError("The device's file is larger than 1 MiB, so it describes no device.")
    check_json(content, name[:60], DeviceError)
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise DeviceError("The device's file is no JSON that could be read.") from None
    if not isinstance(found, dict):
        raise DeviceError("The device's file holds no JSON object.")
    return found
