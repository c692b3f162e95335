"""XLNet (arXiv:1906.08237)."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.encoders.common import Heads, Parts, bert_layer, bert_mlp, encoder, pooled
from calculator.families.fields import dropped, head_shape, label_count, renamed
from calculator.families.registry import Blueprint, family
from calculator.parts import Embedding, Head, RelativeAttention, VectorWeights


@family("xlnet")
def xlnet(c: Config) -> Blueprint:
    """Relative positions of Transformer-XL, no limit on the length. One stream runs: the second, which predicts in
    permuted order, is a matter of its pretraining."""
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    c = renamed(c, intermediate_size="d_inner", hidden_dropout_prob="dropout")
    mixer = RelativeAttention(
        "rel_attn", width, heads, head_dim, one_way=c.get("attn_type") == "uni", dropout=dropped(c, "dropout")
    )
    layer = bert_layer(
        c,
        mixer=mixer,
        channel=bert_mlp(c, up="ff.layer_1", down="ff.layer_2"),
        norms=("rel_attn.layer_norm", "ff.layer_norm"),
    )
    before = (
        Embedding("word_embedding", c.vocab_size, width),
        VectorWeights("", (("mask_emb", (1, 1, width)),), component="embedding"),
    )
    summary: Parts = ()
    if c.get("summary_use_proj") is not False:
        summary = (pooled("sequence_summary.summary", width, width),)
    lm = (Head("lm_loss", c.vocab_size, width, tied=c.flag("tie_word_embeddings"), bias=True),)
    own: dict[str, Parts] = {
        kind: (*summary, pooled("logits_proj", width, outputs, activated=False))
        for kind, outputs in (("sequence", label_count(c)), ("choice", 1))
    }
    return encoder(c, layer, before, Heads("transformer", lm, pooler="", own=own), path="layer", causal=False)
