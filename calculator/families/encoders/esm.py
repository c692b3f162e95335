"""ESM (doi:10.1126/science.ade2574), protein language models, and I-BERT."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.encoders.common import bert_attention, bert_layer, embeddings, encoder
from calculator.families.encoders.roberta import roberta_heads, usable_positions
from calculator.families.fields import head_shape
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.parts import Head, Idle, Part
from calculator.parts.base import check


@family("esm")
def esm(c: Config) -> Blueprint:
    """Norms before each half, rotary or learned positions, no kinds of segment; a head for contacts between residues,
    which no pass here runs, reads the attention of all layers."""
    check(not c.flag("is_folding_model"), f"{c.where} describes ESMFold; only its language model (ESM) is known here.")
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    rotary = c.get("position_embedding_type") == "rotary"
    before: list[Part] = embeddings(c, positions=0 if rotary else c.max_position_embeddings, types=False, norm=False)
    if c.flag("emb_layer_norm_before"):
        before.append(layer_norm("embeddings.layer_norm", width))
    layer = bert_layer(
        c,
        mixer=bert_attention(c, rotary=head_dim if rotary else 0),
        norms=("attention.LayerNorm", "LayerNorm"),
        pre=True,
        crossed="crossattention.LayerNorm",
    )
    contacts = Idle("contact_head", (("regression", (1, c.num_hidden_layers * heads)),), bias=True, component="head")
    tops = roberta_heads(c, root="esm", pooled=frozenset(("model",)))
    # The bias is one of its own, tied or not.
    tied = c.flag("tie_word_embeddings")
    head = Head("lm_head.decoder", c.vocab_size, width, tied=tied, bias=True, bias_name="lm_head.bias")
    tops = replace(tops, lm=(tops.lm[0], head))
    after = (layer_norm("encoder.emb_layer_norm_after", width), contacts)
    return encoder(c, layer, before, tops, after=after)


@family("ibert")
def ibert(c: Config) -> Blueprint:
    """I-BERT (arXiv:2101.01321): RoBERTa with integer arithmetic; its scales are buffers."""
    tops = roberta_heads(c, root="ibert")
    return encoder(c, bert_layer(c), embeddings(c), tops, causal=False, context=usable_positions(c))
