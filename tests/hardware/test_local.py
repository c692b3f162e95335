"""The accelerators of this machine, by what a driver would say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from calculator import CalculatorError, device
from calculator.hardware import local
from calculator.hardware.catalogue import local_devices

MIB = 2**20


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine without NVML whose nvidia-smi prints this."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    for server in local.SERVERS:
        monkeypatch.delitem(sys.modules, server, raising=False)
    monkeypatch.setattr(local.platform, "system", lambda: "Linux")

    def prints(text: str, code: int = 0) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<'EOF'\n{text}\nEOF\nexit {code}\n")
        tool.chmod(0o755)
        monkeypatch.setattr(local.shutil, "which", lambda name: str(tool))

    monkeypatch.setattr(local.shutil, "which", lambda name: None)
    return prints


@pytest.mark.parametrize(
    ("printed", "id", "mib"),
    [
        ("NVIDIA H200, 143771", "h200-sxm-141gb", 143_771),
        ("NVIDIA H100 80GB HBM3, 81559\nNVIDIA H100 80GB HBM3, 81559", "h100-sxm-80gb", 81_559),
        ("NVIDIA GeForce RTX 4090, 24564", "rtx-4090", 24_564),
        ("Tesla T4, 15109", "t4", 15_109),  # with ECC the driver keeps some
    ],
)
def test_what_nvidia_smi_prints(smi, printed: str, id: str, mib: int) -> None:
    smi(printed)
    found = device("local")
    assert (found.id, found.memory, found.memory_is) == (id, mib * MIB, "driver")
    assert len(local_devices()) == len(printed.splitlines())


@pytest.mark.parametrize(("printed", "code"), [("", 0), ("NVIDIA-SMI has failed", 9), ("[N/A]", 0)])
def test_no_device_is_a_sentence(smi, printed: str, code: int) -> None:
    with pytest.raises(CalculatorError, match="No accelerator was found in this machine"):
        device("local")
    smi(printed, code)
    with pytest.raises(CalculatorError, match="No accelerator was found in this machine"):
        device("Local")


def test_a_card_that_is_not_known_is_refused(smi) -> None:
    smi("NVIDIA H7000, 1000000")
    with pytest.raises(CalculatorError, match="Device 'NVIDIA H7000' is not known"):
        device("local")


def test_nvml_is_asked_first(smi, monkeypatch: pytest.MonkeyPatch) -> None:
    smi("NVIDIA H200, 143771")
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetName=lambda h: b"NVIDIA L40S",
        nvmlDeviceGetMemoryInfo=lambda h: SimpleNamespace(total=46_068 * MIB),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert device("local").id == "l40s"


def test_apple_silicon(smi, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"machdep.cpu.brand_string": "Apple M3 Max", "hw.memsize": str(36 * 2**30)}
    monkeypatch.setattr(local.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(local.platform, "machine", lambda: "arm64")

    def output(command: list[str], **_: object) -> SimpleNamespace:
        return SimpleNamespace(stdout=said.get(command[-1], "Total Number of Cores: 30"))

    monkeypatch.setattr(subprocess, "run", output)
    found = device("local")
    assert (found.id, found.memory) == ("apple-m3-max-30c", 36 * 2**30)


def test_a_server_does_not_tell(smi, monkeypatch: pytest.MonkeyPatch) -> None:
    smi("NVIDIA H200, 143771")
    monkeypatch.setitem(sys.modules, local.SERVERS[0], local)
    with pytest.raises(CalculatorError, match="A server does not tell"):
        device("local")


@pytest.mark.parametrize("said", ["NVIDIA H100", "nvidia h100 80gb", "NVIDIA A100"])
def test_no_driver_says_this_of_one_board(said: str) -> None:
    with pytest.raises(CalculatorError, match="several devices; choose one of"):
        device(said)


def test_a_short_name_with_the_vendor_of_one_board() -> None:
    assert device("NVIDIA RTX 4090").id == "rtx-4090"
    assert device("NVIDIA B200").id == "b200-sxm-180gb"
    assert device("H100").id == "h100-sxm-80gb"
