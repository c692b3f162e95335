"""XLM (arXiv:1901.07291) and FlauBERT (arXiv:1912.05372)."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.encoders.common import Heads, Parts, bert_attention, bert_layer, bert_mlp, encoder, pooled
from calculator.families.fields import label_count, renamed
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.parts import Embedding, Head, Names, Part, Positions
from calculator.parts.base import check


def summary(c: Config) -> Parts:
    """The projection of one token that these types classify sequences with, as wide as there are classes."""
    if c.get("summary_use_proj") is False:
        return ()
    return (pooled("sequence_summary.summary", c.hidden_size, label_count(c), activated=False),)


@family("xlm", "flaubert")
def xlm(c: Config) -> Blueprint:
    """The modules of all layers are numbered by kind: attentions.0, ffns.0. The MLPs are four times as wide."""
    check(
        c.flag("is_encoder") and not c.flag("asm"),
        f"{c.where} asks for a decoder or an adaptive softmax (is_encoder, asm); no {c.model_type} is built so.",
    )
    width: int = c.hidden_size
    c = renamed(c, hidden_dropout_prob="dropout", attention_probs_dropout_prob="attention_dropout")
    c = c.read_as(intermediate_size=4 * width)
    attention = bert_attention(
        c, "attentions.{}", names=Names(query="q_lin", key="k_lin", value="v_lin", out="out_lin")
    )
    layer = bert_layer(
        c,
        mixer=attention,
        channel=bert_mlp(c, up="ffns.{}.lin1", down="ffns.{}.lin2"),
        norms=("layer_norm1.{}", "layer_norm2.{}"),
        pre=c.flag("pre_norm"),
    )
    before: list[Part] = [
        Embedding("embeddings", c.vocab_size, width),
        Positions("position_embeddings", c.max_position_embeddings, width),
        layer_norm("layer_norm_emb", width),
    ]
    if c.n_langs > 1 and c.flag("use_lang_emb"):
        before.insert(2, Positions("lang_embeddings", c.n_langs, width))
    lm: Parts = (Head("pred_layer.proj", c.vocab_size, width, tied=c.flag("tie_word_embeddings"), bias=True),)
    found = summary(c)
    own: dict[str, Parts] = {
        "sequence": found,
        "choice": (*found, pooled("logits_proj", label_count(c), 1, activated=False)),
    }
    heads = Heads("transformer", lm, pooler="", own=own)
    return encoder(c, layer, before, heads, path="layers", causal=c.flag("causal"))
