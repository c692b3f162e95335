"""BERT with cheaper attention: BigBird, Nyströmformer, SqueezeBERT."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.encoders.common import (
    POOLED,
    Heads,
    attention_core,
    bert_attention,
    bert_layer,
    embeddings,
    encoder,
    lm_head,
)
from calculator.families.fields import dropped, head_shape
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import (
    Activation,
    Biases,
    BlockSparseAttention,
    LandmarkAttention,
    Linear,
    Part,
    Residual,
    TokenConvolution,
)


@family("big_bird")
def big_bird(c: Config) -> Blueprint:
    """BigBird (arXiv:2007.14062): as a decoder it attends in full, as BERT does."""
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    bias = c.flag("use_bias")
    mixer: Part = bert_attention(c, biases=Biases(qkv=bias, out=True))
    if c.get("attention_type") == "block_sparse" and not c.flag("is_decoder"):
        mixer = BlockSparseAttention("attention", width, heads, head_dim, c.block_size, c.num_random_blocks, bias)
    root = "qa_classifier"
    answer: tuple[Part, ...] = (
        Linear(f"{root}.intermediate.dense", width, c.intermediate_size, True, component="head"),
        Activation(f"{root}.activation", c.intermediate_size),
        Linear(f"{root}.output.dense", c.intermediate_size, width, True, component="head"),
        layer_norm(f"{root}.output.LayerNorm", width),
        Linear(f"{root}.qa_outputs", width, 2, True, component="head"),
    )
    tops = Heads(
        "bert",
        lm_head(c),
        pooler="pooler",
        pooled=POOLED | {"lm", "token"},
        unread=frozenset(("lm", "token", "sequence")),
        dense=("classifier.dense", "classifier.out_proj"),
        own={"answer": answer},
    )
    return encoder(c, bert_layer(c, mixer=mixer), embeddings(c), tops)


@family("nystromformer")
def nystromformer(c: Config) -> Blueprint:
    """Nyströmformer: as many landmarks as the segment has tokens is full attention. Two more positions than stated."""
    heads, _, head_dim = head_shape(c)
    landmarks = 0 if c.num_landmarks == c.segment_means_seq_len else c.num_landmarks
    kernel = c.get("conv_kernel_size") or 0
    mixer = LandmarkAttention("attention", c.hidden_size, heads, head_dim, landmarks, kernel)
    tops = Heads(
        "nystromformer",
        lm_head(c),
        pooler="",
        dense=("classifier.dense", "classifier.out_proj"),
        choice=("pre_classifier", "classifier"),
        answers=2,
    )
    before = embeddings(c, positions=c.max_position_embeddings + 2)
    return encoder(c, bert_layer(c, mixer=mixer, crossed=None), before, tops, causal=False)


@family("squeezebert")
def squeezebert(c: Config) -> Blueprint:
    """SqueezeBERT (arXiv:2006.11316): every projection is a convolution of one token in groups."""
    width, inner = c.hidden_size, c.intermediate_size
    heads, _, head_dim = head_shape(c)
    drop = dropped(c, "hidden_dropout_prob")
    named = (("query", c.q_groups), ("key", c.k_groups), ("value", c.v_groups))
    parts: tuple[Part, ...] = (
        *(TokenConvolution(f"attention.{n}", width, width, 1, groups) for n, groups in named),
        attention_core(c, heads, head_dim),
        TokenConvolution("post_attention.conv1d", width, width, 1, c.post_attention_groups),
        Residual("mixer_residual", width, drop),
        layer_norm("post_attention.layernorm", width),
        TokenConvolution("intermediate.conv1d", width, inner, 1, c.intermediate_groups, component="mlp"),
        Activation("intermediate.activation", inner, component="mlp"),
        TokenConvolution("output.conv1d", inner, width, 1, c.output_groups, component="mlp"),
        Residual("channel_residual", width, drop),
        layer_norm("output.layernorm", width),
    )
    tops = Heads("transformer", lm_head(c), pooled=POOLED | {"lm", "token", "answer"})
    return encoder(c, Layer("full attention", parts), embeddings(c), tops, path="encoder.layers", causal=False)
