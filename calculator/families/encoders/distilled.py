"""BERT made smaller: DistilBERT with half the layers, ALBERT with one layer's weights for all."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.encoders.common import (
    Heads,
    bert_attention,
    bert_layer,
    bert_mlp,
    embeddings,
    encoder,
    lm_head,
    pooled,
)
from calculator.families.fields import label_count, renamed
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import Elsewhere, Linear, Names, Part


@family("distilbert")
def distilbert(c: Config) -> Blueprint:
    """DistilBERT (arXiv:1910.01108): no kinds of segment, no pooler."""
    c = renamed(
        c,
        intermediate_size="hidden_dim",
        hidden_dropout_prob="dropout",
        attention_probs_dropout_prob="attention_dropout",
    )
    attention = bert_attention(c, names=Names(query="q_lin", key="k_lin", value="v_lin", out="out_lin"))
    layer = bert_layer(
        c,
        mixer=attention,
        channel=bert_mlp(c, up="ffn.lin1", down="ffn.lin2"),
        norms=("sa_layer_norm", "output_layer_norm"),
    )
    lm = lm_head(c, "", dense="vocab_transform", norm="vocab_layer_norm", decoder="vocab_projector", bias=None)
    classes = ("pre_classifier", "classifier")
    heads = Heads("distilbert", lm, pooler="", dense=classes, choice=classes)
    return encoder(c, layer, embeddings(c, types=False), heads, path="transformer.layer", causal=False)


@family("albert")
def albert(c: Config) -> Blueprint:
    """ALBERT (arXiv:1909.11942): num_hidden_groups sets of weights, each run by several layers; narrow embeddings.

    The layers that hold their weights are listed first, since a group's index is part of its tensors' names.
    """
    width, size = c.hidden_size, c.embedding_size
    inner = range(times(c.inner_group_num))
    parts: list[Part] = []
    for i in inner:
        name = f"albert_layers.{i}"
        attention = bert_attention(
            c, f"{name}.attention", names=Names(query="query", key="key", value="value", out="dense")
        )
        mlp = bert_mlp(c, up=f"{name}.ffn", down=f"{name}.ffn_output")
        norms = (f"{name}.attention.LayerNorm", f"{name}.full_layer_layer_norm")
        parts += bert_layer(c, mixer=attention, channel=mlp, norms=norms).parts
    groups, count = c.num_hidden_groups, c.num_hidden_layers
    used = {int(i / (count / groups)) for i in range(times(count))}
    owner, kind = tuple(parts), "full attention"
    again = Layer(kind, tuple(Elsewhere(p.name, p) for p in owner))
    idle = Layer(kind, tuple(Elsewhere(p.name, p, held=True) for p in owner))
    layers = [Layer(kind, owner) if g in used else idle for g in range(times(groups))] + [again] * times(
        count - len(used)
    )
    lm = lm_head(c, "predictions", dense="dense", norm="LayerNorm", size=size)
    order = pooled("sop_classifier.classifier", width, label_count(c), activated=False)
    heads = Heads("albert", lm, pooler="pooler", own={"pretraining": (*lm, order)})
    before = [*embeddings(c, size=size), Linear("encoder.embedding_hidden_mapping_in", size, width, True)]
    return encoder(c, layers, before, heads, path="encoder.albert_layer_groups", causal=False)
