"""RoBERTa (arXiv:1907.11692) and its descendants: no pooler, a two-layer classifier, positions behind a padding id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError, shown
from calculator.families.encoders.common import Heads, bert_layer, embeddings, encoder, roberta_head
from calculator.families.fields import dropped
from calculator.families.layers import layer_norm, plain_mlp
from calculator.families.registry import Blueprint, family
from calculator.parts import Idle, Norm, Residual

ROOTS = {"data2vec-text": "data2vec_text", "roberta-prelayernorm": "roberta_prelayernorm"}
DENSE = ("classifier.dense", "classifier.out_proj")
MODEL_AND_CHOICE = frozenset(("model", "choice"))


def roberta_heads(c: Config, **changes: Any) -> Heads:
    """The heads by RoBERTa's names; only the bare model and multiple choice keep a pooler."""
    heads = Heads(ROOTS.get(c.model_type, "roberta"), roberta_head(c), pooled=MODEL_AND_CHOICE, dense=DENSE)
    return replace(heads, **changes)


def usable_positions(c: Config) -> int:
    """Tokens that the position table has room for: RoBERTa counts on from the padding token's id."""
    padding = c.get("pad_token_id")
    return int(c.max_position_embeddings) - (1 if padding is None else int(padding)) - 1


@family("roberta", "xlm-roberta", "camembert", "data2vec-text")
def roberta(c: Config) -> Blueprint:
    return encoder(c, bert_layer(c), embeddings(c), roberta_heads(c), context=usable_positions(c))


@family("roberta-prelayernorm")
def roberta_prelayernorm(c: Config) -> Blueprint:
    """Norms before each half and after the last layer (EfficientMLM, arXiv:2202.08005)."""
    norms = ("attention.LayerNorm", "intermediate.LayerNorm")
    layer = bert_layer(c, norms=norms, pre=True, crossed="crossattention.LayerNorm")
    final = layer_norm("LayerNorm", c.hidden_size)
    return encoder(c, layer, embeddings(c), roberta_heads(c), after=(final,), context=usable_positions(c))


@family("xlm-roberta-xl")
def xlm_roberta_xl(c: Config) -> Blueprint:
    """Norms before each half, none on the embeddings (arXiv:2105.00572)."""
    norms = ("attention.self_attn_layer_norm", "LayerNorm")
    layer = bert_layer(c, norms=norms, pre=True, crossed="crossattention.self_attn_layer_norm")
    final = layer_norm("encoder.LayerNorm", c.hidden_size)
    before = embeddings(c, norm=False)
    return encoder(c, layer, before, roberta_heads(c), after=(final,), context=usable_positions(c))


@family("xmod")
def xmod(c: Config) -> Blueprint:
    """X-MOD (arXiv:2205.06266): behind each MLP an adapter for every language, of which a text runs through its own."""
    width: int = c.hidden_size
    inner = width // c.adapter_reduction_factor
    languages = _languages(c)
    layer = bert_layer(c, norms=("attention.output.LayerNorm", "output.LayerNorm"), pre=c.flag("pre_norm"))
    adapter = plain_mlp(c, f"output.adapter_modules.{languages[0]}", inner, up="dense1", down="dense2")
    others = tuple(
        pair
        for name in languages[1:]
        for pair in ((f"{name}.dense1", (inner, width)), (f"{name}.dense2", (width, inner)))
    )
    parts = list(layer.parts)
    place = next(i for i, p in enumerate(parts) if p.name == "channel_residual") + 1
    added = [adapter, Residual("adapter_residual", width, dropped(c, "hidden_dropout_prob"))]
    if c.flag("adapter_layer_norm"):
        added.insert(0, layer_norm("output.adapter_layer_norm", width))
    elif c.flag("adapter_reuse_layer_norm"):
        # The layer's second norm once more; its scale is held there.
        added.insert(0, Norm("output.adapter_norm", width, "layer", affine=False))
    if others:
        added.append(Idle("output.adapter_modules", others, bias=True, component="mlp"))
    parts[place:place] = added
    final = (layer_norm("encoder.LayerNorm", width),) if c.flag("pre_norm") else ()
    layer = replace(layer, parts=tuple(parts))
    return encoder(c, layer, embeddings(c), roberta_heads(c), after=final, context=usable_positions(c))


def _languages(c: Config) -> list[str]:
    """Names of the adapters, each of which is there once.

    Raises:
        ConfigError: they are no list of names.
    """
    stated = c.get("languages") or ["en_XX"]
    if not isinstance(stated, list | tuple) or not all(isinstance(name, str) and name for name in stated):
        raise ConfigError(f"languages in {c.where} is {shown(stated)}; it must be a list of names.")
    return list(dict.fromkeys(stated))
