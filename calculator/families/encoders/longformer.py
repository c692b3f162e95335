"""Longformer (arXiv:2004.05150) and LUKE (arXiv:2010.01057): RoBERTa for long texts, and for entities beside words."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.encoders.common import POOLED, bert_layer, embeddings, encoder, head_kind
from calculator.families.encoders.roberta import roberta_heads, usable_positions
from calculator.families.fields import head_shape
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.parts import Head, Idle, Part, VectorWeights, WindowAttention
from calculator.parts.base import check

GLOBAL = "Global attention runs for the first token of a classifier; what other tasks give to tokens is not counted."
ENTITIES = "The workload has no entities: what embeds and predicts them is held and not run."


@family("longformer")
def longformer(c: Config) -> Blueprint:
    """A window in every layer, one for all or one each."""
    heads, _, head_dim = head_shape(c)
    stated = c.listed("attention_window")
    windows = stated if isinstance(stated, list) else [stated] * times(c.num_hidden_layers)
    check(
        len(windows) == c.num_hidden_layers,
        f"attention_window in {c.where} has {len(windows)} entries for {c.num_hidden_layers} layers.",
    )
    first = int(head_kind(c) == "sequence")
    mixers = [WindowAttention("attention", c.hidden_size, heads, head_dim, w, first) for w in windows]
    layers = [bert_layer(c, mixer=mixer, kind="sliding attention") for mixer in mixers]
    tops = roberta_heads(c, root="longformer")
    context = usable_positions(c)
    return encoder(c, layers, embeddings(c), tops, causal=False, context=context, notes=(GLOBAL,))


@family("luke")
def luke(c: Config) -> Blueprint:
    """Words and entities read one another; queries depend on which of them reads which."""
    width, size, count = c.hidden_size, c.entity_emb_size, c.entity_vocab_size
    layer = bert_layer(c)
    if c.flag("use_entity_aware_attention"):
        shapes = tuple((f"{n}_query", (width, width)) for n in ("w2e", "e2w", "e2e"))
        layer = replace(layer, parts=(*layer.parts, Idle("attention.self", shapes, bias=True)))
    root = "entity_embeddings"
    tables = (
        ("entity_embeddings.weight", (count, size)),
        ("position_embeddings.weight", (c.max_position_embeddings, width)),
        ("token_type_embeddings.weight", (c.type_vocab_size, width)),
    )
    scale = (("weight", (width,)), ("bias", (width,)))
    held: list[Part] = [
        VectorWeights(root, tables, component="embedding", idle=True),
        VectorWeights(f"{root}.LayerNorm", scale, component="norm", idle=True),
    ]
    if size != width:
        held.append(Idle(root, (("entity_embedding_dense", (width, size)),), component="embedding"))
    tops = roberta_heads(c, root="luke", pooled=POOLED | {"lm"}, dense=("classifier",))
    top = "entity_predictions"
    narrow = (("weight", (size,)), ("bias", (size,)))
    tied = c.flag("tie_word_embeddings")
    # Its head has a matrix of its own; what is tied are the head's bias, and the entities' embedding.
    head: list[Part] = [tops.lm[0], Head("lm_head.decoder", c.vocab_size, width, bias=True)]
    if not tied:
        head.append(VectorWeights("lm_head", (("bias", (c.vocab_size,)),), "head", idle=True))
        head.append(Idle(top, (("decoder", (count, size)),), component="head"))
    predictions = (
        Idle(f"{top}.transform", (("dense", (size, width)),), bias=True, component="head"),
        VectorWeights(f"{top}.transform.LayerNorm", narrow, component="head", idle=True),
        VectorWeights(top, (("bias", (count,)),), component="head", idle=True),
    )
    tops = replace(tops, lm=(*head, *predictions))
    before = [*embeddings(c), *held]
    return encoder(c, layer, before, tops, causal=False, context=usable_positions(c), notes=(ENTITIES,))
