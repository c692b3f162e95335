"""What the Hub's client says of machines for rent, as devices."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import HfApi
from huggingface_hub._jobs_api import JobHardwareInfo

import calculator
from calculator.cli import main
from calculator.hardware.rented import read, rented, rented_device


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
