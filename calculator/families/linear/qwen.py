"""Qwen3-Next and Qwen3.5: gated delta nets beside gated attention, dense or with experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import every, head_shape, layer_types, partly_rotated
from calculator.families.layers import gated_mlp, pre_norm, self_attention
from calculator.families.mixtures.mixtral import qwen_experts, qwen_layer
from calculator.families.models import decoder, with_towers
from calculator.families.prediction import layers_of_their_own, stated
from calculator.families.registry import Blueprint, family
from calculator.families.towers.any_size import qwen3_tower
from calculator.parts import Gate, GatedDeltaNet, HeadNorms, Part, Storage


def delta_net(c: Config, **changes: Any) -> GatedDeltaNet:
    """The gated delta net by the usual field names."""
    heads = (c.linear_num_key_heads, c.linear_num_value_heads)
    sizes = (*heads, c.linear_key_head_dim, c.linear_value_head_dim, c.linear_conv_kernel_dim)
    width = 4 if str(c.get("mamba_ssm_dtype")) == "float32" else None
    return GatedDeltaNet("linear_attn", c.hidden_size, *sizes, state_width=width, **changes)


def split_delta_net(c: Config) -> GatedDeltaNet:
    """Qwen3-Next's mixer with its input projections apart."""
    keys, values = c.linear_num_key_heads * c.linear_key_head_dim, c.linear_num_value_heads * c.linear_value_head_dim
    projections = (
        ("in_proj_qkv", 2 * keys + values),
        ("in_proj_z", values),
        ("in_proj_b", c.linear_num_value_heads),
        ("in_proj_a", c.linear_num_value_heads),
    )
    return delta_net(c, projections=projections)


@family("qwen3_5_text", "qwen3_5_moe_text")
def qwen3_5_text(c: Config) -> Blueprint:
    period: int = c.full_attention_interval
    types = layer_types(c, every(period, "linear_attention"))
    mixed = c.model_type == "qwen3_5_moe_text"
    channel = qwen_experts(c, shared=True) if mixed else gated_mlp(c)
    rotary = partly_rotated(c, head_shape(c)[2], 0.25)
    mixers: dict[str, Part] = {
        "linear_attention": split_delta_net(c),
        "full_attention": self_attention(c, norms=HeadNorms("head"), gate=Gate(), rotary=rotary),
    }
    layers = [
        pre_norm(c, mixers[t], channel, kind=f"{t.replace('_', ' ')} + {'experts' if mixed else 'mlp'}") for t in types
    ]
    predicted = pre_norm(c, mixers["full_attention"], channel)
    apart = layers_of_their_own(c, predicted, stated(c, "mtp_num_hidden_layers"))
    return decoder(c, layers, apart=apart)


@family("qwen3_5", "qwen3_5_moe", "qwen4_exp")
def qwen3_5(c: Config) -> Blueprint:
    tower = qwen3_tower(c.section("vision_config"))
    return with_towers(c, tower, text=f"{c.model_type}_text")


@family("lara_mini")
def lara_mini(c: Config) -> Blueprint:
    """Lara 4 Mini: gated delta nets with one input projection, windows, and full attention without positions; experts
    beside one that every token visits, without a gate (transformers, modeling_lara_mini.py)."""
    pattern = ("linear_attention", "sliding_attention", "linear_attention", "full_attention", "sliding_attention")
    keys, values = c.linear_num_key_heads * c.linear_key_head_dim, c.linear_num_value_heads * c.linear_value_head_dim
    rows = 2 * keys + 2 * values + 2 * c.linear_num_value_heads
    mixers: dict[str, Part] = {
        "linear_attention": delta_net(c, projections=(("in_proj", rows),), norm="out_norm"),
        "full_attention": self_attention(c, norms=HeadNorms("head"), rotates=False),
        "sliding_attention": self_attention(c, norms=HeadNorms("head"), window=c.sliding_window),
    }
    gated = qwen_experts(c, shared=True)
    experts = replace(gated, shared=replace(gated.shared, gate=False), stored=Storage("packed"))
    types = layer_types(c, lambda i: pattern[i % len(pattern)])
    return decoder(c, [pre_norm(c, mixers[t], experts, kind=f"{t.replace('_', ' ')} + experts") for t in types])


@family("qwen3_next")
def qwen3_next(c: Config) -> Blueprint:
    """Three gated delta nets to one gated full attention, each followed by a mixture with a shared expert."""
    period = c.get("full_attention_interval") or 4
    types = layer_types(c, every(period, "linear_attention"))
    full = self_attention(c, norms=HeadNorms("head"), gate=Gate())
    mixers: dict[str, tuple[Part, str]] = {
        "linear_attention": (delta_net(c), "linear attention"),
        "full_attention": (full, "full attention"),
    }
    layers = [qwen_layer(c, i, *mixers[kind], shared=True) for i, kind in enumerate(types)]
    predicted = qwen_layer(c, c.num_hidden_layers - 1, *mixers["full_attention"], shared=True)
    apart = layers_of_their_own(c, predicted, stated(c, "mtp_num_hidden_layers"))
    notes = (
        "Qwen3-Next-80B's checkpoints also hold a multi-token-prediction layer, which their config does not state "
        "(Qwen3-Coder-Next's hold none); it is not counted.",
    )
    return decoder(c, layers, apart=apart, notes=() if apart else notes)
