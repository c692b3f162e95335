"""params.json: the fields of mistral-inference (args.py), which vLLM's configs/mistral.py maps to transformers' the
same way, and those of Meta's llama (model.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calculator.errors import ConfigError

MISTRAL = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "head_dim": "head_dim",
    "intermediate_size": "hidden_dim",
    "vocab_size": "vocab_size",
    "rms_norm_eps": "norm_eps",
    "rope_theta": "rope_theta",
}
EXPERTS = {
    "n_routed_experts": "num_experts",
    "num_experts_per_tok": "num_experts_per_tok",
    "moe_intermediate_size": "expert_hidden_dim",
    "n_shared_experts": "num_shared_experts",
    "first_k_dense_replace": "first_k_dense_replace",
}
LATENT = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
MERGERS = ("spatial_merge_size", "mm_projector_id")


def _typed(raw: Mapping[str, Any]) -> bool:
    return raw.get("model_type") not in (None, "transformer", "mistral", "")


def is_mistral(raw: Mapping[str, Any]) -> bool:
    """Whether these are the fields of Mistral's params.json."""
    return not _typed(raw) and "dim" in raw and "n_layers" in raw and "multiple_of" not in raw


def is_meta(raw: Mapping[str, Any]) -> bool:
    """Whether these are the fields of Meta's params.json, which state how the MLP's width is made."""
    return not _typed(raw) and "dim" in raw and "n_layers" in raw and "multiple_of" in raw


def needed(raw: Mapping[str, Any], *names: str, whose: str = "The params.json") -> None:
    """Raises:
    ConfigError: a field is missing or no positive whole number.
    """
    missing = [n for n in names if not isinstance(raw.get(n), int) or isinstance(raw[n], bool) or raw[n] < 1]
    if missing:
        raise ConfigError(
            f"{whose} states no {', '.join(missing)} (or none that is a positive whole number); add what is missing, "
            "or give the config.json of the model in transformers' form."
        )


def mistral(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A dense model is Mistral, a mixture Mixtral, one with shared experts and latent attention DeepSeek-V3's kind."""
    needed(raw, "dim", "n_layers", "n_heads", "hidden_dim", "vocab_size")
    made: dict[str, Any] = {name: raw[field] for name, field in MISTRAL.items() if raw.get(field) is not None}
    made |= {
        "model_type": "mistral",
        "tie_word_embeddings": bool(raw.get("tied_embeddings", False)),
        "max_position_embeddings": raw.get("max_position_embeddings") or raw.get("max_seq_len"),
        "dtype": raw.get("dtype") or "bfloat16",
        **_windows(raw),
        **_experts(raw),
        **_quantization(raw),
    }
    made.setdefault("num_key_value_heads", made["num_attention_heads"])
    if (raw.get("multimodal") or {}).get("whisper_model_args"):
        raise ConfigError("The params.json describes an audio encoder, which is not read here; give its config.json.")
    vision = (raw.get("multimodal") or {}).get("vision_encoder_args") or raw.get("vision_encoder")
    return _with_vision(made, vision) if vision else made


def _windows(raw: Mapping[str, Any]) -> dict[str, Any]:
    window = raw.get("sliding_window")
    if not isinstance(window, list):
        return {"sliding_window": window}
    sizes = [w for w in window if w is not None]
    if not window or len(set(sizes)) > 1:
        raise ConfigError(f"sliding_window in the params.json is {window!r}; one size, or a list of one and null.")
    types = ["full_attention" if w is None else "sliding_attention" for w in window]
    listed = (types * (raw["n_layers"] // len(types) + 1))[: raw["n_layers"]]
    return {"model_type": "ministral", "sliding_window": sizes[0] if sizes else None, "layer_types": listed}


def _experts(raw: Mapping[str, Any]) -> dict[str, Any]:
    moe = raw.get("moe")
    if not moe:
        return {}
    if not moe.get("num_shared_experts"):
        needed(moe, "num_experts", "num_experts_per_tok", whose="The moe section of the params.json")
        return {
            "model_type": "mixtral",
            "num_local_experts": moe["num_experts"],
            "num_experts_per_tok": moe["num_experts_per_tok"],
        }
    needed(raw, *LATENT[1:])
    needed(moe, "num_experts", "num_experts_per_tok", "expert_hidden_dim", whose="The moe section of the params.json")
    found = {name: moe[field] for name, field in EXPERTS.items() if field in moe}
    latent = {name: raw.get(name) for name in LATENT}
    return {"model_type": "deepseek_v3", "num_nextn_predict_layers": 0, **found, **latent}


def _quantization(raw: Mapping[str, Any]) -> dict[str, Any]:
    stated = raw.get("quantization")
    if not isinstance(stated, Mapping) or not stated:
        return {}
    if stated.get("qformat_weight") == "fp8_e4m3":
        return {"quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}}
    return {"quantization_config": dict(stated)}


def _with_vision(text: dict[str, Any], vision: Mapping[str, Any]) -> dict[str, Any]:
    """Pixtral's tower, with Mistral Small 3.1's merger of patches where that is stated."""
    sizes = {
        **{n: v for n, v in vision.items() if n not in MERGERS},
        "model_type": "pixtral",
        "head_dim": vision["hidden_size"] // vision["num_attention_heads"],
    }
    merged = vision.get("mm_projector_id") == "patch_merge"
    outside: dict[str, Any] = {name: text.pop(name) for name in ("dtype", "quantization_config") if name in text}
    return {
        "model_type": "mistral3" if merged else "llava",
        "text_config": text,
        "vision_config": sizes,
        "tie_word_embeddings": text["tie_word_embeddings"],
        "multimodal_projector_bias": bool(vision.get("adapter_bias", not merged)),
        "spatial_merge_size": vision.get("spatial_merge_size", 2),
        **outside,
    }


def meta(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Llama: the MLP is 2/3 of 4 d wide, times ffn_dim_multiplier, rounded up to a multiple (model.py, FeedForward)."""
    needed(raw, "dim", "n_layers", "n_heads", "multiple_of")
    if not isinstance(raw.get("vocab_size"), int) or raw["vocab_size"] < 1:
        raise ConfigError(
            f"The params.json states vocab_size {raw.get('vocab_size')}: Meta's code takes it from the tokenizer; "
            "write the number of tokens there (32,000 for Llama 1 and 2)."
        )
    other = next((n for n in raw if n.startswith("vision_") or isinstance(raw[n], Mapping)), None)
    if other is not None:
        raise ConfigError(
            f"The params.json has {other}, so that it describes more than a Llama of text in 16 bit (experts, a vision "
            "tower, quantized weights or adapters), which is not read here; give its config.json."
        )
    # Llama 3.2's small models alone have one table for embedding and head (transformers, convert_llama_weights_to_hf).
    small = raw["dim"] < 4096 and raw["vocab_size"] == 128256
    wide = int(2 * (4 * raw["dim"]) / 3)
    if raw.get("ffn_dim_multiplier") is not None:
        wide = int(raw["ffn_dim_multiplier"] * wide)
    multiple = raw["multiple_of"]
    return {
        "model_type": "llama",
        "hidden_size": raw["dim"],
        "num_hidden_layers": raw["n_layers"],
        "num_attention_heads": raw["n_heads"],
        "num_key_value_heads": raw.get("n_kv_heads") or raw["n_heads"],
        "intermediate_size": -(-wide // multiple) * multiple,
        "vocab_size": raw["vocab_size"],
        "tie_word_embeddings": small,
        "max_position_embeddings": raw.get("max_seq_len"),
        "dtype": "bfloat16",
    }
