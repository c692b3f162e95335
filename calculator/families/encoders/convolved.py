"""ConvBERT, MobileBERT and FNet: BERT with other mixers or with narrow layers."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.encoders.bert import projected
from calculator.families.encoders.common import (
    POOLED,
    Heads,
    attention_core,
    bert_layer,
    bert_mlp,
    embeddings,
    encoder,
    lm_head,
)
from calculator.families.fields import dropped
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    Activation,
    DynamicConvolution,
    Embedding,
    GroupedLinear,
    Idle,
    Linear,
    Norm,
    Part,
    Positioned,
    Positions,
    Residual,
    TokenConvolution,
    VectorWeights,
)


@family("convbert")
def convbert(c: Config) -> Blueprint:
    """ConvBERT (arXiv:2008.02496): fewer heads of attention, beside as many of a convolution whose kernel each token
    makes for itself; perhaps MLPs in groups."""
    width, inner, kernel = c.hidden_size, c.intermediate_size, c.conv_kernel_size
    heads = max(c.num_attention_heads // c.head_ratio, 1)
    head_dim = width // heads // 2
    half = heads * head_dim
    drop = dropped(c, "hidden_dropout_prob")
    name = "attention.self"
    mlp: tuple[Part, ...] = (bert_mlp(c),)
    if c.num_groups > 1:
        mlp = (
            GroupedLinear("intermediate.dense", width, inner, c.num_groups),
            Activation("activation", inner, component="mlp"),
            GroupedLinear("output.dense", inner, width, c.num_groups),
        )
    parts: tuple[Part, ...] = (
        *(Linear(f"{name}.{n}", width, half, True, component="attention") for n in ("query", "key", "value")),
        TokenConvolution(f"{name}.key_conv_attn_layer.depthwise", width, width, kernel, width, bias=False),
        TokenConvolution(f"{name}.key_conv_attn_layer.pointwise", width, half, 1, bias=False),
        VectorWeights(f"{name}.key_conv_attn_layer", (("bias", (half, 1)),)),
        Linear(f"{name}.conv_kernel_layer", half, heads * kernel, True, component="attention"),
        Linear(f"{name}.conv_out_layer", width, half, True, component="attention"),
        DynamicConvolution(f"{name}.convolution", half, kernel),
        attention_core(c, heads, head_dim),
        Linear("attention.output.dense", width, width, True, component="attention"),
        Residual("mixer_residual", width, drop),
        layer_norm("attention.output.LayerNorm", width),
        *mlp,
        Residual("channel_residual", width, drop),
        layer_norm("output.LayerNorm", width),
    )
    size: int = c.embedding_size
    lm = lm_head(
        c,
        "",
        dense="generator_predictions.dense",
        norm="generator_predictions.LayerNorm",
        decoder="generator_lm_head",
        bias=None,
        size=size,
    )
    tops = Heads(
        "convbert",
        lm,
        pooler="",
        dense=("classifier.dense", "classifier.out_proj"),
        choice=("sequence_summary.summary", "classifier"),
    )
    before = projected(c, size, embeddings(c, size=size))
    return encoder(c, Layer("attention and convolution", parts), before, tops, causal=False)


@family("mobilebert")
def mobilebert(c: Config) -> Blueprint:
    """MobileBERT (arXiv:2004.02984): bottlenecks around narrow layers with several MLPs, a token's embedding beside its
    neighbours', and a head that completes the narrow embedding."""
    width, size, inner = c.hidden_size, c.embedding_size, c.intermediate_size
    bottleneck = c.flag("use_bottleneck")
    narrow: int = c.intra_bottleneck_size if bottleneck else width
    norm = "layer" if c.get("normalization_type") == "layer_norm" else "scale"
    drop = dropped(c, "hidden_dropout_prob")

    def narrowed(name: str) -> tuple[Part, ...]:
        return (
            Linear(f"{name}.dense", width, narrow, True, component="attention"),
            Norm(f"{name}.LayerNorm", narrow, norm, True),
        )

    def mlp(name: str) -> tuple[Part, ...]:
        return (
            Linear(f"{name}intermediate.dense", narrow, inner, True, component="mlp"),
            Activation(f"{name}activation", inner, component="mlp"),
            Linear(f"{name}output.dense", inner, narrow, True, component="mlp"),
            Residual(f"{name}residual", narrow, drop),
            Norm(f"{name}output.LayerNorm", narrow, norm, True),
        )

    parts: list[Part] = []
    values = width
    if bottleneck:
        parts += narrowed("bottleneck.input")
        if c.flag("use_bottleneck_attention"):
            values = narrow
        if c.flag("key_query_shared_bottleneck"):
            shared = narrowed("bottleneck.attention")
            if values == narrow != width:
                # All three read the first bottleneck; the second is held.
                scale = (("weight", (narrow,)), ("bias", (narrow,)))
                shared = (
                    Idle("bottleneck.attention", (("dense", (narrow, width)),), bias=True),
                    VectorWeights("bottleneck.attention.LayerNorm", scale, component="norm"),
                )
            parts += shared
    heads: int = c.num_attention_heads
    head_dim = narrow // heads
    parts += [
        Linear("attention.self.query", narrow, heads * head_dim, True, component="attention"),
        Linear("attention.self.key", narrow, heads * head_dim, True, component="attention"),
        Linear("attention.self.value", values, heads * head_dim, True, component="attention"),
        attention_core(c, heads, head_dim),
        Linear("attention.output.dense", narrow, narrow, True, component="attention"),
        Residual("mixer_residual", narrow, drop),
        Norm("attention.output.LayerNorm", narrow, norm, True),
    ]
    for i in range(times(c.num_feedforward_networks - 1)):
        parts += mlp(f"ffn.{i}.")
    parts += mlp("")
    if bottleneck:
        parts += [
            Linear("output.bottleneck.dense", narrow, width, True, component="mlp"),
            Residual("channel_residual", width, drop),
            Norm("output.bottleneck.LayerNorm", width, norm, True),
        ]
    joined = 3 * size if c.flag("trigram_input") else size
    into: Part = Linear("embeddings.embedding_transformation", joined, width, True)
    if joined == size == width:
        into = Idle("embeddings", (("embedding_transformation", (width, joined)),), bias=True, component="embedding")
    before: list[Part] = [
        Embedding("embeddings.word_embeddings", c.vocab_size, size),
        into,
        Positions("embeddings.position_embeddings", c.max_position_embeddings, width),
        Positions("embeddings.token_type_embeddings", c.type_vocab_size, width),
        Norm("embeddings.LayerNorm", width, norm, True),
    ]
    transform, _, *rest = lm_head(c)
    (_, decoder, *_) = lm_head(c, size=size)
    # The embedding stands for the first features, a matrix of its own for the others.
    others = Positioned("others", (Linear("cls.predictions.dense", c.vocab_size, width - size, component="head"),))
    tops = Heads(
        "mobilebert",
        (transform, others, decoder, *rest),
        pooler="pooler.dense" if c.flag("classifier_activation") else "",
    )
    return encoder(c, Layer("full attention", tuple(parts)), before, tops, causal=False)


FOURIER = "The Fourier transforms' own FLOPs, which are no matrix products, are not counted."


@family("fnet")
def fnet(c: Config) -> Blueprint:
    """FNet (arXiv:2105.03824): Fourier transforms over tokens and features in place of attention."""
    width: int = c.hidden_size
    mixer = Activation("fourier.transform", width, component="attention")
    layer = bert_layer(c, mixer=mixer, norms=("fourier.output.LayerNorm", "output.LayerNorm"), kind="Fourier transform")
    before = [*embeddings(c), Linear("embeddings.projection", width, width, True)]
    tops = Heads("fnet", lm_head(c), pooled=POOLED | {"lm", "token", "answer"})
    return encoder(c, layer, before, tops, causal=False, notes=(FOURIER,))
