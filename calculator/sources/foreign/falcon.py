"""The config.json of Falcon before transformers had it (configuration_RW.py): RefinedWebModel of the 7B, RefinedWeb of
the 40B; quantized copies still have these names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calculator.sources.foreign.params import needed

NAMES = {"n_layer": "num_hidden_layers", "n_head": "num_attention_heads", "n_head_kv": "num_kv_heads"}


def is_falcon(raw: Mapping[str, Any]) -> bool:
    """Whether the config is of the code that Falcon came with."""
    return raw.get("model_type") in ("RefinedWebModel", "RefinedWeb")


def falcon(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of transformers' Falcon; layers with several key-value heads, which state their number, are those of
    the new decoder architecture.

    Raises:
        ConfigError: a size is missing.
    """
    needed(raw, "hidden_size", "n_layer", "n_head", "vocab_size", whose="The config of Falcon's own code")
    named = {NAMES.get(name, name): value for name, value in raw.items()}
    names = raw.get("architectures")
    return named | {
        "model_type": "falcon",
        "new_decoder_architecture": raw.get("n_head_kv") is not None,
        "architectures": [n.replace("RW", "Falcon") for n in names] if isinstance(names, list) else None,
    }
