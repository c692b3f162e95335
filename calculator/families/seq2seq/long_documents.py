"""BART and Pegasus for long documents: encoders whose tokens attend to their neighbours and to a few others."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import dropped
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import Style, encoder_decoder, heads_of, layer_of
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    Attention,
    Biases,
    Embedding,
    GlobalLocalAttention,
    Idle,
    Names,
    Padded,
    Part,
    SlidingAttention,
    SparseAttention,
)
from calculator.parts.base import check

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
    windows = c.listed("attention_window")
    windows = windows if isinstance(windows, list) else [windows] * times(count)
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
            names=Names(
                query="longformer_self_attn.query",
                key="longformer_self_attn.key",
                value="longformer_self_attn.value",
                out="output",
            ),
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
        names=Names(out="out_proj"),
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
                parts.append(Padded(f"global_{p.name}", layer_norm(f"global_{p.name}", width), 0, beside))
            else:
                parts.append(Padded(p.name, p, block, extra))
        return replace(plain, kind=plain.kind + (", shifted" if shifted else ""), parts=tuple(parts))

    stagger = c.flag("stagger_local_blocks")
    listed = [layer(stagger and i % 2 == 1) for i in range(times(c.encoder_layers))]
    built = encoder_decoder(c, style, encoder=listed)
    encoder = built.encoder
    if encoder is None:
        return built
    path = encoder.path.removesuffix("layers") + "embed_global"
    tokens = Padded(path, Embedding(path, beside, width), 0, beside)
    return replace(built, encoder=replace(encoder, before=(*encoder.before, tokens)))


@family("bigbird_pegasus")
def bigbird_pegasus(c: Config) -> Blueprint:
    """Pegasus whose encoder's blocks attend to a few others (arXiv:2007.14062); a norm called that of the embeddings
    stands after the layers."""
    style = Style(
        pre=True, embedding_norm=False, offset=0, biases=c.flag("use_bias"), final="layernorm_embedding", untied=True
    )
    heads, head_dim = heads_of(c, "encoder_attention_heads")
    names = Names("self.query", "self.key", "self.value", "output")
    drop, sparse = dropped(c, "attention_dropout"), c.attention_type == "block_sparse"
    check(
        sparse or c.attention_type == "original_full",
        f"attention_type in {c.where} is {c.attention_type!r}; it is block_sparse or original_full.",
    )
    plain = layer_of(c, "encoder", style)
    if sparse:
        check(c.block_size > 0, f"block_size in {c.where} is 0; it must be at least 1.")
        attention = SparseAttention(
            "self_attn",
            c.d_model,
            heads,
            head_dim,
            c.block_size,
            names=names,
            bias=style.biases,
            dropout=drop,
            random=c.num_random_blocks,
        )
        layer = with_mixer(plain, attention, "block-sparse attention")
        padded = (Padded(p.name, p, attention.block, unless=attention.shortest) for p in layer.parts)
        layer = replace(layer, parts=tuple(padded))
    else:
        full = Attention(
            "self_attn",
            c.d_model,
            heads,
            heads,
            head_dim,
            names=names,
            biases=Biases(qkv=style.biases, out=style.biases),
            dropout=drop,
        )
        layer = with_mixer(plain, full, plain.kind)
    return encoder_decoder(c, style, classes="BigBirdPegasus", encoder=[layer] * times(c.encoder_layers))
