"""Repositories whose model stands in another file than config.json, through the real huggingface_hub client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from loopback import Hub, Model
from writers import safetensors_bytes

from calculator import load_model
from calculator.errors import ConfigError, MissingFileError

ADAPTER: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 16,
    "target_modules": ["q_proj", "v_proj"],
    "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
}
PARAMS = {"dim": 256, "n_layers": 2, "head_dim": 64, "hidden_dim": 512, "n_heads": 4, "n_kv_heads": 2,
          "vocab_size": 1024}  # fmt: skip


def repository(**files: Any) -> Model:
    return Model({name.replace("_json", ".json"): json.dumps(content).encode() for name, content in files.items()})


def test_an_adapter(hub: Hub) -> None:
    hub.models["org/lora"] = repository(adapter_config_json=ADAPTER)
    model = load_model("org/lora")
    assert model.name == "org/lora"
    assert model.parameters.total == 8_037_076_992
    assert model.source.startswith("org/lora@0123456 on the Hugging Face Hub; base: ")


def test_an_adapter_whose_base_is_on_the_hub_too(hub: Hub) -> None:
    base = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "vocab_size": 100}  # fmt: skip
    hub.models["org/base"] = repository(config_json=base)
    hub.models["org/lora"] = repository(adapter_config_json=ADAPTER | {"base_model_name_or_path": "org/base"})
    alone, both = load_model("org/base"), load_model("org/lora")
    assert both.parameters.total - alone.parameters.total == 2 * 2 * 16 * 128


@pytest.mark.parametrize("base", ["org/gone", "../../etc", "/etc/hostname"])
def test_a_base_that_the_hub_does_not_have_is_never_looked_for_on_this_machine(hub: Hub, base: str) -> None:
    hub.models["org/lora"] = repository(adapter_config_json=ADAPTER | {"base_model_name_or_path": base})
    with pytest.raises(ConfigError, match=r"org/lora is an adapter \(LoRA\) of the base model .* could not be read"):
        load_model("org/lora")


def test_params_json(hub: Hub) -> None:
    hub.models["org/mistral"] = repository(params_json=PARAMS)
    header, data = safetensors_bytes({"norm.weight": ("BF16", (256,))})
    hub.models["org/mistral"].files["consolidated.safetensors"] = header + bytes(data)
    assert load_model("org/mistral").parameters.total == 1_705_216


def test_a_repository_with_nothing_of_the_kind_is_told_as_before(hub: Hub) -> None:
    hub.models["org/empty"] = Model({"README.md": b"hello"})
    with pytest.raises(MissingFileError, match=r"org/empty holds no config\.json"):
        load_model("org/empty")
