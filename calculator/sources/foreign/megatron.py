"""Configs of Megatron-LM and NeMo: no model_type, and flags instead of an architecture's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calculator.errors import ConfigError
from calculator.sources.foreign.params import needed

MARKS = (
    *("ffn_hidden_size", "kv_channels", "num_query_groups", "add_bias_linear", "encoder_seq_length", "swiglu"),
    *("make_vocab_size_divisible_by", "untie_embeddings_and_output_weights", "share_embeddings_and_output_weights"),
)


def is_megatron(raw: Mapping[str, Any]) -> bool:
    """Whether these are Megatron's or NeMo's fields."""
    inner = _inside(raw)
    return raw.get("model_type") is None and "num_layers" in inner and any(mark in inner for mark in MARKS)


def _inside(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """NeMo keeps the model under `model`, or under `config` of it."""
    for path in (("model", "config"), ("model",), ("config",), ("cfg",)):
        found: Any = raw
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and "num_layers" in found:
            return found
    return raw


def megatron(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Llama where the flags say RMSNorm, SwiGLU, rotary positions and no biases; GPT-2 where they say what its layers
    are. Anything between has no type in transformers.

    Raises:
        ConfigError: what is missing, or what does not fit either.
    """
    c = _inside(raw)
    whose = "The Megatron config"
    needed(c, "num_layers", "hidden_size", "num_attention_heads", whose=whose)
    vocabulary = c.get("padded_vocab_size") or c.get("vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < 1:
        raise ConfigError(
            f"{whose} states no padded_vocab_size or vocab_size, because Megatron takes it from the tokenizer; add "
            "padded_vocab_size."
        )
    if (c.get("num_moe_experts") or c.get("num_experts")) or c.get("multi_latent_attention"):
        raise ConfigError(
            f"{whose} describes a mixture or latent attention, which is not read here; convert it to transformers' "
            "config.json (Megatron Bridge writes it)."
        )
    said = _flags(c)
    sizes = {
        "vocab_size": vocabulary,
        "tie_word_embeddings": _tied(c),
        "dtype": "bfloat16",
    }
    context = c.get("max_position_embeddings") or c.get("encoder_seq_length") or c.get("seq_length")
    if said == {"norm": "rms", "gated": True, "rotary": True, "bias": False}:
        needed(c, "ffn_hidden_size", whose=whose)
        return {
            "model_type": "llama",
            "hidden_size": c["hidden_size"],
            "num_hidden_layers": c["num_layers"],
            "num_attention_heads": c["num_attention_heads"],
            "num_key_value_heads": c.get("num_query_groups") or c["num_attention_heads"],
            "head_dim": c.get("kv_channels"),
            "intermediate_size": c["ffn_hidden_size"],
            "max_position_embeddings": context,
            **sizes,
        }
    if said == {"norm": "layer", "gated": False, "rotary": False, "bias": True} and not c.get("num_query_groups"):
        needed({"max_position_embeddings": context}, "max_position_embeddings", whose=whose)
        return {
            "model_type": "gpt2",
            "n_embd": c["hidden_size"],
            "n_layer": c["num_layers"],
            "n_head": c["num_attention_heads"],
            "n_inner": c.get("ffn_hidden_size"),
            "n_positions": context,
            **sizes,
        }
    raise ConfigError(
        f"{whose} describes layers ({', '.join(f'{k}: {v}' for k, v in said.items())}) that are neither Llama's nor "
        "GPT-2's; state normalization, the activation, position_embedding_type and add_bias_linear (bias in NeMo), or "
        "give the config.json of the converted model."
    )


def _flags(c: Mapping[str, Any]) -> dict[str, Any]:
    """What the layers are, by Megatron's defaults (LayerNorm, GELU, learned positions, biases) where it is silent."""
    norm = str(c.get("normalization") or "layernorm").lower()
    acts = str(c.get("activation") or c.get("activation_func") or "").lower()
    gated = c.get("swiglu") is True or c.get("gated_linear_unit") is True or "glu" in acts
    rotary = str(c.get("position_embedding_type") or "learned_absolute").lower() in ("rope", "yarn")
    bias = c.get("add_bias_linear", c.get("bias", True))
    if c.get("disable_bias_linear") is True:
        bias = False
    return {"norm": "rms" if "rms" in norm else "layer", "gated": gated, "rotary": rotary, "bias": bool(bias)}


def _tied(c: Mapping[str, Any]) -> bool:
    if "share_embeddings_and_output_weights" in c:
        return bool(c["share_embeddings_and_output_weights"])
    return not c.get("untie_embeddings_and_output_weights", False)
