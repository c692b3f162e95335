"""BLIP-2 and InstructBLIP: a Q-Former, whose few queries read the image, before a whole language model."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.common import Blueprint, family
from calculator.families.image_towers import vectors
from calculator.families.llava import beside
from calculator.families.towers import patches, siglip, vision_attention
from calculator.model import Layer, Stack
from calculator.parts import CrossAttention, Embedding, Linear, Norm, Part, Positions, Residual


def blip_vision(c: Config) -> Stack:
    """EVA-CLIP: a class token, learned positions, one packed projection."""
    width, root = c.hidden_size, "vision_model"
    stack = siglip(c, root)
    attention = replace(vision_attention(c, out="projection"), fused="qkv", qkv_bias=c.flag("qkv_bias"))
    block = stack.layers[0]
    parts = tuple(attention if p.name == "self_attn" else p for p in block.parts)
    places = (1, (c.image_size // c.patch_size) ** 2 + 1, width)
    before = (
        vectors(f"{root}.embeddings", class_embedding=(1, 1, width), position_embedding=places),
        patches(c, f"{root}.embeddings.patch_embedding", bias=True),
    )
    return replace(stack, layers=(replace(block, parts=parts),) * c.num_hidden_layers, before=before)


def qformer(c: Config, source: int, queries: int, after: tuple[Part, ...], *, reads_text: bool) -> Stack:
    """BERT's layers, every cross_attention_frequency-th with cross-attention to the image (arXiv:2301.12597); one that
    reads text has BERT's embeddings too, and MLPs of their own for it."""
    width: int = c.hidden_size

    def mlp(suffix: str) -> tuple[Part, ...]:
        return (
            Linear(f"intermediate{suffix}.dense", width, c.intermediate_size, True, component="mlp"),
            Linear(f"output{suffix}.dense", c.intermediate_size, width, True, component="mlp"),
            Norm(f"output{suffix}.LayerNorm", width, "layer", True),
        )

    own = vision_attention(c, "attention", out="output.dense")
    own = replace(own, query="attention.query", key="attention.key", value="attention.value")
    across = CrossAttention(
        "crossattention",
        width,
        c.num_attention_heads,
        c.num_attention_heads,
        width // c.num_attention_heads,
        source,
        query="attention.query",
        key="attention.key",
        value="attention.value",
        out="output.dense",
        q_bias=True,
        k_bias=True,
        v_bias=True,
        out_bias=True,
    )

    def layer(i: int) -> Layer:
        crossing: tuple[Part, ...] = (across, Norm("crossattention.output.LayerNorm", width, "layer", True))
        parts = (
            own,
            Norm("attention.output.LayerNorm", width, "layer", True),
            Residual("mixer_residual", width),
            *(crossing if i % c.cross_attention_frequency == 0 else ()),
            *(mlp("") if reads_text or c.flag("use_qformer_text_input") else ()),
            *mlp("_query"),
        )
        return Layer("q-former", parts)

    words: tuple[Part, ...] = (
        Embedding("qformer.embeddings.word_embeddings", c.vocab_size, width),
        Positions("qformer.embeddings.position_embeddings", c.max_position_embeddings, width),
    )
    norm = Norm("qformer.embeddings.layernorm" if reads_text else "qformer.layernorm", width, "layer", True)
    return Stack(
        "qformer.encoder.layer",
        width,
        tuple(layer(i) for i in range(c.num_hidden_layers)),
        before=(vectors("", query_tokens=(1, queries, width)), *(words if reads_text else ()), norm),
        after=after,
        tower="vision",
    )


@family("blip-2", "instructblip", "instructblipvideo")
def blip_2(c: Config) -> Blueprint:
    vision, reader, text = (c.section(name) for name in ("vision_config", "qformer_config", "text_config"))
    projection = Linear("language_projection", reader.hidden_size, text.hidden_size, True)
    reads_text = c.model_type != "blip-2"
    tower = qformer(reader, vision.hidden_size, c.num_query_tokens, (projection,), reads_text=reads_text)
    return beside(c, blip_vision(vision), tower, own_ties=True)
