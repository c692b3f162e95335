"""Decoders of before or beside Llama: GPT, CTRL, GPT-NeoX Japanese, BioGPT, MPT and Persimmon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    blueprint,
    decoder,
    dropped,
    family,
    language_model,
    pre_norm,
    rotary_size,
)
from calculator.families.shared import partly_rotated
from calculator.model import Layer
from calculator.parts import MLP, Attention, Norm, Positions, Residual, VectorWeights


@family("openai-gpt")
def openai_gpt(c: Config) -> Blueprint:
    """The first GPT: norms after each addition, none at the end."""
    width: int = c.hidden_size
    drop = dropped(c, "resid_pdrop")
    attention = whole_heads(c, "attn", fused="c_attn", out="c_proj", dropout=dropped(c, "attn_pdrop"))
    mlp = MLP("mlp", width, 4 * width, gated=False, bias=True, up="c_fc", down="c_proj")
    norms = [Norm(name, width, "layer", True) for name in ("ln_1", "ln_2")]
    adds = [Residual(name, width, drop) for name in ("mixer_residual", "channel_residual")]
    layer = Layer("full attention", (attention, adds[0], norms[0], mlp, adds[1], norms[1]))
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.h",
        embedding="transformer.tokens_embed",
        before=(Positions("transformer.positions_embed", c.max_position_embeddings, width),),
    )
    return blueprint(c, replace(text, after=text.after[1:]))


def whole_heads(c: Config, name: str, *, bias: bool = True, **changes: Any) -> Attention:
    """As many key and value heads as query heads, which together are as wide as the model."""
    width, heads = c.hidden_size, c.num_attention_heads
    options: dict[str, Any] = {"qkv_bias": bias, "out_bias": bias, **changes}
    return Attention(name, width, heads, heads, width // heads, **options)


@family("ctrl")
def ctrl(c: Config) -> Blueprint:
    """Sinusoidal positions, a head with a bias (arXiv:1909.05858)."""
    attention = whole_heads(c, "multi_head_attention", query="Wq", key="Wk", value="Wv", out="dense")
    mlp = MLP("ffn", c.hidden_size, c.dff, gated=False, bias=True, up="0", down="2")
    layer = pre_norm(
        c,
        attention,
        mlp,
        kind="full attention",
        norm="layer",
        bias=True,
        names=("layernorm1", "layernorm2"),
        dropout=dropped(c, "resid_pdrop"),
    )
    return decoder(
        c,
        layer,
        path="transformer.h",
        embedding="transformer.w",
        final="transformer.layernorm",
        norm="layer",
        norm_bias=True,
        head_bias=True,
    )


@family("biogpt")
def biogpt(c: Config) -> Blueprint:
    """GPT-2's blocks under fairseq's names, whose positions are stored with an offset of 2."""
    attention = whole_heads(c, "self_attn", out="out_proj", dropout=dropped(c, "attention_probs_dropout_prob"))
    mlp = MLP("", c.hidden_size, c.intermediate_size, gated=False, bias=True, up="fc1", down="fc2")
    layer = pre_norm(
        c,
        attention,
        mlp,
        kind="full attention",
        norm="layer",
        bias=True,
        names=("self_attn_layer_norm", "final_layer_norm"),
        dropout=dropped(c, "hidden_dropout_prob"),
    )
    return decoder(
        c,
        layer,
        path="biogpt.layers",
        embedding="biogpt.embed_tokens",
        final="biogpt.layer_norm",
        head="output_projection",
        norm="layer",
        norm_bias=True,
        before=(Positions("biogpt.embed_positions", c.max_position_embeddings + 2, c.hidden_size),),
    )


@family("gpt_neox_japanese")
def gpt_neox_japanese(c: Config) -> Blueprint:
    """GPT-NeoX without biases, but for the last layer's attention."""
    width, heads = c.hidden_size, c.num_attention_heads
    attention = whole_heads(
        c,
        "attention",
        bias=False,
        fused="query_key_value",
        out="dense",
        rotary=rotary_size(c, width // heads),
        dropout=dropped(c, "attention_dropout"),
    )
    inner = int(width * c.intermediate_multiple_size)
    mlp = MLP("mlp", width, inner, gated=False, up="dense_h_to_4h", down="dense_4h_to_h")
    layer = pre_norm(
        c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=dropped(c, "hidden_dropout")
    )
    norm, mixer, *rest = layer.parts
    bias = VectorWeights("attention", (("dense_bias", (width,)),))
    last = replace(layer, kind="full attention with a bias", parts=(norm, mixer, bias, *rest))
    return decoder(
        c,
        [layer] * (c.num_hidden_layers - 1) + [last],
        path="gpt_neox_japanese.layers",
        embedding="gpt_neox_japanese.embed_in",
        final="gpt_neox_japanese.final_layer_norm",
        head="embed_out",
        norm="layer",
        norm_bias=True,
    )


@family("persimmon")
def persimmon(c: Config) -> Blueprint:
    """Half of each head rotated, LayerNorms on queries and keys, a plain MLP with squared ReLU."""
    width, heads = c.hidden_size, c.num_attention_heads
    attention = whole_heads(
        c,
        "self_attn",
        fused="query_key_value",
        out="dense",
        rotary=partly_rotated(c, width // heads, 0.5),
        head_norm="layer" if c.flag("qk_layernorm") else None,
        norm_names=("q_layernorm", "k_layernorm"),
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="dense_h_to_4h", down="dense_4h_to_h")
    layer = pre_norm(
        c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=dropped(c, "hidden_dropout")
    )
    return decoder(c, layer, final="model.final_layernorm", norm="layer", norm_bias=True)


@family("mpt")
def mpt(c: Config) -> Blueprint:
    """No biases, not even in the norms, and ALiBi positions; replit-code-v1_5 has grouped heads."""
    width, heads = c.hidden_size, c.num_attention_heads
    settings = c.section("attn_config")
    drop = dropped(settings, "attn_pdrop")
    grouped = settings.get("attn_type") == "grouped_query_attention"
    attention = Attention(
        "attn",
        width,
        heads,
        settings.kv_n_heads if grouped else heads,
        width // heads,
        fused="Wqkv",
        out="out_proj",
        dropout=drop,
    )
    # Every published size has the expansion ratio 4, and transformers knows no other.
    mlp = MLP("ffn", width, 4 * width, gated=False)
    layer = pre_norm(c, attention, mlp, kind="full attention", norm="layer", names=("norm_1", "norm_2"), dropout=drop)
    return decoder(
        c,
        layer,
        path="transformer.blocks",
        embedding="transformer.wte",
        final="transformer.norm_f",
        norm="layer",
    )
