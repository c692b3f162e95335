"""Florence-2 (arXiv:2311.06242): a DaViT tower before BART."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import restated
from calculator.families.layers import layer_norm
from calculator.families.models import tied_inside, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import convolution, square
from calculator.limits import times
from calculator.model import Stack
from calculator.parts import MLP, Head, Linear, Part, Positions, VectorWeights


def davit_half(name: str, attention: str, width: int, inner: int, bias: bool) -> tuple[Part, ...]:
    """Attention within windows, or among channels, each half behind a convolution of its own (arXiv:2204.03645)."""
    return (
        convolution(f"{name}.conv1", width, 1, 3, 3),
        layer_norm(f"{name}.norm1", width),
        Linear(f"{name}.{attention}.qkv", width, 3 * width, bias),
        Linear(f"{name}.{attention}.proj", width, width, True),
        convolution(f"{name}.conv2", width, 1, 3, 3),
        layer_norm(f"{name}.norm2", width),
        MLP(f"{name}.ffn", width, inner, gated=False, bias=True, up="fc1", down="fc2"),
    )


def davit(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    parts: list[Part] = []
    inputs = c.in_channels
    for stage, (width, depth, size) in enumerate(zip(c.embed_dim, c.depths, c["patch_size"], strict=True)):
        name = f"{root}.convs.{stage}"
        parts += (
            square(f"{name}.conv", inputs, width, size),
            layer_norm(f"{name}.norm", inputs if c["patch_prenorm"][stage] else width),
        )
        for i in range(times(depth)):
            block, inner = f"{root}.blocks.{stage}.{i}", int(width * c.mlp_ratio)
            parts += davit_half(f"{block}.spatial_block", "window_attn", width, inner, c.flag("qkv_bias"))
            parts += davit_half(f"{block}.channel_block", "channel_attn", width, inner, c.flag("qkv_bias"))
        inputs = width
    return Stack(root, inputs, (), tuple(parts), after, "vision")


@family("florence2")
def florence2(c: Config) -> Blueprint:
    vision, text, root = c.section("vision_config"), dict(c.section("text_config").raw), "model.multi_modal_projector"
    # The encoder and the decoder, whatever a lone config of that type would build.
    text["architectures"] = ["BartForConditionalGeneration"]
    c = restated(c, text_config=text)
    width, outputs, places = vision.embed_dim[-1], vision.projection_dim, f"{root}.image_position_embed"
    projector: tuple[Part, ...] = (
        Linear(f"{root}.image_projection", width, outputs),
        layer_norm(f"{root}.image_proj_norm", outputs),
        Positions(f"{places}.row_embeddings", vision.max_position_embeddings, width // 2),
        Positions(f"{places}.column_embeddings", vision.max_position_embeddings, width - width // 2),
        VectorWeights(
            f"{root}.visual_temporal_embed",
            (("pos_idx_to_embed", (vision.max_temporal_embeddings, width)),),
            role="buffer",
        ),
    )
    # The flag inside ties the tables of encoder and decoder, the whole's the head.
    inside = c.section("text_config")
    tower = davit(vision, "model.vision_tower", projector)
    built = with_towers(c, tower, text=inside.model_type, own_ties=True)
    tied = tied_inside(c, inside)
    after = tuple(replace(p, tied=tied) if isinstance(p, Head) else p for p in built.text.after)
    return replace(built, text=replace(built.text, after=after))
