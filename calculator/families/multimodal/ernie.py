"""ERNIE 4.5 VL (Baidu): experts for text and smaller ones for images in the same layers."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.layers import gated_mlp, layer_norm, plain_mlp, pre_norm, self_attention, whole_heads
from calculator.families.mixtures.grouped import ernie_experts
from calculator.families.models import HELD, decoder, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import encoder_layer, linears
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import IdleExperts, Linear, Names, Norm, Part, PatchEmbedding


def between(value: int | list[int], i: int) -> int:
    """A field that the file states for text and images together, or for each."""
    return value[i] if isinstance(value, list) else value


@family("ernie4_5_moe_vl")
def ernie4_5_moe_vl(c: Config) -> Blueprint:
    """ERNIE 4.5 VL (Baidu): experts for text and smaller ones for images in the same layers, shared experts for both.
    A text token visits the experts for text only."""
    width, bias, count = c.hidden_size, c.flag("use_bias"), c.num_hidden_layers
    (text, images), number = c.listed("moe_intermediate_size"), c.listed("moe_num_experts")
    texts, pictures = between(number, 0), between(number, 1)
    experts = ernie_experts(c, text, texts, routers=2)
    others = IdleExperts("mlp", width, images, pictures, texts)
    attention = self_attention(c, bias=bias)

    def mixed(i: int, kind: int) -> bool:
        start, end = (between(c.listed(f"moe_layer_{name}_index"), kind) for name in ("start", "end"))
        return (i + 1) % c.moe_layer_interval == 0 and start <= i <= (count - 1 if end == -1 else end)

    def layer(i: int) -> Layer:
        if not mixed(i, 0):
            return pre_norm(c, attention, gated_mlp(c, bias=bias), kind="full attention + mlp")
        return pre_norm(c, attention, (experts, others) if mixed(i, 1) else experts)

    built = decoder(c, [layer(i) for i in range(times(count))], head_bias=bias, notes=(HELD,))
    return replace(built, towers=(ernie_tower(c.section("vision_config"), c),))


def joined(name: str, inputs: int, width: int) -> tuple[Part, ...]:
    """One half of the resampler: two projections and a norm."""
    return (*linears(name, ("0", inputs, width), ("2", width, width)), layer_norm(f"{name}.3", width))


def ernie_tower(c: Config, whole: Config) -> Stack:
    """A plain transformer with rotary positions, and a resampler that joins patches of a square, then of two frames."""
    width: int = c.hidden_size
    attention = whole_heads(c, "attn", heads=c.num_heads, names=Names(out="proj", fused="qkv"), rotates=True)
    mlp = plain_mlp(c, "mlp", int(width * c.mlp_ratio))
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp)
    root, sampler = "model.vision_model", "model.resampler_model"
    square = whole.pixel_hidden_size * whole.spatial_conv_size**2

    pixels = c.first("in_channels", "in_chans") * c.patch_size**2
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * times(c.depth),
        before=(PatchEmbedding(f"{root}.patch_embed.proj", pixels, width, bias=False),),
        after=(
            layer_norm(f"{root}.ln", width),
            *joined(f"{sampler}.spatial_linear", square, square),
            *joined(f"{sampler}.temporal_linear", square * whole.temporal_conv_size, square),
            Linear(f"{sampler}.mlp", square, whole.hidden_size, True),
            Norm(f"{sampler}.after_norm", whole.hidden_size),
        ),
        tower="vision",
    )


@family("ernie4_5_vl_moe_text")
def ernie4_5_vl_moe_text(c: Config) -> Blueprint:
    """ERNIE 4.5's mixture with a second set of experts, and their own router, for the tokens of images."""
    width, bias, count = c.hidden_size, c.flag("use_bias"), c.num_hidden_layers
    wide, narrow = c.listed("moe_intermediate_size") or (1536, 512)
    number: int = c.moe_num_experts
    experts = ernie_experts(c, wide, number, routers=2)
    seeing = IdleExperts("mlp", width, narrow, number, number)
    listed = c.get("mlp_layer_types") or ["dense"] + ["sparse"] * times(count - 1)
    attention = self_attention(c, bias=bias)
    dense = pre_norm(c, attention, gated_mlp(c, bias=bias), kind="full attention + mlp")
    mixed = pre_norm(c, attention, experts)
    mixed = replace(mixed, parts=(*mixed.parts, seeing))
    return decoder(c, [mixed if kind == "sparse" else dense for kind in listed])


def ernie_vision(c: Config, text: Config) -> Stack:
    width, outputs, root = c.hidden_size, text.hidden_size, "model.vision_model"
    resampler = "model.resampler_model"
    attention = whole_heads(c, "attn", heads=c.num_heads, names=Names(out="proj", fused="qkv"))
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=plain_mlp(c))
    spatial = width * c.spatial_merge_size**2
    temporal = spatial * c.temporal_merge_size

    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * times(c.depth),
        before=(Linear(f"{root}.patch_embed.proj", c.in_channels * c.patch_size**2, width),),
        after=(
            layer_norm(f"{root}.ln", width),
            *joined(f"{resampler}.spatial_linear", spatial, spatial),
            *joined(f"{resampler}.temporal_linear", temporal, spatial),
            Linear(f"{resampler}.mlp", spatial, outputs, True),
            Norm(f"{resampler}.after_norm", outputs),
        ),
        tower="vision",
    )


@family("ernie4_5_vl_moe")
def ernie4_5_vl_moe(c: Config) -> Blueprint:
    """ERNIE 4.5 VL (its technical report, 2025)."""
    tower = ernie_vision(c.section("vision_config"), c.section("text_config"))
    return with_towers(c, tower, text="ernie4_5_vl_moe_text", new="model.")
