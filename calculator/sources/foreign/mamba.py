"""The config.json of mamba_ssm (config_mamba.py): no model_type, the mixer's sizes in ssm_cfg where they differ from
its class's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calculator.errors import ConfigError
from calculator.sources.foreign.params import needed


def is_mamba(raw: Mapping[str, Any]) -> bool:
    """Whether these are mamba_ssm's fields, or those of Mistral's params.json of Codestral Mamba."""
    original = "ssm_cfg" in raw and "d_model" in raw
    return original or (raw.get("model_type") == "mamba" and "dim" in raw and "n_layers" in raw)


def mamba(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Mamba or Mamba-2, with the defaults of mamba_simple.py and mamba2.py: twice as wide, states of 16 and of 128.

    Raises:
        ConfigError: some layers have attention or an MLP, which transformers' types do not build.
    """
    if "ssm_cfg" not in raw:
        needed(raw, "dim", "n_layers", "vocab_size")
        raw = {**raw, "d_model": raw["dim"], "n_layer": raw["n_layers"], "ssm_cfg": {"layer": "Mamba2"}}
        raw["ssm_cfg"]["ngroups"] = raw.get("n_groups", 1)
    needed(raw, "d_model", "n_layer", "vocab_size", whose="The config of mamba_ssm")
    if raw.get("attn_layer_idx") or raw.get("d_intermediate"):
        raise ConfigError(
            "This config of mamba_ssm has attention or MLPs between its state-space layers (attn_layer_idx, "
            "d_intermediate), which are not read here; give its safetensors files."
        )
    ssm: Mapping[str, Any] = raw.get("ssm_cfg") or {}
    multiple = raw.get("pad_vocab_size_multiple") or 8
    second = str(ssm.get("layer", "Mamba1")).lower() == "mamba2"
    inner = ssm.get("expand", 2) * raw["d_model"]
    size = ssm.get("headdim", 64)
    return {
        "model_type": "mamba2" if second else "mamba",
        "hidden_size": raw["d_model"],
        "num_hidden_layers": raw["n_layer"],
        "vocab_size": -(-raw["vocab_size"] // multiple) * multiple,
        "state_size": ssm.get("d_state", 128 if second else 16),
        "conv_kernel": ssm.get("d_conv", 4),
        "expand": ssm.get("expand", 2),
        "intermediate_size": inner,
        "time_step_rank": ssm.get("dt_rank", "auto"),
        "tie_word_embeddings": bool(raw.get("tie_embeddings", True)),
        **({"head_dim": size, "num_heads": inner // size, "n_groups": ssm.get("ngroups", 1)} if second else {}),
    }
