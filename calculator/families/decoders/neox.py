"""LayerNorm before each half, rotary or ALiBi positions: GPT-NeoX's kind, one half after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.decoders.gpt import whole_heads
from calculator.families.fields import attention_kind, dropped, head_shape, partly_rotated, rotary_size
from calculator.families.layers import gated_mlp, pre_norm, self_attention
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.parts import MLP, Attention, VectorWeights


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


@family("starcoder2")
def starcoder2(c: Config) -> Blueprint:
    window, bias = c.get("sliding_window"), c.flag("use_bias")
    attention = self_attention(c, window=window, qkv_bias=bias, out_bias=bias)
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=bias, up="c_fc", down="c_proj")
    layer = pre_norm(
        c, attention, mlp, kind=attention_kind(window), norm="layer", bias=True, dropout=dropped(c, "residual_dropout")
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm="layer", norm_bias=True))


@family("orion")
def orion(c: Config) -> Blueprint:
    """Llama with LayerNorm (arXiv:2401.12246)."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention", norm="layer", bias=True)
    return decoder(c, layer, norm="layer", norm_bias=True)


@family("phi3small")
def phi3small(c: Config) -> Blueprint:
    """LayerNorm and biases; every other layer's attention is sparse in blocks (arXiv:2404.14219, section 2)."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        fused="query_key_value",
        out="dense",
        qkv_bias=True,
        out_bias=True,
        dropout=dropped(c, "attention_dropout_prob"),
    )
    mlp = MLP("mlp", width, c.ff_intermediate_size, bias=True, fused="up_proj")
    drop = dropped(c, "ffn_dropout_prob")
    layer = pre_norm(c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=drop)
    period = c.get("dense_attention_every_n_layers") or 1
    told = (
        f"Only every {period}th layer attends to all tokens; the others, whose attention is sparse in blocks, are "
        "priced as if they did too."
    )
    return decoder(
        c,
        layer,
        final="model.final_layernorm",
        norm="layer",
        norm_bias=True,
        tied=tied_unless_stated(c),
        notes=(told,) if period > 1 else (),
    )


def tied_unless_stated(c: Config) -> bool:
    """Whether the head is the embedding, where the configuration class says so unless the file does not."""
    return c.get("tie_word_embeddings") is None or c.flag("tie_word_embeddings")


@family("jais2")
def jais2(c: Config) -> Blueprint:
    """Llama with LayerNorm, and a plain MLP with squared ReLU."""
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=c.flag("mlp_bias"))
    layer = pre_norm(c, self_attention(c), mlp, kind="full attention", norm="layer", bias=True)
    return decoder(c, layer, norm="layer", norm_bias=True)


@family("arcee", "nemotron")
def arcee(c: Config) -> Blueprint:
    """A plain MLP with squared ReLU; Nemotron-4 has LayerNorm and rotates half of each head."""
    older = c.model_type == "nemotron"
    norm = "layer" if older else "rms"
    rotary: dict[str, Any] = {"rotary": partly_rotated(c, head_shape(c)[2], 0.5)} if older else {}
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=c.flag("mlp_bias"))
    layer = pre_norm(c, self_attention(c, **rotary), mlp, kind="full attention", norm=norm, bias=older)
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm=norm, norm_bias=older))
