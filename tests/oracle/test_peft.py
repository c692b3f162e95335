"""The adapters of tests/test_adapters.py against peft itself, on torch's meta device where torch, transformers and peft
are installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

peft = pytest.importorskip("peft")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_adapters import SIZES  # noqa: E402

CONFIGS = {
    "LORA": "LoraConfig",
    "IA3": "IA3Config",
    "LOHA": "LoHaConfig",
    "ADALORA": "AdaLoraConfig",
    "PROMPT_TUNING": "PromptTuningConfig",
    "PREFIX_TUNING": "PrefixTuningConfig",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("base", "adapter", "parameters"), SIZES)
def test_sizes_as_peft_builds_them(base: dict[str, Any], adapter: dict[str, Any], parameters: int) -> None:
    options = {k: v for k, v in adapter.items() if k != "peft_type"}
    kind = adapter["peft_type"]
    if "TUNING" in kind:
        options["task_type"] = "CAUSAL_LM"
    if kind == "ADALORA":
        options["total_step"] = 10
    config = transformers.CONFIG_MAPPING[base["model_type"]].from_dict(dict(base))
    auto = "AutoModelForImageTextToText" if "vision_config" in base else "AutoModelForCausalLM"
    with torch.device("meta"):
        model = getattr(transformers, auto).from_config(config)
        before = counted(model)
        made = peft.get_peft_model(model, getattr(peft, CONFIGS[kind])(**options), autocast_adapter_dtype=False)
    assert counted(made) - before == parameters


def counted(model: Any) -> int:
    """Elements of all parameters once, without AdaLoRA's counters of its ranks."""
    found = {id(p): p for name, p in model.named_parameters() if "ranknum" not in name}
    return sum(p.numel() for p in found.values())
