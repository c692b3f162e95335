"""BART and what followed it: an encoder, a decoder that attends to its output, LayerNorm with biases, plain MLPs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from calculator.config import Config
from calculator.families.fields import context_length, dropped
from calculator.families.layers import layer_norm, plain_mlp
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    Attention,
    Biases,
    CrossAttention,
    Elsewhere,
    Embedding,
    EncoderOutput,
    Experts,
    Head,
    Linear,
    Names,
    Norm,
    Part,
    PooledHead,
    Positions,
    Residual,
    VectorWeights,
)
from calculator.parts.base import check

# How the names of classes end, and what such a class builds.
BUILDS = (
    ("EncoderModel", "encoder"),
    ("ForCausalLM", "decoder"),
    ("ForConditionalGeneration", "both"),
    ("MTModel", "both"),
    ("ForSequenceClassification", "classes"),
    ("ForQuestionAnswering", "answers"),
    ("ForTokenClassification", "tokens"),
    ("Model", "headless"),
)


def built(c: Config, otherwise: str = "both") -> str:
    """What the class in `architectures` builds, `otherwise` where it names none that is known."""
    for name in c.get("architectures") or ():
        for ending, what in BUILDS:
            if str(name).endswith(ending):
                return what
    return otherwise


def unnamed(c: Config, classes: str, whole: str = "ForConditionalGeneration") -> tuple[str, ...]:
    """What to tell the reader where the config leaves open whether the decoder alone is meant."""
    if built(c, ""):
        return ()
    named = ", ".join(map(str, c.get("architectures") or ()))
    said = f"The class {named} is not known here" if named else "The config names no architectures"
    return (
        f"{said}; {classes}ForCausalLM, the decoder alone, is counted; add "
        f'"architectures": ["{classes}{whole}"] for encoder and decoder.',
    )


@dataclass(frozen=True)
class Style:
    """What the types with one kind of encoder and decoder layer differ in.

    Attributes:
        pre: norms before each half of a layer instead of after it, and one after the last layer.
        embedding_norm: a norm on the embeddings.
        offset: rows of the learned positions beside those the config states; None where none are stored.
        logits_bias: a bias on the logits, kept as a buffer.
        key_bias: the projection of the keys has a bias like the others.
        biases: the projections of attention have biases.
        head: the head's module; `cross`, `last`: what is attention to the encoder, and the norm of the MLP.
        prefix: what stands before all names of a model with a head; `final`: the norm after the last layer.
        untied: the head of the decoder alone is never the embedding.
    """

    pre: bool = False
    embedding_norm: bool = True
    offset: int | None = 2
    logits_bias: bool = True
    key_bias: bool = True
    biases: bool = True
    head: str = "lm_head"
    cross: str = "encoder_attn"
    last: str = "final"
    prefix: str = "model."
    final: str = "layer_norm"
    untied: bool = False


def step(norm: Norm, part: Part, name: str, *, pre: bool, dropout: bool) -> tuple[Part, ...]:
    """One half of a layer: the norm before it or after it, and the addition to the residual stream."""
    add = Residual(f"{name}_residual", norm.size, dropout)
    return (norm, part, add) if pre else (part, add, norm)


def heads_of(c: Config, field: str) -> tuple[int, int]:
    """Heads and the size of a head.

    Raises:
        ConfigError: the width does not divide into the heads.
    """
    heads: int = getattr(c, field)
    check(heads and c.d_model % heads == 0, f"d_model {c.d_model} in {c.where} does not divide into {heads} {field}.")
    return heads, c.d_model // heads


def layer_of(c: Config, side: str, style: Style, *, cross: bool = True, channel: Part | None = None) -> Layer:
    """A layer of the encoder or the decoder; without `cross` the attention to the encoder is held and not run.
    `channel` is what stands in place of the MLP."""
    width: int = c.d_model
    heads, head_dim = heads_of(c, f"{side}_attention_heads")
    drop, dropout = dropped(c, "attention_dropout"), dropped(c, "dropout")
    biases, key_bias = style.biases, style.biases and style.key_bias
    attention = Attention(
        "self_attn",
        width,
        heads,
        heads,
        head_dim,
        names=Names(out="out_proj"),
        biases=Biases(qkv=biases, out=biases, key=key_bias),
        dropout=drop,
    )
    mlp = channel or plain_mlp(c, "", getattr(c, f"{side}_ffn_dim"))
    norms = [layer_norm(f"{n}_layer_norm", width) for n in ("self_attn", style.cross, style.last)]
    parts = [*step(norms[0], attention, "mixer", pre=style.pre, dropout=dropout)]
    if side == "decoder":
        source = c.get("cross_attention_hidden_size") or width
        across = CrossAttention(
            style.cross,
            width,
            heads,
            heads,
            head_dim,
            source,
            biases=Biases(out=biases, qkv=biases, key=key_bias),
            dropout=drop,
        )
        halves = step(norms[1], across, "cross", pre=style.pre, dropout=dropout)
        parts += halves if cross else held(*halves)
    parts += step(norms[2], mlp, "channel", pre=style.pre, dropout=dropout)
    crossed = " + cross-attention" if side == "decoder" and cross else ""
    return Layer(f"full attention{crossed}{' + experts' if isinstance(mlp, Experts) else ''}", tuple(parts))


def unread_encoder(c: Config, attention: Attention, name: str = "encoder_attn") -> tuple[Part, ...]:
    """Attention over an encoder's output beside the decoder's own, which a decoder with add_cross_attention holds and
    alone does not run."""
    if not c.flag("add_cross_attention"):
        return ()
    a = attention
    sizes = (a.hidden, a.heads, a.heads, a.head_dim, a.hidden)
    across = CrossAttention(name, *sizes, biases=Biases(out=True, qkv=True))
    return held(across, Norm(f"{name}_layer_norm", a.hidden, "layer", True))


def held(*parts: Part) -> tuple[Part, ...]:
    """What the checkpoint holds of these parts, and this pass does not run."""
    return tuple(Elsewhere(p.name, p, held=True) for p in parts if not isinstance(p, Residual))


def ends_of(c: Config, root: str, length: int | None, style: Style) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """What stands between the embedding and the layers, and after the layers."""
    width: int = c.d_model
    positions = () if length is None else (Positions(f"{root}.embed_positions", length, width),)
    norm = (layer_norm(f"{root}.layernorm_embedding", width),) if style.embedding_norm else ()
    last = (layer_norm(f"{root}.{style.final}", width),) if style.pre else ()
    return (*positions, *norm), last


def embeddings(
    c: Config, prefix: str, vocabularies: tuple[int, int], shared: bool = True, tied: bool | None = None
) -> tuple[tuple[Part, ...], ...]:
    """The embeddings of encoder and decoder, one tensor or two; `shared` is stored unread where they are not tied."""
    width: int = c.d_model
    reader, writer = (
        Embedding(f"{prefix}{side}.embed_tokens", size, width)
        for side, size in zip(("encoder", "decoder"), vocabularies, strict=True)
    )
    if not shared:
        return (reader,), (writer,)
    table = Embedding(f"{prefix}shared", vocabularies[0], width)
    if c.flag("tie_word_embeddings") if tied is None else tied:
        return (table,), (replace(writer, tied=True),)
    return (Elsewhere(table.name, table, held=True), reader), (writer,)


def heads_for(c: Config, what: str, style: Style, vocabulary: int) -> tuple[Part, ...]:
    """What the class has after the decoder."""
    width: int = c.d_model
    labels = c.get("num_labels") or len(c.get("id2label") or (0, 1))
    if what == "classes":
        return (PooledHead("classification_head", width, width, labels),)
    if what == "tokens":
        return (Linear("classifier", width, labels, bias=True, component="head"),)
    if what == "answers":
        return (Linear("qa_outputs", width, 2, bias=True, component="head"),)  # a start and an end, whatever the labels
    if what == "headless":
        return ()
    tied = c.flag("tie_word_embeddings") and not (style.untied and what == "decoder")
    head = Head(style.head, vocabulary, width, tied=tied)
    if what == "both" and style.logits_bias:
        return (head, VectorWeights("final_logits_bias", (("", (1, vocabulary)),), "head", "buffer"))
    return (head,)


def encoder_decoder(
    c: Config,
    style: Style,
    *,
    classes: str = "",
    whole: str = "ForConditionalGeneration",
    encoder: Sequence[Layer] | None = None,
    decoder: Sequence[Layer] | None = None,
    lengths: tuple[int, int] | None = None,
    vocabularies: tuple[int, int] | None = None,
    shared: bool = True,
    logits: int | None = None,
    hears: tuple[Part, ...] = (),
    encoder_length: int | None = None,
    alone: bool | None = None,
) -> Blueprint:
    """Encoder and decoder, or what of them the named class builds.

    Args:
        classes: how the names of the type's classes begin, where AutoModelForCausalLM knows the decoder alone.
        whole: how the name of the class with both ends.
        encoder, decoder: the layers, where they are not all alike.
        lengths: positions of the encoder and of the decoder, where they are not max_position_embeddings.
        vocabularies: of the encoder and of the decoder, where they are not vocab_size.
        shared: there is one embedding for both.
        logits: rows of the head where they are not those of the decoder's embedding.
        hears: what makes the encoder's input where that is sound, by its names inside the encoder.
        encoder_length: tokens of the encoder where its positions fix them.
        alone: there is no encoder, whatever the class.
    """
    width: int = c.d_model
    what = "decoder" if alone else built(c, "decoder" if classes else "both")
    alone = what == "decoder"
    prefix = "" if what == "headless" else style.prefix
    sources, targets = vocabularies or (c.vocab_size, c.vocab_size)
    rows = [None if style.offset is None else n + style.offset for n in lengths or (c.max_position_embeddings,) * 2]
    listed = decoder or [layer_of(c, "decoder", style, cross=not alone)] * times(c.decoder_layers)
    before, last = ends_of(c, f"{prefix}decoder", rows[1], style)
    after = (*last, *heads_for(c, what, style, logits or targets))
    reading, writing = embeddings(c, prefix, (sources, targets), shared)
    if alone or hears:
        writing = (Embedding(f"{prefix}decoder.embed_tokens", targets, width),)
        reading = tuple(replace(part, name=f"{prefix}encoder.{part.name}") for part in hears)
    text = Stack(f"{prefix}decoder.layers", width, tuple(listed), (*writing, *before), after)
    notes = unnamed(c, classes, whole) if classes else ()
    context = lengths[1] if lengths else context_length(c)
    if alone:
        return Blueprint(text, targets, context=context, notes=notes, reads_class=True)
    before, last = ends_of(c, f"{prefix}encoder", rows[0], style)
    stack = Stack(
        f"{prefix}encoder.layers",
        width,
        tuple(encoder or [layer_of(c, "encoder", style)] * times(c.encoder_layers)),
        (*reading, *before),
        (*last, EncoderOutput("encoder_output", width)),
        causal=False,
    )
    return Blueprint(
        text,
        targets,
        context=context,
        notes=notes,
        encoder=stack,
        encoder_length=encoder_length,
        reads_class=True,
    )


@family("bart", "plbart", "mvp")
def bart(c: Config) -> Blueprint:
    """A norm after each half of a layer and one on the embeddings; positions learned with an offset of 2, fairseq's
    padding index (arXiv:1910.13461)."""
    check(not c.get("use_prompt"), f"use_prompt in {c.where}: the layers' prompts are not counted here.")
    return encoder_decoder(c, Style(), classes={"bart": "Bart", "plbart": "PLBart", "mvp": "Mvp"}[c.model_type])


@family("mbart")
def mbart(c: Config) -> Blueprint:
    """BART with norms before each half and after the last layer (arXiv:2001.08210)."""
    return encoder_decoder(c, Style(pre=True), classes="MBart")


@family("pegasus", "blenderbot")
def pegasus(c: Config) -> Blueprint:
    """Norms before each half, none on the embeddings; positions without an offset, stored though Pegasus computes them
    (arXiv:1912.08777, arXiv:2004.13637)."""
    classes = {"pegasus": "Pegasus", "blenderbot": "Blenderbot"}[c.model_type]
    return encoder_decoder(c, Style(pre=True, embedding_norm=False, offset=0), classes=classes)


@family("blenderbot-small")
def blenderbot_small(c: Config) -> Blueprint:
    """BART without the offset of its positions."""
    return encoder_decoder(c, Style(offset=0), classes="BlenderbotSmall")
