"""DeBERTa (arXiv:2006.03654) and DeBERTa-v2 and v3 (arXiv:2111.09543): disentangled attention."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.encoders.common import Heads, bert_layer, embeddings, encoder, lm_head
from calculator.families.fields import dropped, head_shape
from calculator.families.layers import layer_norm
from calculator.families.registry import Blueprint, family
from calculator.parts import DisentangledAttention, DistanceTable, Linear, Part, TokenConvolution


def distances(c: Config, *, buckets: bool) -> int:
    """Distances to either side that have an embedding; 0 without relative attention."""
    if not c.flag("relative_attention"):
        return 0
    if buckets and (c.get("position_buckets") or -1) > 0:
        return int(c["position_buckets"])
    longest = c.get("max_relative_positions")
    return int(longest) if longest is not None and longest > 0 else int(c.max_position_embeddings)


def position_types(c: Config) -> list[str]:
    """pos_att_type, which older configs write as "c2p|p2c"."""
    stated = c.get("pos_att_type") or []
    return [t.strip() for t in stated.lower().split("|")] if isinstance(stated, str) else list(stated)


def deberta_embeddings(c: Config, size: int) -> list[Part]:
    """Positions only with position_biased_input, kinds of segment only where there are any; the norm comes after the
    projection."""
    positions = c.max_position_embeddings if c.flag("position_biased_input") else 0
    types = c.type_vocab_size > 0
    found = embeddings(c, size=size, positions=positions, types=types, norm=False)
    if size != c.hidden_size:
        found.append(Linear("embeddings.embed_proj", size, c.hidden_size))
    return [*found, layer_norm("embeddings.LayerNorm", c.hidden_size)]


def deberta_heads(c: Config, size: int) -> Heads:
    """The legacy head is BERT's; the other one multiplies with the embedding itself."""
    if c.flag("legacy"):
        lm = lm_head(c, size=size)
    else:
        lm = lm_head(c, "lm_predictions.lm_head", dense="dense", norm="LayerNorm", size=size, tied=True)
    classes = ("pooler.dense", "classifier")
    return Heads("deberta", lm, pooler="", dense=classes, choice=classes)


@family("deberta", "deberta-v2")
def deberta(c: Config) -> Blueprint:
    """The second version projects queries, keys and values apart, puts distant positions in buckets, and may convolve
    the first layer's input."""
    second = c.model_type == "deberta-v2"
    heads, _, head_dim = head_shape(c)
    width: int = c.hidden_size
    size: int = c.embedding_size if c.get("embedding_size") is not None else width
    span, types = distances(c, buckets=second), position_types(c)
    attention = DisentangledAttention(
        "attention",
        width,
        heads,
        head_dim,
        span,
        to_position="c2p" in types,
        from_position="p2c" in types,
        clipped=not second,
        shared=second and c.flag("share_att_key"),
        packed=not second,
        talking=not second and c.flag("talking_head"),
        dropout=dropped(c, "attention_probs_dropout_prob"),
    )
    before = deberta_embeddings(c, size)
    normed = second and "layer_norm" in str(c.get("norm_rel_ebd") or "none").lower()
    if span:
        before.append(DistanceTable("encoder", span, width, normed))
    elif normed:
        before.append(layer_norm("encoder.LayerNorm", width))
    if second and (c.get("conv_kernel_size") or 0) > 0:
        groups = c.get("conv_groups") or 1
        before += [
            TokenConvolution("encoder.conv.conv", width, width, int(c["conv_kernel_size"]), groups),
            layer_norm("encoder.conv.LayerNorm", width),
        ]
    return encoder(c, bert_layer(c, mixer=attention), before, deberta_heads(c, size), causal=False)
