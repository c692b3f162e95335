"""The catalogue of accelerators: what it knows, by which names, and devices of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calculator import CalculatorError, Device, Layout, device, devices, load_model


def test_every_device_has_what_a_fit_needs() -> None:
    assert len(devices()) == 108
    for found in devices():
        assert found.memory > 0
        assert found.bandwidth > 0
        assert found.confidence in ("high", "medium", "low")
        assert {"memory", "bandwidth"} <= set(found.sources)


def test_literal_numbers() -> None:
    h200 = device("h200-sxm-141gb")
    assert (h200.memory, h200.bandwidth, h200.peak["bf16"]) == (143_771 * 2**20, 4.8e12, 989.4e12)
    assert (h200.link, h200.node, h200.units) == (450e9, 8, 132)
    assert device("mi300x").memory == 192 * 2**30


@pytest.mark.parametrize(
    ("said", "id"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"),
        ("NVIDIA H100 PCIe", "h100-pcie-80gb"),
        ("NVIDIA H100 NVL", "h100-nvl-94gb"),
        ("NVIDIA H200", "h200-sxm-141gb"),
        ("NVIDIA H20", "h20-96gb"),
        ("H20", "h20-96gb"),
        ("h100", "h100-sxm-80gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("A100 80GB", "a100-sxm4-80gb"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("4090", "rtx-4090"),
        ("rtx4090", "rtx-4090"),
        ("a100-80gb", "a100-sxm4-80gb"),
        ("h100 80GB", "h100-sxm-80gb"),
        ("m4-max", "apple-m4-max"),
        ("B200", "b200-sxm-180gb"),
        ("M2 Ultra", "apple-m2-ultra"),
        ("H100 SXM 80GB", "h100-sxm-80gb"),
        ("H100 SXM5", "h100-sxm-80gb"),
        ("H100-80G", "h100-sxm-80gb"),
        ("A100 SXM 40GB", "a100-sxm4-40gb"),
        ("L40S 48GB", "l40s"),
        ("RTX 4090 24 GB", "rtx-4090"),
        ("MI300X 192GB", "mi300x"),
    ],
)
def test_a_device_by_any_of_its_names(said: str, id: str) -> None:
    assert device(said).id == id


@pytest.mark.parametrize("said", ["L40S 24GB", "H100 48GB", "RTX 4090 16GB", "80GB"])
def test_a_name_with_another_size_is_another_device(said: str) -> None:
    with pytest.raises(CalculatorError, match="is not known; the nearest are"):
        device(said)


def test_a_name_of_several_asks_which() -> None:
    with pytest.raises(CalculatorError, match="several devices; choose one of a100-sxm4-40gb, a100-sxm4-80gb"):
        device("A100")


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(CalculatorError, match="Device 'RTX 4091' is not known; the nearest are rtx-4090"):
        device("RTX 4091")


def test_peaks_are_of_the_arithmetic_or_the_next_wider() -> None:
    h100, a100 = device("h100"), device("a100-sxm4-80gb")
    assert h100.peak_of("fp8") == h100.peak["fp8"]
    assert h100.peak_of("nvfp4") == h100.peak["fp8"]  # no units for four bits
    assert a100.peak_of("fp8") == a100.peak["bf16"] == 312e12
    assert a100.peak_of("int8") == a100.peak["int8"]
    with pytest.raises(CalculatorError, match="No dense peak of WSE-3"):
        device("cerebras-wse3").peak_of("bf16")


def test_a_device_of_ones_own(tmp_path: Path) -> None:
    numbers = {"name": "X1", "memory_gib": 48, "bandwidth_gb_s": 1000, "peak_tflops": {"bf16": 200}}
    file = tmp_path / "x1.json"
    file.write_text(json.dumps(numbers))
    for found in (device(numbers), device(str(file))):
        assert isinstance(found, Device)
        assert (found.memory, found.bandwidth, found.peak_of("bf16")) == (48 * 2**30, 1e12, 2e14)
    with pytest.raises(CalculatorError, match="bandwidth_gb_s is missing"):
        device({k: v for k, v in numbers.items() if k != "bandwidth_gb_s"})
    with pytest.raises(CalculatorError, match="memory_gib of a device must be a number"):
        device({**numbers, "memory_gib": float("nan")})
    with pytest.raises(CalculatorError, match="no JSON file that could be read"):
        device(str(tmp_path / "none.json"))


def test_layouts_that_cannot_be() -> None:
    assert Layout(tp=8, pp=2, dp=2, attention_dp=4).devices == 32
    for wrong, said in (
        ({"tp": 0}, "tp must be a whole number of devices"),
        ({"tp": 8, "attention_dp": 3}, "attention_dp 3 does not divide tp 8"),
        ({"tp": 2, "ep": 4}, "ep 4 does not divide the 2 devices"),
    ):
        with pytest.raises(CalculatorError, match=said):
            Layout(**wrong)
    with pytest.raises(CalculatorError, match="has no experts that ep 2"):
        Layout(tp=2, ep=2).check(load_model("Qwen/Qwen2.5-7B"))
    with pytest.raises(CalculatorError, match=r"64 pipeline stages need as many layers; .* has 28"):
        Layout(pp=64).check(load_model("Qwen/Qwen2.5-7B"))
