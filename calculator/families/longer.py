"""BART and Pegasus for long documents: encoders whose tokens attend to their neighbours and to a few others."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.common import Blueprint, dropped, family
from calculator.families.seq2seq import Style, encoder_decoder, heads_of, layer_of
from calculator.model import Layer
from calculator.parts import (
    Attention,
    Embedding,
    GlobalLocalAttention,
    Idle,
    Norm,
    Padded,
    Part,
    SlidingAttention,
)
from calculator.parts.basic import check

GLOBAL_NOTE = (
    "No token has global attention, as transformers does where it is not asked for; the projections for it are held."
)


def with_mixer(layer: Layer, mixer: Part, kind: str) -> Layer:
    """The layer with another part in place of its attention."""
    return Layer(kind, tuple(mixer if isinstance(p, Attention) else p for p in layer.parts))


@family("led")
def led(c: Config) -> Blueprint:
    """BART with Longformer's sliding windows in the encoder, whose input is padded to whole windows
    (arXiv:2004.05150)."""
    style = Style(offset=0, prefix="led.")
    heads, head_dim = heads_of(c, "encoder_attention_heads")
    count: int = c.encoder_layers
    windows = c.attention_window if isinstance(c.attention_window, list) else [c.attention_window] * count
    check(
        len(windows) == count and all(isinstance(w, int) and w > 0 and w % 2 == 0 for w in windows),
        f"attention_window in {c.where} must be an even number, or one for each of the {count} encoder_layers.",
    )
    width: int = c.d_model
    unused = tuple((f"longformer_self_attn.{name}_global", (width, width)) for name in ("query", "key", "value"))

    def layer(window: int) -> Layer:
        attention = SlidingAttention(
            "self_attn",
            width,
            heads,
            head_dim,
            window // 2,
            query="longformer_self_attn.query",
            key="longformer_self_attn.key",
            value="longformer_self_attn.value",
            out="output",
            bias=True,
            dropout=dropped(c, "attention_dropout"),
        )
        plain = with_mixer(layer_of(c, "encoder", style), attention, "sliding attention")
        parts = (*(Padded(p.name, p, max(windows)) for p in plain.parts), Idle("self_attn", unused, bias=True))
        return replace(plain, parts=parts)

    lengths = (c.max_encoder_position_embeddings, c.max_decoder_position_embeddings)
    built = encoder_decoder(c, style, encoder=[layer(w) for w in windows], lengths=lengths)
    return replace(built, notes=(*built.notes, GLOBAL_NOTE))


@family("pegasus_x")
def pegasus_x(c: Config) -> Blueprint:
    """Pegasus whose encoder's blocks, shifted by half a block in every other layer, attend to themselves and to learned
    global tokens; no biases in attention, sinusoidal positions, not stored (arXiv:2208.04347)."""
    style = Style(pre=True, embedding_norm=False, offset=None, logits_bias=False, biases=False)
    heads, head_dim = heads_of(c, "encoder_attention_heads")
    width, block, beside = c.d_model, c.block_size, c.num_global_tokens
    check(block > 0, f"block_size in {c.where} is 0; it must be at least 1.")
    attention = GlobalLocalAttention(
        "self_attn",
        width,
        heads,
        head_dim,
        block,
        out="out_proj",
        dropout=dropped(c, "attention_dropout"),
        beside=beside,
    )
    plain = with_mixer(layer_of(c, "encoder", style), attention, "block-local attention")

    def layer(shifted: bool) -> Layer:
        parts: list[Part] = []
        for p in plain.parts:
            # A shifted sequence has half a block of padding more at either end.
            extra = beside + (block // 2 * 2 if shifted and p is attention else 0)
            if p.name == "self_attn_layer_norm":
                parts.append(Padded(p.name, p, block))
                parts.append(Padded(f"global_{p.name}", Norm(f"global_{p.name}", width, "layer", True), 0, beside))
            else:
                parts.append(Padded(p.name, p, block, extra))
        return replace(plain, kind=plain.kind + (", shifted" if shifted else ""), parts=tuple(parts))

    stagger = c.flag("stagger_local_blocks")
    listed = [layer(stagger and i % 2 == 1) for i in range(c.encoder_layers)]
    built = encoder_decoder(c, style, encoder=listed)
    encoder = built.encoder
    if encoder is None:
        return built
    path = encoder.path.removesuffix("layers") + "embed_global"
    tokens = Padded(path, Embedding(path, beside, width), 0, beside)
    return replace(built, encoder=replace(encoder, before=(*encoder.before, tokens)))
