"""ProphetNet: a decoder whose extra streams predict the tokens after the next one."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.fields import context_length, dropped
from calculator.families.layers import layer_norm, plain_mlp
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import built, held, step, unnamed
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    Attention,
    Biases,
    CrossAttention,
    Elsewhere,
    Embedding,
    EncoderOutput,
    Head,
    Names,
    NgramAttention,
    Norm,
    Part,
    Positions,
    StreamedQueries,
    Streams,
    VectorWeights,
)
from calculator.parts.base import check


@family("prophetnet")
def prophetnet(c: Config) -> Blueprint:
    """Norms after each half; the decoder runs `ngram` streams beside its tokens, and the head reads those alone
    (arXiv:2001.04063)."""
    what, width, streams = built(c, "decoder"), c.hidden_size, c.get("ngram") or 0
    check(streams > 0, f"ngram in {c.where} is {streams!r}; it must be at least 1.")
    alone, tied = what == "decoder", c.flag("tie_word_embeddings")
    prefix = "" if what == "headless" else "prophetnet."
    drop, attention_drop = dropped(c, "dropout"), dropped(c, "attention_dropout")
    names = Names("query_proj", "key_proj", "value_proj", "out_proj")
    every = streams + 1

    def shape(side: str) -> tuple[int, int]:
        heads: int = getattr(c, f"num_{side}_attention_heads")
        check(heads and width % heads == 0, f"hidden_size {width} in {c.where} does not divide into {heads} heads.")
        return heads, width // heads

    def norm(name: str) -> Norm:
        return layer_norm(f"{name}_layer_norm", width)

    def feed_forward(side: str) -> tuple[Part, ...]:
        inner: int = getattr(c, f"{side}_ffn_dim")
        mlp = plain_mlp(c, "feed_forward", inner, up="intermediate", down="output")
        return step(norm("feed_forward"), mlp, "channel", pre=False, dropout=drop)

    def reader() -> Layer:
        heads, size = shape("encoder")
        attention = Attention(
            "self_attn",
            width,
            heads,
            heads,
            size,
            biases=Biases(qkv=True, out=True),
            names=names,
            dropout=attention_drop,
        )
        mixer = step(norm("self_attn"), attention, "mixer", pre=False, dropout=drop)
        return Layer("full attention", (*mixer, *feed_forward("encoder")))

    def writer() -> Layer:
        heads, size = shape("decoder")
        attention = NgramAttention("self_attn", width, heads, size, streams, c.num_buckets, attention_drop)
        across = CrossAttention(
            "cross_attn",
            width,
            heads,
            heads,
            size,
            width,
            names=names,
            biases=Biases(out=True, qkv=True),
            dropout=attention_drop,
        )
        cross = step(norm("cross_attn"), across, "cross", pre=False, dropout=drop)
        if not c.flag("add_cross_attention"):
            cross = ()
        mixer = step(norm("self_attn"), attention, "mixer", pre=False, dropout=drop)
        parts: list[Part] = [p if p is attention else Streams(p.name, p, every) for p in mixer]
        if alone:
            parts += held(*cross)
        else:
            kinds = (StreamedQueries if p is across else Streams for p in cross)
            parts += (kind(p.name, p, every) for kind, p in zip(kinds, cross, strict=True))
        parts += (Streams(p.name, p, every) for p in feed_forward("decoder"))
        return Layer(f"{every}-stream attention{'' if alone or not cross else ' + cross-attention'}", tuple(parts))

    def before(side: str, *more: Part) -> tuple[Part, ...]:
        root = f"{prefix}{side}"
        positions = Positions(f"{root}.position_embeddings", c.max_position_embeddings, width)
        last = norm(f"{root}.embeddings")
        return (positions, *more, Streams(last.name, last, every) if side == "decoder" else last)

    shared = Embedding(f"{prefix}word_embeddings", c.vocab_size, width)
    reads, writes = (
        Embedding(f"{prefix}{side}.word_embeddings", c.vocab_size, width) for side in ("encoder", "decoder")
    )
    unread = (Elsewhere(shared.name, shared, held=True),)
    if alone:
        words: tuple[Part, ...] = (shared,) if tied else (*unread, writes)
    else:
        words = (Embedding(writes.name, c.vocab_size, width, tied=True),) if tied else (writes,)
    grams = VectorWeights(
        f"{prefix}decoder.ngram_embeddings", (("weight", (streams, width)),), "embedding", "embedding"
    )
    head = Head("lm_head", c.vocab_size, width, tied=tied)
    text = Stack(
        f"{prefix}decoder.layers",
        width,
        (writer(),) * times(c.num_decoder_layers),
        (*words, *before("decoder", grams)),
        () if what == "headless" else (Streams(head.name, head, streams),),
    )
    encoder = Stack(
        f"{prefix}encoder.layers",
        width,
        (reader(),) * times(c.num_encoder_layers),
        (*((shared,) if tied else (*unread, reads)), *before("encoder")),
        (EncoderOutput("encoder_output", width),),
        causal=False,
    )
    return Blueprint(
        text,
        c.vocab_size,
        context=context_length(c),
        notes=unnamed(c, "ProphetNet"),
        encoder=None if alone else encoder,
        reads_class=True,
    )
