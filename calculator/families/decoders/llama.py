"""Llama and those that differ in a bias, a window or the choice of rotated layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped, head_shape, layer_types, windows
from calculator.families.layers import gated_mlp, pre_norm, self_attention
from calculator.families.models import decoder
from calculator.families.prediction import inside, joined, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.parts import Biases, Elsewhere, HeadNorms, Names, Norm


@family("llama", "granite", "internlm3", "iquestcoder", "xverse", "aquila", "gemma", "granite_docling_text")
def llama(c: Config) -> Blueprint:
    """Llama (arXiv:2302.13971)."""
    return decoder(c, pre_norm(c, self_attention(c), gated_mlp(c)))


def windowed(c: Config, seen: Sequence[int | None], **changes: Any) -> Blueprint:
    """Llama with a window for each layer."""
    alike = {w: pre_norm(c, self_attention(c, window=w, **changes), gated_mlp(c)) for w in dict.fromkeys(seen)}
    return decoder(c, [alike[w] for w in seen])


@family("mistral", "ministral3")
def mistral(c: Config) -> Blueprint:
    """One window in all layers (arXiv:2310.06825)."""
    return windowed(c, [c.get("sliding_window")] * times(c.num_hidden_layers))


@family("ministral")
def ministral(c: Config) -> Blueprint:
    """Mistral whose layers may be listed."""
    listed = c.get("layer_types")
    if not listed:
        return mistral(c)
    return windowed(c, [c.sliding_window if kind == "sliding_attention" else None for kind in listed])


def qwen_windows(c: Config) -> list[int | None]:
    """Qwen 2 and 3: windows only with use_sliding_window, and only from layer max_window_layers on."""
    if not c.flag("use_sliding_window") or c.get("sliding_window") is None:
        return [None] * times(c.num_hidden_layers)
    first = c.max_window_layers
    return windows(c, layer_types(c, lambda i: "sliding_attention" if i >= first else "full_attention"))


@family("qwen2", "qwen2_vl_text", "qwen2_5_vl_text", "qwen2_5_omni_text")
def qwen2(c: Config) -> Blueprint:
    """Biases on q, k and v only (arXiv:2407.10671)."""
    return windowed(c, qwen_windows(c), biases=Biases(qkv=True))


@family("qwen3")
def qwen3(c: Config) -> Blueprint:
    """Norms on queries and keys (arXiv:2505.09388)."""
    return windowed(c, qwen_windows(c), norms=HeadNorms("head"))


@family("cwm")
def cwm(c: Config) -> Blueprint:
    """A window in three layers of four (arXiv:2510.02387)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    return windowed(c, windows(c, types), bias=False)


@family("granite_swa")
def granite_swa(c: Config) -> Blueprint:
    """Granite with a window in three layers of four, sinks, and layers without positions (a rope theta of 0)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    kinds = zip(windows(c, types), c.get("layer_rope_theta") or [1] * len(types), strict=True)
    mixers = [self_attention(c, window=w, sinks="sinks", rotates=bool(theta)) for w, theta in kinds]
    return decoder(c, [pre_norm(c, mixer, gated_mlp(c)) for mixer in mixers])


@family("smollm3")
def smollm3(c: Config) -> Blueprint:
    """Every fourth layer has no positions."""
    period: int = c.no_rope_layer_interval
    rotated = c.get("no_rope_layers") or [int((i + 1) % period != 0) for i in range(times(c.num_hidden_layers))]
    sliding = c.flag("use_sliding_window") and c.get("sliding_window") is not None
    types = layer_types(c, lambda i: "sliding_attention" if sliding and not rotated[i] else "full_attention")
    seen = windows(c, types) if sliding else [None] * len(types)
    mixers = [self_attention(c, window=w, rotates=bool(r)) for w, r in zip(seen, rotated, strict=True)]
    return decoder(c, [pre_norm(c, mixer, gated_mlp(c)) for mixer in mixers])


@family("phi3")
def phi3(c: Config) -> Blueprint:
    """Packed projections and one window (arXiv:2404.14219)."""
    attention = self_attention(c, window=c.get("sliding_window"), names=Names(fused="qkv_proj"), bias=False)
    return decoder(c, pre_norm(c, attention, gated_mlp(c, fused="gate_up_proj"), dropout=dropped(c, "resid_pdrop")))


@family("helium")
def helium(c: Config) -> Blueprint:
    """The output projection is square and never has a bias."""
    heads, _, head_dim = head_shape(c)
    if heads * head_dim != c.hidden_size:
        raise ConfigError(
            f"{heads} heads of {head_dim} in {c.where} do not make up hidden_size {c.hidden_size}, as in a helium "
            "model they must."
        )
    return decoder(c, pre_norm(c, self_attention(c, biases=Biases(c.flag("attention_bias"))), gated_mlp(c)))


@family("emu3_text_model")
def emu3_text(c: Config) -> Blueprint:
    """The output projection never has a bias."""
    return decoder(c, pre_norm(c, self_attention(c, biases=Biases(c.flag("attention_bias"))), gated_mlp(c)))


@family("bitnet")
def bitnet(c: Config) -> Blueprint:
    """A norm before each half's last projection (arXiv:2504.12285)."""
    attention = self_attention(c, norms=HeadNorms(out="attn_sub_norm"))
    return decoder(c, pre_norm(c, attention, gated_mlp(c, inner_norm="ffn_sub_norm")))


@family("seed_oss")
def seed_oss(c: Config) -> Blueprint:
    """The output projection's bias has a field of its own."""
    attention = self_attention(c, biases=Biases(c.flag("attention_bias"), c.flag("attention_out_bias")))
    return decoder(c, pre_norm(c, attention, gated_mlp(c), dropout=dropped(c, "residual_dropout")))


@family("ernie4_5", "paddleocr_vl_text")
def ernie4_5(c: Config) -> Blueprint:
    """One flag for all biases."""
    bias = c.flag("use_bias")
    return decoder(c, pre_norm(c, self_attention(c, bias=bias), gated_mlp(c, bias=bias)))


@family("hunyuan_v1_dense", "hunyuan_vl_text")
def hunyuan_v1_dense(c: Config) -> Blueprint:
    """Norms on queries and keys."""
    attention = self_attention(c, norms=HeadNorms("head", names=("query_layernorm", "key_layernorm")))
    return decoder(c, pre_norm(c, attention, gated_mlp(c, bias=False)))


@family("mimo")
def mimo(c: Config) -> Blueprint:
    """Qwen2 with prediction layers (arXiv:2505.07608), which its own code builds as a part of the model: they count,
    though no token passes through them."""
    built, width = qwen2(c), c.hidden_size
    front = joined(c, ("token_layernorm", "hidden_layernorm"), "input_proj")
    parts = (*front, *built.text.layers[-1].parts, Norm("final_layernorm", width))
    held = [p for i in range(times(stated(c))) for p in inside(f"model.mtp_layers.{i}", parts)]
    idle = tuple(Elsewhere(p.name, p, held=True, active=False) for p in held)
    return replace(built, text=replace(built.text, after=(*built.text.after, *idle)))
