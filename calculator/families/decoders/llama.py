"""Llama and those that differ in a bias, a window or the choice of rotated layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import attention_kind, dropped, head_shape, layer_types, windows
from calculator.families.layers import gated_mlp, pre_norm, self_attention
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.prediction import inside, joined, stated
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import Elsewhere, Norm


@family("llama", "granite", "internlm3", "iquestcoder", "xverse", "aquila")
def llama(c: Config) -> Blueprint:
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("mistral")
def mistral(c: Config) -> Blueprint:
    window = c.get("sliding_window")
    layer = pre_norm(c, self_attention(c, window=window), gated_mlp(c), kind=attention_kind(window))
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


def qwen_windows(c: Config) -> list[int | None]:
    """Qwen 2 and 3: windows only with use_sliding_window, and only from layer max_window_layers on."""
    if not c.flag("use_sliding_window") or c.get("sliding_window") is None:
        return [None] * c.num_hidden_layers
    first = c.max_window_layers
    return windows(c, layer_types(c, lambda i: "sliding_attention" if i >= first else "full_attention"))


@family("qwen2")
def qwen2(c: Config) -> Blueprint:
    layers = [
        pre_norm(c, self_attention(c, window=w, qkv_bias=True, out_bias=False), gated_mlp(c), kind=attention_kind(w))
        for w in qwen_windows(c)
    ]
    return blueprint(c, language_model(c, layers))


@family("qwen3")
def qwen3(c: Config) -> Blueprint:
    layers = [
        pre_norm(c, self_attention(c, window=w, head_norm="head"), gated_mlp(c), kind=attention_kind(w))
        for w in qwen_windows(c)
    ]
    return blueprint(c, language_model(c, layers))


@family("phi3")
def phi3(c: Config) -> Blueprint:
    window = c.get("sliding_window")
    attention = self_attention(c, window=window, fused="qkv_proj", qkv_bias=False, out_bias=False)
    layer = pre_norm(
        c, attention, gated_mlp(c, fused="gate_up_proj"), kind=attention_kind(window), dropout=dropped(c, "resid_pdrop")
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("gemma")
def gemma(c: Config) -> Blueprint:
    return llama(c)


@family("helium")
def helium(c: Config) -> Blueprint:
    """Llama whose output projection is square and never has a bias."""
    heads, _, head_dim = head_shape(c)
    if heads * head_dim != c.hidden_size:
        raise ConfigError(
            f"{heads} heads of {head_dim} in {c.where} do not make up hidden_size {c.hidden_size}, as in a helium "
            "model they must."
        )
    return decoder(c, pre_norm(c, self_attention(c, out_bias=False), gated_mlp(c), kind="full attention"))


@family("bitnet")
def bitnet(c: Config) -> Blueprint:
    """Llama with a norm before each half's last projection (arXiv:2504.12285)."""
    attention = self_attention(c, out_norm="attn_sub_norm")
    return decoder(c, pre_norm(c, attention, gated_mlp(c, inner_norm="ffn_sub_norm"), kind="full attention"))


