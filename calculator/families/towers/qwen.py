"""Vision-language models: a language model of another family with a vision tower beside it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from calculator.config import Config
from calculator.families.common import Blueprint, family
from calculator.families.shared import with_towers
from calculator.model import Layer, Stack
from calculator.parts import MLP, Experts, Norm, Part, PatchEmbedding, PatchMerger, Positions, Residual, VisionAttention


def qwen3_tower(c: Config) -> Stack:
    """Qwen3-VL's tower: 3-D patches, learned positions, pre-norm blocks, a merger and one more per deepstack index."""
    width: int = c.hidden_size
    heads = c.first("num_heads", "num_attention_heads")
    temporal, patch = c.temporal_patch_size, c.patch_size
    shape = (width, c.in_channels, temporal, patch, patch)
    block = Layer(
        "vision",
        (
            Norm("norm1", width, "layer", True),
            VisionAttention("attn", width, heads, width // heads),
            Residual("mixer_residual", width),
            Norm("norm2", width, "layer", True),
            MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="linear_fc1", down="linear_fc2"),
            Residual("channel_residual", width),
        ),
    )
    merge = c.spatial_merge_size**2
    root = "model.visual"
    deep = [
        PatchMerger(f"{root}.deepstack_merger_list.{i}", width, merge, c.out_hidden_size, norm_after=True)
        for i, _ in enumerate(c.get("deepstack_visual_indexes") or ())
    ]
    return Stack(
        f"{root}.blocks",
        width,
        (block,) * c.first("depth", "num_hidden_layers"),
        before=(
            PatchEmbedding(f"{root}.patch_embed.proj", prod(shape[1:]), width, shape),
            Positions(f"{root}.pos_embed", c.num_position_embeddings, width),
        ),
        after=(PatchMerger(f"{root}.merger", width, merge, c.out_hidden_size), *deep),
        tower="vision",
    )


@family("qwen3_vl")
def qwen3_vl(c: Config) -> Blueprint:
    return with_towers(c, "qwen3", (qwen3_tower(c.section("vision_config")),))


@family("qwen3_vl_moe")
def qwen3_vl_moe(c: Config) -> Blueprint:
    """Unlike Qwen3-MoE, the checkpoint packs each layer's experts into one tensor."""
    built = with_towers(c, "qwen3_moe", (qwen3_tower(c.section("vision_config")),))
    layers = tuple(replace(layer, parts=tuple(map(pack_experts, layer.parts))) for layer in built.text.layers)
    return replace(built, text=replace(built.text, layers=layers))


def pack_experts(part: Part) -> Part:
    return replace(part, packed=True) if isinstance(part, Experts) else part
