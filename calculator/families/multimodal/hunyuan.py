"""Tencent's models that see: a tower whose merger is two convolutions, and learned vectors between the rows."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.layers import plain_mlp, whole_heads
from calculator.families.models import with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import encoder_layer, patches, square, vectors
from calculator.limits import times
from calculator.model import Stack
from calculator.parts import Linear, Norm, Part, Positions

ROOT = "vit"
MERGER = f"{ROOT}.perceive"


def tower(vision: Config, merger: tuple[Part, ...]) -> Stack:
    """Pre-norm layers over patches with learned positions."""
    width = vision.hidden_size
    size = vision.head_dim if vision.get("head_dim") else width // vision.num_attention_heads
    attention = replace(whole_heads(vision), head_dim=size)
    mlp = replace(plain_mlp(vision), up="dense_h_to_4h", down="dense_4h_to_h")
    layer = encoder_layer(vision, norms=("input_layernorm", "post_attention_layernorm"), attention=attention, mlp=mlp)
    places = (vision.max_image_size // vision.patch_size) ** 2 + 1
    before = (
        patches(vision, f"{ROOT}.embeddings.patch_embedding", bias=True),
        Positions(f"{ROOT}.embeddings.position_embedding", places, width),
    )
    return Stack(f"{ROOT}.layers", width, (layer,) * times(vision.num_hidden_layers), before, merger, "vision")


@family("hunyuan_vl")
def hunyuan_vl(c: Config) -> Blueprint:
    """A merger of two convolutions, and learned tokens around an image and at the end of its rows."""
    vision = c.section("vision_config")
    width, outputs = vision.hidden_size, vision.text_hidden_size
    inner = 4 * width
    merger = (
        square(f"{MERGER}.proj.0", width, 2 * width, vision.spatial_merge_size),
        square(f"{MERGER}.proj.2", 2 * width, inner, 1),
        Linear(f"{MERGER}.mlp", inner, outputs, True),
        vectors(MERGER, image_newline=(inner,), image_begin=(outputs,), image_end=(outputs,), image_sep=(outputs,)),
        Norm(f"{MERGER}.before_rms", width),
        Norm(f"{MERGER}.after_rms", outputs),
    )
    return with_towers(c, tower(vision, merger), text="hunyuan_vl_text", new="model.")


@family("hy_v4_vl")
def hy_v4_vl(c: Config) -> Blueprint:
    """Hy4 that sees: the merger's second convolution makes the text's features, and one vector ends a row
    (transformers, modeling_hy_v4_vl.py)."""
    vision = c.section("vision_config")
    width, outputs, side = vision.hidden_size, vision.out_hidden_size, vision.spatial_merge_size
    merger = (
        Norm(f"{MERGER}.norm", width),
        square(f"{MERGER}.proj.0", width, side**2 * width, side),
        square(f"{MERGER}.proj.2", side**2 * width, outputs, 1),
        vectors(MERGER, image_newline=(outputs,)),
    )
    return with_towers(c, tower(vision, merger), text="hy_v4_vl_text", new="model.")
