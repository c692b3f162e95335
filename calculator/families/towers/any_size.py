"""Towers for images of any size, whose neighbouring patches are merged behind them."""

from __future__ import annotations

from math import prod

from calculator.config import Config
from calculator.families.towers.pieces import encoder_layer, patches
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Linear,
    Norm,
    PatchEmbedding,
    PatchMerger,
    Positions,
    Residual,
    VectorWeights,
    VisionAttention,
)


def kimi_vision(c: Config, text_width: int) -> Stack:
    """Kimi K2.5's MoonViT: learned positions resampled to the image, packed projections, and a two-layer projector."""
    width, root = c.hidden_size, "vision_tower"
    heads: int = c.num_attention_heads
    layer = Layer(
        "vision",
        (
            Norm("norm0", width, "layer", True),
            Attention(
                "",
                width,
                heads,
                heads,
                width // heads,
                fused="wqkv",
                out="wo",
                qkv_bias=True,
                out_bias=True,
                rotary=width // heads,
            ),
            Residual("mixer_residual", width),
            Norm("norm1", width, "layer", True),
            MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="fc0", down="fc1"),
            Residual("channel_residual", width),
        ),
    )
    grid = (("weight", (c.pos_emb_height, c.pos_emb_width, width)),)
    joined = width * prod(c.merge_kernel_size)
    return Stack(
        f"{root}.encoder.blocks",
        width,
        (layer,) * c.num_hidden_layers,
        before=(patches(c, f"{root}.patch_embed.proj", bias=True), VectorWeights(f"{root}.patch_embed.pos_emb", grid)),
        after=(
            Norm(f"{root}.encoder.final_layernorm", width, "layer", True),
            Norm("mm_projector.pre_norm", width, "layer", True),
            Linear("mm_projector.proj.0", joined, joined, True),
            Linear("mm_projector.proj.2", joined, text_width, True),
        ),
        tower="vision",
    )


def glm4v_vision(c: Config) -> Stack:
    """GLM-4.1V to 4.6V: 3-D patches, learned positions resampled to the image, a strided convolution that merges
    patches, and a gated merger. The blocks' MLPs are as wide as the language model."""
    width, root = c.hidden_size, "model.visual"
    heads, outputs = c.num_attention_heads, c.out_hidden_size
    volume = (c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size)
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv",
        out="proj",
        qkv_bias=c.flag("attention_bias"),
        rotary=width // heads,
    )
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=MLP("mlp", width, outputs), kind="rms")
    merge, merger = c.spatial_merge_size, f"{root}.merger"
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            PatchEmbedding(f"{root}.patch_embed.proj", prod(volume), width, (width, *volume)),
            Norm(f"{root}.post_conv_layernorm", width),
            Positions(f"{root}.embeddings.position_embedding", (c.image_size // c.patch_size) ** 2, width),
        ),
        after=(
            Norm(f"{root}.post_layernorm", width),
            PatchEmbedding(f"{root}.downsample", width * merge * merge, outputs, (outputs, width, merge, merge)),
            Linear(f"{merger}.proj", outputs, outputs),
            Norm(f"{merger}.post_projection_norm", outputs, "layer", True),
            MLP(merger, outputs, c.intermediate_size),
        ),
        tower="vision",
    )


def qwen2_tower(c: Config, *, gated: bool) -> Stack:
    """Qwen2-VL (LayerNorm, plain MLPs) or Qwen2.5-VL (RMSNorm, gated MLPs): 3-D patches, rotary positions, a merger."""
    width: int = c.hidden_size if gated else c.embed_dim
    outputs: int = c.out_hidden_size if gated else c.hidden_size  # as wide as the language model
    heads, root = c.num_attention_heads, "visual"
    kind, bias = ("rms", False) if gated else ("layer", True)
    volume = (c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size)
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv",
        out="proj",
        qkv_bias=True,
        out_bias=True,
        rotary=width // heads,
    )
    mlp = (
        MLP("mlp", width, c.intermediate_size, bias=True)
        if gated
        else MLP("mlp", width, int(width * c.mlp_ratio), gated=False, bias=True, up="fc1", down="fc2")
    )
    parts = (
        Norm("norm1", width, kind, bias),
        attention,
        Residual("mixer_residual", width),
        Norm("norm2", width, kind, bias),
        mlp,
        Residual("channel_residual", width),
    )
    joined = width * c.spatial_merge_size**2
    return Stack(
        f"{root}.blocks",
        width,
        (Layer("vision", parts),) * c.num_hidden_layers,
        before=(PatchEmbedding(f"{root}.patch_embed.proj", prod(volume), width, (width, *volume), bias=False),),
        after=(
            Norm(f"{root}.merger.ln_q", width, kind, bias),
            Linear(f"{root}.merger.mlp.0", joined, joined, True),
            Linear(f"{root}.merger.mlp.2", joined, outputs, True),
        ),
        tower="vision",
    )


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


def glm_ocr_vision(c: Config) -> Stack:
    width, outputs, root, bias = c.hidden_size, c.out_hidden_size, "model.visual", c.flag("attention_bias")
    volume = (c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size)
    heads, merge = c.num_heads, c.spatial_merge_size
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv",
        out="proj",
        qkv_bias=bias,
        out_bias=bias,
        head_norm="head",
        rotary=width // heads,
    )
    mlp = MLP("mlp", width, c.intermediate_size, bias=bias)
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp, kind="rms")
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * c.depth,
        before=(PatchEmbedding(f"{root}.patch_embed.proj", prod(volume), width, (width, *volume)),),
        after=(
            Norm(f"{root}.post_layernorm", width),
            PatchEmbedding(f"{root}.downsample", width * merge * merge, outputs, (outputs, width, merge, merge)),
            Linear(f"{root}.merger.proj", outputs, outputs),
            Norm(f"{root}.merger.post_projection_norm", outputs, "layer", True),
            MLP(f"{root}.merger", outputs, outputs * c.in_channels),
        ),
        tower="vision",
    )
