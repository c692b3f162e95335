"""Image towers that several vision-language types share: CLIP, InternViT, SAM, BLIP's, and the Q-Former."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.towers import encoder_layer, patches, pixtral, plain_mlp, siglip, siglip2, vision_attention
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Linear,
    Norm,
    Part,
    PatchEmbedding,
    Positions,
    Residual,
    VectorWeights,
)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of what is stated as one size or as two."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


def convolution(name: str, inputs: int, outputs: int, kernel: int, *, bias: bool = False) -> PatchEmbedding:
    """A square convolution over `inputs` channels."""
    return PatchEmbedding(name, inputs * kernel**2, outputs, (outputs, inputs, kernel, kernel), bias=bias)


def vectors(name: str, **shapes: tuple[int, ...]) -> VectorWeights:
    return VectorWeights(name, tuple(shapes.items()))


def clip(c: Config, root: str, after: tuple[Part, ...] = (), patch_bias: bool = False) -> Stack:
    """CLIP's image encoder (arXiv:2103.00020): a class token, learned positions, a norm before the blocks."""
    width, side = c.hidden_size, c.image_size // c.patch_size
    before = (
        vectors(f"{root}.embeddings", class_embedding=(width,)),
        patches(c, f"{root}.embeddings.patch_embedding", bias=patch_bias),
        Positions(f"{root}.embeddings.position_embedding", side * side + 1, width),
        Norm(f"{root}.pre_layrnorm", width, "layer", True),
    )
    return replace(siglip(c, root, after), before=before)


def image_tower(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """The tower that a free `vision_config` names.

    Raises:
        ConfigError: it is none of those known here.
    """
    if c.model_type == "pixtral":
        return pixtral(c, root, after)
    known = {"clip_vision_model": clip, "siglip_vision_model": siglip, "siglip2_vision_model": siglip2}
    if c.model_type not in known:
        raise ConfigError(
            f"{c.where} is of type {c.model_type!r}; the towers known here are {', '.join(known)} and pixtral."
        )
    return known[c.model_type](c, f"{root}.vision_model", after)


def two_layer_projector(name: str, inputs: int, inner: int, outputs: int, bias: bool = True) -> tuple[Part, ...]:
    return Linear(f"{name}.linear_1", inputs, inner, bias), Linear(f"{name}.linear_2", inner, outputs, bias)


def feature_layers(c: Config) -> int:
    """How many of the tower's layers are put side by side."""
    chosen = c.get("vision_feature_layer")
    return len(chosen) if isinstance(chosen, list) else 1


def intern_vit(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """InternViT (arXiv:2312.14238) as transformers spells it: branches scaled by learned vectors."""
    width: int = c.hidden_size
    (high, wide), (rows, columns) = pair(c.patch_size), pair(c.image_size)
    positions = (rows // high) * (columns // wide) + 1
    kind = "layer" if c.norm_type == "layer_norm" else "rms"
    attention = replace(
        vision_attention(c, "attention", out="projection_layer"),
        qkv_bias=c.flag("attention_bias"),
        head_norm="full" if c.flag("use_qk_norm") else None,
    )
    layer = Layer(
        "vision",
        (
            Norm("layernorm_before", width, kind, kind == "layer"),
            attention,
            Residual("mixer_residual", width),
            Norm("layernorm_after", width, kind, kind == "layer"),
            plain_mlp(c),
            vectors("", lambda_1=(width,), lambda_2=(width,)),
            Residual("channel_residual", width),
        ),
    )
    tokens = {"cls_token": (1, 1, width)}
    if c.flag("use_mask_token"):
        tokens["mask_token"] = (1, 1, width)
    if c.flag("use_absolute_position_embeddings"):
        tokens["position_embeddings"] = (1, positions, width)
    shape = (width, c.num_channels, high, wide)
    last = () if c.flag("use_mean_pooling") else (Norm(f"{root}.layernorm", width, "layer", True),)
    return Stack(
        f"{root}.encoder.layer",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            vectors(f"{root}.embeddings", **tokens),
            PatchEmbedding(f"{root}.embeddings.patch_embeddings.projection", prod(shape[1:]), width, shape),
        ),
        after=(*last, *after),
        tower="vision",
    )


def intern_vit_6b(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """InternViT as its authors' own code spells it: one packed projection."""
    width: int = c.hidden_size
    (high, wide), (rows, columns) = pair(c.patch_size), pair(c.image_size)
    kind = "layer" if c.norm_type == "layer_norm" else "rms"
    attention = replace(
        vision_attention(c, "attn", out="proj"),
        fused="qkv",
        qkv_bias=c.flag("attention_bias"),
        head_norm="full" if c.flag("use_qk_norm") else None,
    )
    layer = Layer(
        "vision",
        (
            Norm("norm1", width, kind, kind == "layer"),
            attention,
            Residual("mixer_residual", width),
            Norm("norm2", width, kind, kind == "layer"),
            plain_mlp(c),
            vectors("", ls1=(width,), ls2=(width,)),
            Residual("channel_residual", width),
        ),
    )
    tokens = {"class_embedding": (1, 1, width)}
    if c.flag("use_mask_token"):
        tokens["mask_token"] = (1, 1, width)
    if c.flag("use_absolute_position_embeddings"):
        tokens["position_embedding"] = (1, (rows // high) * (columns // wide) + 1, width)
    shape = (width, c.get("num_channels") or 3, high, wide)
    last = () if c.flag("use_mean_pooling") else (Norm(f"{root}.layernorm", width, "layer", True),)
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            vectors(f"{root}.embeddings", **tokens),
            PatchEmbedding(f"{root}.embeddings.patch_embedding", prod(shape[1:]), width, shape),
        ),
        after=(*last, *after),
        tower="vision",
    )


def sam_neck(name: str, inputs: int, outputs: int) -> tuple[Part, ...]:
    return (
        convolution(f"{name}.conv1", inputs, outputs, 1),
        Norm(f"{name}.layer_norm1", outputs, "layer", True),
        convolution(f"{name}.conv2", outputs, outputs, 3),
        Norm(f"{name}.layer_norm2", outputs, "layer", True),
    )


def sam(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """Segment Anything's image encoder (arXiv:2304.02643): windows in most blocks, relative positions in each."""
    width, heads = c.hidden_size, c.num_attention_heads
    side = c.image_size // c.patch_size
    attention = Attention(
        "attn", width, heads, heads, width // heads, fused="qkv", out="proj", qkv_bias=c.flag("qkv_bias"), out_bias=True
    )
    inner = int(width * c.mlp_ratio) if c.get("mlp_dim") is None else c.mlp_dim
    mlp = MLP("mlp", width, inner, gated=False, bias=True, up="lin1", down="lin2")

    def layer(i: int) -> Layer:
        reach = 2 * (side if i in c.global_attn_indexes or not c.window_size else c.window_size) - 1
        block = encoder_layer(c, norms=("layer_norm1", "layer_norm2"), attention=attention, mlp=mlp)
        if not c.flag("use_rel_pos"):
            return block
        places = (reach, width // heads)
        return replace(block, parts=(*block.parts, vectors("attn", rel_pos_h=places, rel_pos_w=places)))

    absolute = (vectors(root, pos_embed=(1, side, side, width)),) if c.flag("use_abs_pos") else ()
    return Stack(
        f"{root}.layers",
        width,
        tuple(layer(i) for i in range(c.num_hidden_layers)),
        before=(patches(c, f"{root}.patch_embed.projection", bias=True), *absolute),
        after=(*sam_neck(f"{root}.neck", width, c.output_channels), *after),
        tower="vision",
    )
