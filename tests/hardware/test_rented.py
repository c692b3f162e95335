"""What the Hub's client says of machines for rent, as devices."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import HfApi, InferenceEndpointHardware
from huggingface_hub._jobs_api import JobHardwareInfo
from huggingface_hub.errors import LocalTokenNotFoundError

import calculator
from calculator.cli import main
from calculator.hardware.rented import endpoints, read, rented, rented_device


def machine(name: str, model: str, quantity: int, vram: str, dollars: float, maker: str = "Nvidia") -> JobHardwareInfo:
    accelerator = {"type": "gpu", "model": model, "quantity": str(quantity), "vram": vram, "manufacturer": maker}
    return JobHardwareInfo(
        name=name,
        prettyName=name,
        cpu="8 vCPU",
        ram="46 GB",
        accelerator=accelerator if model else None,
        unitCostMicroUSD=round(dollars / 60 * 1e6),
        unitCostUSD=dollars / 60,
        unitLabel="minute",
    )


@pytest.mark.parametrize(
    ("model", "quantity", "vram", "id"),
    [
        ("T4", 1, "16 GB", "t4"),
        ("L4", 4, "96 GB", "l4"),
        ("L40S", 8, "384 GB", "l40s"),
        ("A10G", 2, "48 GB", "a10g"),
        ("A100", 1, "80 GB", "a100-sxm4-80gb"),
        ("A100", 8, "640 GB", "a100-sxm4-80gb"),
        ("H200", 8, "1128 GB", "h200-sxm-141gb"),
        ("RTX PRO 6000", 2, "192 GB", "rtx-pro-6000-bw-server"),
    ],
)
def test_machines_are_devices_with_prices(model: str, quantity: int, vram: str, id: str) -> None:
    (found,) = read([machine("m", model, quantity, vram, 6.0)])
    assert (found.device.id, found.count) == (id, quantity)
    assert found.price == pytest.approx(6.0)
    assert found.device.price == found.device.prices["hugging_face"] == pytest.approx(6.0 / quantity)


def test_what_is_no_known_accelerator_is_left_out() -> None:
    listed = [machine("cpu", "", 0, "", 0.03), machine("z", "Z9", 1, "16 GB", 1.0), machine("t", "T4", 1, "80 GB", 1.0)]
    assert read(listed) == []


def test_the_client_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        HfApi, "list_jobs_hardware", lambda self, token=None: [machine("t4-small", "T4", 1, "16 GB", 0.4)]
    )
    assert [r.name for r in calculator.rented()] == ["t4-small"]

    def fail(self: HfApi, token: object = None) -> None:
        raise ConnectionError

    monkeypatch.setattr(HfApi, "list_jobs_hardware", fail)
    with pytest.raises(calculator.CalculatorError, match="The Hub did not tell which machines it rents"):
        rented()


def test_a_flavor_is_a_device_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = [machine("t4-small", "T4", 1, "16 GB", 0.4), machine("a100x4", "A100", 4, "320 GB", 10.0)]
    monkeypatch.setattr(HfApi, "list_jobs_hardware", lambda self, token=None: listed)
    asked = ["Qwen/Qwen3-8B", "--mode", "decode", "--tp", "4", "--table", "device", "--json"]
    assert main([*asked, "--device", "hf:a100x4"]) == 0
    assert json.loads(capsys.readouterr().out)["on"]["device"] == "a100-sxm4-80gb"
    assert rented_device("a100x4").price == pytest.approx(2.5)
    assert main([*asked, "--device", "hf:a100"]) == 2
    said = "Hugging Face rents no machine 'a100' with an accelerator known here; choose one of t4-small, a100x4."
    assert said in capsys.readouterr().err


def hardware(id: str, architecture: str, count: int, gigabytes: int | None, dollars: float, status: str = "available"):
    """A machine as the Endpoints' API tells it (GET /v2/provider/{namespace}), through the client's own reader."""
    raw = {
        "id": id,
        "accelerator": "gpu" if gigabytes else "cpu",
        "instanceType": "t",
        "instanceSize": f"x{count}",
        "architecture": architecture,
        "numAccelerators": count,
        "memoryGb": 30,
        "gpuMemoryGb": gigabytes,
        "pricePerHour": dollars,
        "status": status,
        "quota": {"maxAccelerators": 8, "usedAccelerators": 0},
    }
    return InferenceEndpointHardware.from_raw(raw, vendor="aws", region="us-east-1")


LISTED = [
    hardware("aws-us-east-1-intel-icl-x1", "Intel Sapphire Rapids", 1, None, 0.03),
    hardware("aws-us-east-1-nvidia-l4-x4", "Nvidia L4", 4, 96, 3.8),
    hardware("aws-us-east-1-nvidia-a100-x2", "Nvidia A100", 2, 160, 5.0),
    hardware("aws-us-east-1-nvidia-t4-x1", "Nvidia T4", 1, 16, 0.5, "deprecated"),
    hardware("gcp-us-central1-nvidia-h200-x8", "Nvidia H200", 8, 1128, 40.0),
]


def test_hardware_of_endpoints_are_devices_with_prices(monkeypatch, capsys) -> None:
    monkeypatch.setattr(HfApi, "list_inference_endpoints_hardware", lambda self, **asked: LISTED)
    found = {machine.name: (machine.device.id, machine.count, machine.price) for machine in endpoints()}
    assert found == {
        "aws-us-east-1-nvidia-l4-x4": ("l4", 4, 3.8),
        "aws-us-east-1-nvidia-a100-x2": ("a100-sxm4-80gb", 2, 5.0),
        "gcp-us-central1-nvidia-h200-x8": ("h200-sxm-141gb", 8, 40.0),
    }
    asked = ["Qwen/Qwen3-8B", "--serve", "hf:gcp-us-central1-nvidia-h200-x8", "--json"]
    assert main(asked) == 0
    rows = {row["quantity"]: row["value"] for row in json.loads(capsys.readouterr().out)["numbers"]}
    assert rows["cost_of_a_million_output_tokens"] == pytest.approx(5 / 3600 / rows["output"] * 1e6)


def test_who_is_not_known_to_hugging_face_is_told_so(monkeypatch) -> None:
    def unknown(self: HfApi, **asked: object) -> None:
        raise LocalTokenNotFoundError("Token is required")

    monkeypatch.setattr(HfApi, "list_inference_endpoints_hardware", unknown)
    with pytest.raises(calculator.CalculatorError, match="set HF_TOKEN or log in"):
        rented_device("aws-us-east-1-nvidia-l4-x4")
