"""Vision and audio towers, and the projectors that join them to a language model."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.layers import layer_norm, plain_mlp, whole_heads
from calculator.families.towers.pieces import encoder_layer, patches, vectors
from calculator.limits import times
from calculator.model import Stack
from calculator.parts import MLP, Linear, Names, Norm, Part, Positions, VectorWeights


def siglip(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """SigLIP (arXiv:2303.15343): learned positions, pre-norm blocks, perhaps an attention-pooling head."""
    width: int = c.hidden_size
    layer = encoder_layer(
        c, norms=("layer_norm1", "layer_norm2"), attention=whole_heads(c, names=Names(out="out_proj")), mlp=plain_mlp(c)
    )
    positions = c.get("num_patches") or (c.image_size // c.patch_size) ** 2
    pooled: tuple[Part, ...] = ()
    if c.flag("vision_use_head"):
        shapes = (
            ("probe", (1, 1, width)),
            ("attention.in_proj_weight", (3 * width, width)),
            ("attention.in_proj_bias", (3 * width,)),
        )
        pooled = (
            VectorWeights(f"{root}.head", shapes),
            Linear(f"{root}.head.attention.out_proj", width, width, True),
            layer_norm(f"{root}.head.layernorm", width),
            plain_mlp(c, f"{root}.head.mlp"),
        )
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(
            patches(c, f"{root}.embeddings.patch_embedding", bias=True),
            Positions(f"{root}.embeddings.position_embedding", positions, width),
        ),
        after=(layer_norm(f"{root}.post_layernorm", width), *pooled, *after),
        tower="vision",
    )


def pixtral(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """Pixtral (arXiv:2410.07073): rotary positions in two dimensions, RMSNorm and gated MLPs, images of any size."""
    width: int = c.hidden_size
    layer = encoder_layer(
        c,
        norms=("attention_norm", "ffn_norm"),
        attention=whole_heads(c, "attention", bias=False, rotates=True),
        mlp=MLP("feed_forward", width, c.intermediate_size),
        norm=Norm,
    )
    before = (patches(c, f"{root}.patch_conv", bias=False), Norm(f"{root}.ln_pre", width))
    return Stack(f"{root}.transformer.layers", width, (layer,) * times(c.num_hidden_layers), before, after, "vision")


def llama4_vision(c: Config, text_width: int) -> Stack:
    """Llama 4: a class token, learned and rotary positions, a pixel shuffle and its MLP."""
    width: int = c.hidden_size
    layer = encoder_layer(
        c,
        norms=("input_layernorm", "post_attention_layernorm"),
        attention=whole_heads(c, rotates=True),
        mlp=plain_mlp(c),
    )
    side, channels, root = c.image_size // c.patch_size, c.num_channels, "vision_model"
    vectors = (("class_embedding", (width,)), ("positional_embedding_vlm", (side * side + 1, width)))
    adapter = f"{root}.vision_adapter.mlp"
    return Stack(
        f"{root}.model.layers",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(
            Linear(f"{root}.patch_embedding.linear", channels * c.patch_size**2, width),
            VectorWeights(root, vectors),
            layer_norm(f"{root}.layernorm_pre", width),
        ),
        after=(
            layer_norm(f"{root}.layernorm_post", width),
            Linear(f"{adapter}.fc1", c.intermediate_size, c.projector_input_dim),
            Linear(f"{adapter}.fc2", c.projector_output_dim, c.projector_output_dim),
            Linear("multi_modal_projector.linear_1", c.vision_output_dim, text_width),
        ),
        tower="vision",
    )


def siglip2(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    """SigLIP 2 for images of any shape: patches come flat, positions are resampled."""
    stack = siglip(c, root, after)
    patch = Linear(f"{root}.embeddings.patch_embedding", c.num_channels * c.patch_size**2, c.hidden_size, True)
    positions = Positions(f"{root}.embeddings.position_embedding", c.num_patches, c.hidden_size)
    return replace(stack, before=(patch, positions))


def clip(c: Config, root: str, after: tuple[Part, ...] = (), patch_bias: bool = False) -> Stack:
    """CLIP's image encoder (arXiv:2103.00020): a class token, learned positions, a norm before the blocks."""
    width, side = c.hidden_size, c.image_size // c.patch_size
    before = (
        vectors(f"{root}.embeddings", class_embedding=(width,)),
        patches(c, f"{root}.embeddings.patch_embedding", bias=patch_bias),
        Positions(f"{root}.embeddings.position_embedding", side * side + 1, width),
        layer_norm(f"{root}.pre_layrnorm", width),
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
