"""Files beside config.json on the Hub that say how the checkpoint is quantized: asked for at the same time as it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from loopback import Answer, Fault, Hub, Model

from calculator import estimate, load_model
from calculator.errors import ConfigError

CONFIG: dict[str, Any] = dict(load_model("meta-llama/Llama-3.1-8B").config)
AWQ = {"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}
GPTQ = {"bits": 4, "group_size": 128, "sym": True}
MODELOPT = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
PLAIN, PACKED, FP8 = 16_060_522_496, 5_732_835_328, 9_081_202_432


def served(hub: Hub, **files: dict[str, Any]) -> None:
    bodies = {name: json.dumps(content).encode() for name, content in files.items()}
    hub.models["org/name"] = Model({"config.json": json.dumps(CONFIG).encode()} | bodies)


def weights() -> int:
    return int(estimate(load_model("org/name")).memory.weights)


def asked(hub: Hub) -> list[str]:
    """The files of which the Hub was asked, redirects left out."""
    return sorted(seen.path.rpartition("/")[2] for seen in hub.seen if "/api/" not in seen.path)


@pytest.mark.parametrize(
    ("name", "content", "size"),
    [
        ("quantize_config.json", GPTQ, PACKED),
        ("hf_quant_config.json", MODELOPT, FP8),
        ("quant_config.json", AWQ, 5_727_854_592),
    ],
)
def test_a_side_file_is_read(hub: Hub, name: str, content: dict[str, Any], size: int) -> None:
    served(hub, **{name: content})
    assert weights() == size
    assert asked(hub) == ["config.json", "hf_quant_config.json", "quant_config.json", "quantize_config.json"]


def test_where_they_are_absent_nothing_waits_for_them(hub: Hub) -> None:
    served(hub)
    hub.fault = Fault(together=threading.Barrier(4, timeout=30), only="/resolve/main/")  # all four under way at once
    model = load_model("org/name")
    assert estimate(model).memory.weights == PLAIN
    assert model.notes == ()


def test_a_config_that_says_it_itself_waits_for_no_other(hub: Hub) -> None:
    served(
        hub, **{"quantize_config.json": GPTQ, "config.json": CONFIG | {"quantization_config": {"quant_method": "fp8"}}}
    )
    hub.fault = Fault(delay=60, only="/quantize_config.json")
    assert weights() == 9_081_201_536
    assert not [seen for seen in hub.finished if seen.path.endswith("/quantize_config.json")]
    assert load_model("org/name").notes == ()  # nor was it waited for and given up


def test_what_the_hub_does_not_tell_is_said(hub: Hub) -> None:
    served(hub)
    hub.fault = Fault(Answer(503), only="/hf_quant_config.json")
    model = load_model("org/name")
    assert estimate(model).memory.weights == PLAIN
    assert model.notes == (
        "The Hub did not tell whether hf_quant_config.json beside config.json says that it is quantized.",
    )


def test_a_side_file_that_is_none(hub: Hub) -> None:
    served(hub)
    hub.models["org/name"].files["hf_quant_config.json"] = b"[1"
    with pytest.raises(ConfigError, match=r"The hf_quant_config\.json of org/name is not JSON"):
        load_model("org/name")


def test_the_local_cache_has_them_too(hub: Hub, tmp_path: Path) -> None:
    served(hub, **{"quantize_config.json": GPTQ})
    assert weights() == PACKED
    hub.fault = Fault(Answer(503))
    model = load_model("org/name")
    assert estimate(model).memory.weights == PACKED
    assert "local cache" in model.source
    assert not model.notes
    kept = sorted(p.name for p in Path(constants.HF_HUB_CACHE).rglob("*.json"))
    assert kept == ["config.json", "quantize_config.json"]
