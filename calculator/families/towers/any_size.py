"""Towers for images of any size, whose neighbouring patches are merged behind them."""

from __future__ import annotations

from math import prod

from calculator.config import Config
from calculator.families.fields import changed
from calculator.families.layers import layer_norm, plain_mlp, whole_heads
from calculator.families.towers.pieces import encoder_layer, linears, patches, square, volume_patches
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Biases,
    HeadNorms,
    Linear,
    Names,
    Norm,
    Part,
    PatchMerger,
    Positions,
    VectorWeights,
    VisionAttention,
)


def kimi_vision(c: Config, text_width: int, normed: int) -> Stack:
    """Kimi K2.5's MoonViT: learned positions resampled to the image, packed projections, and a two-layer projector
    behind a norm of `normed` features."""
    width, root = c.hidden_size, "vision_tower"
    attention = whole_heads(c, "", names=Names(out="wo", fused="wqkv"), rotates=True)
    mlp = plain_mlp(c, up="fc0", down="fc1")
    layer = encoder_layer(c, norms=("norm0", "norm1"), attention=attention, mlp=mlp)
    grid = (("weight", (c.pos_emb_height, c.pos_emb_width, width)),)
    joined = width * prod(c.merge_kernel_size)
    return Stack(
        f"{root}.encoder.blocks",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(patches(c, f"{root}.patch_embed.proj", bias=True), VectorWeights(f"{root}.patch_embed.pos_emb", grid)),
        after=(
            layer_norm(f"{root}.encoder.final_layernorm", width),
            layer_norm("mm_projector.pre_norm", normed),
            Linear("mm_projector.proj.0", joined, joined, True),
            Linear("mm_projector.proj.2", joined, text_width, True),
        ),
        tower="vision",
    )


def glm_tower(c: Config, layer: Layer, count: int, inner: int, extra: tuple[Part, ...] = ()) -> Stack:
    """3-D patches, `extra` behind them, a strided convolution that merges the layers' outputs, and a gated merger with
    `inner` features."""
    width, outputs, root = c.hidden_size, c.out_hidden_size, "model.visual"
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * times(count),
        before=(volume_patches(c, f"{root}.patch_embed.proj", width), *extra),
        after=(
            Norm(f"{root}.post_layernorm", width),
            square(f"{root}.downsample", width, outputs, c.spatial_merge_size),
            Linear(f"{root}.merger.proj", outputs, outputs),
            layer_norm(f"{root}.merger.post_projection_norm", outputs),
            MLP(f"{root}.merger", outputs, inner),
        ),
        tower="vision",
    )


def glm4v_vision(c: Config) -> Stack:
    """GLM-4.1V to 4.6V: learned positions resampled to the image, and MLPs as wide as the language model."""
    attention = whole_heads(
        c,
        "attn",
        names=Names(out="proj", fused="qkv"),
        biases=Biases(qkv=c.flag("attention_bias"), out=False),
        rotates=True,
    )
    mlp = MLP("mlp", c.hidden_size, c.out_hidden_size)
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp, norm=Norm)
    norm, places = Norm("model.visual.post_conv_layernorm", c.hidden_size), (c.image_size // c.patch_size) ** 2
    positions = Positions("model.visual.embeddings.position_embedding", places, c.hidden_size)
    return glm_tower(c, layer, c.num_hidden_layers, c.intermediate_size, (norm, positions))


def glm_ocr_vision(c: Config) -> Stack:
    """GLM-4.1V's tower without its learned positions, with norms on queries and keys and wider MLPs."""
    bias = c.flag("attention_bias")
    attention = whole_heads(
        c,
        "attn",
        heads=c.num_heads,
        bias=bias,
        names=Names(out="proj", fused="qkv"),
        norms=HeadNorms("head"),
        rotates=True,
    )
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, bias=bias)
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp, norm=Norm)
    return glm_tower(c, layer, c.depth, c.out_hidden_size * c.in_channels)


def qwen2_tower(c: Config, *, gated: bool) -> Stack:
    """Qwen2-VL (LayerNorm, plain MLPs) or Qwen2.5-VL (RMSNorm, gated MLPs): 3-D patches, rotary positions, a merger."""
    outputs: int = c.out_hidden_size if gated else c.hidden_size  # as wide as the language model
    c = c if gated else changed(c, hidden_size=c.embed_dim)
    width, root, norm = c.hidden_size, "visual", Norm if gated else layer_norm
    attention = whole_heads(c, "attn", names=Names(out="proj", fused="qkv"), rotates=True)
    mlp = MLP("mlp", width, c.intermediate_size, bias=True) if gated else plain_mlp(c, "mlp", int(width * c.mlp_ratio))
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp, norm=norm)
    joined = width * c.spatial_merge_size**2
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(volume_patches(c, f"{root}.patch_embed.proj", width, bias=False),),
        after=(
            norm(f"{root}.merger.ln_q", width),
            *linears(f"{root}.merger.mlp", ("0", joined, joined), ("2", joined, outputs)),
        ),
        tower="vision",
    )


def qwen3_tower(c: Config) -> Stack:
    """Qwen3-VL's tower: 3-D patches, learned positions, pre-norm blocks, a merger and one more per deepstack index."""
    width: int = c.hidden_size
    heads = c.first("num_heads", "num_attention_heads")
    mlp = plain_mlp(c, up="linear_fc1", down="linear_fc2")
    attention = VisionAttention("attn", width, heads, width // heads)
    block = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp)
    merge = c.spatial_merge_size**2
    root = "model.visual"
    deep = [
        PatchMerger(f"{root}.deepstack_merger_list.{i}", width, merge, c.out_hidden_size, norm_after=True)
        for i, _ in enumerate(c.get("deepstack_visual_indexes") or ())
    ]
    return Stack(
        f"{root}.blocks",
        width,
        (block,) * times(c.first("depth", "num_hidden_layers")),
        before=(
            volume_patches(c, f"{root}.patch_embed.proj", width),
            Positions(f"{root}.pos_embed", c.num_position_embeddings, width),
        ),
        after=(PatchMerger(f"{root}.merger", width, merge, c.out_hidden_size), *deep),
        tower="vision",
    )
