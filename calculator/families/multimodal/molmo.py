"""Molmo 2 (arXiv:2601.10611)."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import renamed
from calculator.families.layers import gated_mlp, plain_mlp, self_attention
from calculator.families.models import decoder, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import encoder_layer, pair, vectors
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Attention, Biases, Embedding, HeadNorms, Linear, Names, Norm, Part, Residual


@family("molmo2_text")
def molmo2_text(c: Config) -> Blueprint:
    """A second, small embedding for the tokens of images; norms on queries and keys as Qwen 3's or OLMo 2's."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        names=Names(fused="att_proj", out="attn_out"),
        biases=Biases(c.flag("attention_bias")),
        norms=HeadNorms("head" if c.get("qk_norm_type") == "qwen3" else "full"),
    )
    mlp = gated_mlp(c, fused="ff_proj", down="ff_out", bias=False)
    first, second = Norm("attn_norm", width), Norm("ff_norm", width)
    adds = (Residual("mixer_residual", width), Residual("channel_residual", width))
    parts: tuple[Part, ...] = (first, attention, adds[0], second, mlp, adds[1])
    if c.flag("norm_after"):
        parts = (attention, first, adds[0], mlp, second, adds[1])
    root = "model.transformer"
    # The head has rows for the first embedding alone, so that it is never tied.
    built = decoder(c, Layer("full attention", parts), path=f"{root}.blocks", final=f"{root}.ln_f", tied=False)
    tables = (("embedding", (c.vocab_size, width)), ("new_embedding", (c.additional_vocab_size, width)))
    before = (Embedding(f"{root}.wte", c.vocab_size + c.additional_vocab_size, width, tables=tables),)
    return replace(built, text=replace(built.text, before=before))


def molmo_attention(c: Config, name: str, inputs: int | None = None) -> Attention:
    bias = c.flag("attention_bias")
    return Attention(
        name,
        inputs or c.hidden_size,
        c.num_attention_heads,
        c.num_key_value_heads,
        c.head_dim,
        names=Names(query="wq", key="wk", value="wv", out="wo"),
        biases=Biases(qkv=bias, out=bias),
        output=c.hidden_size,
    )


@family("molmo2")
def molmo2(c: Config) -> Blueprint:
    """SigLIP 2, two of whose layers a query pools (arXiv:2601.10611); released files say vit_config."""
    c = renamed(c, vision_config="vit_config")
    vision, adapter, root = c.section("vision_config"), c.section("adapter_config"), "model.vision_backbone"
    vision = renamed(
        vision,
        image_size="image_default_input_size",
        patch_size="image_patch_size",
        num_position_embeddings="image_num_pos",
    )
    width, patch, vit = vision.hidden_size, vision.patch_size, f"{root}.image_vit"
    high, wide = pair(vision.get("image_size") or [378, 378])
    positions = vision.get("num_position_embeddings") or (high // patch) * (wide // patch)
    mlp = plain_mlp(vision, "feed_forward", vision.intermediate_size, up="w1", down="w2")
    layer = encoder_layer(
        vision, norms=("attention_norm", "ffn_norm"), attention=molmo_attention(vision, "attention"), mlp=mlp
    )
    layers = adapter.get("vit_layers") or adapter.get("vision_feature_layer") or (24, 18)
    inner, outputs, bias = adapter.intermediate_size, adapter.text_hidden_size, adapter.flag("mlp_bias")
    tower = Stack(
        f"{vit}.transformer.resblocks",
        width,
        (layer,) * times(vision.num_hidden_layers),
        before=(
            Linear(f"{vit}.patch_embedding", (vision.get("num_channels") or 3) * patch**2, width, True),
            vectors(vit, positional_embedding=(positions, width)),
        ),
        after=(
            molmo_attention(adapter, f"{root}.image_pooling_2d", adapter.hidden_size * len(layers)),
            Linear(f"{root}.image_projector.w1", adapter.hidden_size, inner, bias),
            Linear(f"{root}.image_projector.w3", adapter.hidden_size, inner, bias),
            Linear(f"{root}.image_projector.w2", inner, outputs),
        ),
        tower="vision",
    )
    return with_towers(c, tower, text="molmo2_text", new="model.")