@family("seed_oss")
def seed_oss(c: Config) -> Blueprint:
    attention = self_attention(c, out_bias=c.flag("attention_out_bias"))
    layer = pre_norm(c, attention, gated_mlp(c), kind="full attention", dropout=dropped(c, "residual_dropout"))
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("ernie4_5", "paddleocr_vl_text")
def ernie4_5(c: Config) -> Blueprint:
    bias = c.flag("use_bias")
    layer = pre_norm(c, self_attention(c, qkv_bias=bias, out_bias=bias), gated_mlp(c, bias=bias), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("hunyuan_v1_dense", "hunyuan_vl_text")
def hunyuan_v1_dense(c: Config) -> Blueprint:
    attention = self_attention(c, head_norm="head", norm_names=("query_layernorm", "key_layernorm"))
    layer = pre_norm(c, attention, gated_mlp(c, bias=False), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("mimo")
def mimo(c: Config) -> Blueprint:
    """Qwen2 with prediction layers (arXiv:2505.07608), which its own code builds as a part of the model: they count,
    though no token passes through them."""
    built, width = qwen2(c), c.hidden_size
    front = joined(c, ("token_layernorm", "hidden_layernorm"), "input_proj")
    parts = (*front, *built.text.layers[-1].parts, Norm("final_layernorm", width))
    held = [p for i in range(stated(c)) for p in inside(f"model.mtp_layers.{i}", parts)]
    idle = tuple(Elsewhere(p.name, p, held=True, active=False) for p in held)
    return replace(built, text=replace(built.text, after=(*built.text.after, *idle)))


@family("smollm3")
def smollm3(c: Config) -> Blueprint:
    """Every fourth layer has no positions."""
    period: int = c.no_rope_layer_interval
    rotated = c.get("no_rope_layers") or [int((i + 1) % period != 0) for i in range(c.num_hidden_layers)]
    sliding = c.flag("use_sliding_window") and c.get("sliding_window") is not None
    types = layer_types(c, lambda i: "sliding_attention" if sliding and not rotated[i] else "full_attention")

    def layer(window: int | None, positions: int) -> Layer:
        window = window if sliding else None
        changes: dict[str, Any] = {} if positions else {"rotary": 0}
        return pre_norm(c, self_attention(c, window=window, **changes), gated_mlp(c), kind=attention_kind(window))

    kept = windows(c, types) if sliding else [None] * len(types)
    return blueprint(c, language_model(c, [layer(w, r) for w, r in zip(kept, rotated, strict=True)]))


@family("ministral3")
def ministral3(c: Config) -> Blueprint:
    return mistral(c)


@family("ministral")
def ministral(c: Config) -> Blueprint:
    types = (
        c.get("layer_types")
        or ["sliding_attention" if c.get("sliding_window") else "full_attention"] * c.num_hidden_layers
    )
    layers = [
        pre_norm(
            c,
            self_attention(c, window=c.sliding_window if t == "sliding_attention" else None),
            gated_mlp(c),
            kind=t.replace("_", " "),
        )
        for t in types
    ]
    return blueprint(c, language_model(c, layers))


@family("granite_docling_text")
def granite_docling_text(c: Config) -> Blueprint:
    return llama(c)


@family("qwen2_vl_text", "qwen2_5_vl_text")
def qwen2_vl_text(c: Config) -> Blueprint:
    return qwen2(c)


# ------------------------------------------------------------------------------------- Qwen2.5-Omni (arXiv:2503.20215)


@family("qwen2_5_omni_text")
def qwen2_5_omni_text(c: Config) -> Blueprint:
    return qwen2(c)


@family("cwm")
def cwm(c: Config) -> Blueprint:
    """Llama with a window in three layers of four (arXiv:2510.02387)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    mixers = [self_attention(c, window=w, qkv_bias=False, out_bias=False) for w in windows(c, types)]
    return decoder(c, [pre_norm(c, m, gated_mlp(c), kind=attention_kind(m.window)) for m in mixers])


@family("granite_swa")
def granite_swa(c: Config) -> Blueprint:
    """Granite with a window in three layers of four, sinks, and layers without positions (a rope theta of 0)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    thetas = c.get("layer_rope_theta") or [1] * len(types)

    def layer(window: int | None, theta: float) -> Layer:
        changes: dict[str, Any] = {} if theta else {"rotary": 0}
        mixer = self_attention(c, window=window, sinks=True, **changes)
        return pre_norm(c, mixer, gated_mlp(c), kind=attention_kind(window))

    return decoder(c, [layer(w, theta) for w, theta in zip(windows(c, types), thetas, strict=True)])


@family("emu3_text_model")
def emu3_text(c: Config) -> Blueprint:
    return decoder(c, pre_norm(c, replace(self_attention(c), out_bias=False), gated_mlp(c), kind="full attention"))
