"""LayerNorm before each half, rotary or ALiBi positions."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import dropped, head_shape, partly_rotated, rotary_size
from calculator.families.layers import (
    gated_mlp,
    layer_norm,
    plain_mlp,
    pre_norm,
    self_attention,
    unbiased_norm,
    whole_heads,
)
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.parts import MLP, HeadNorms, Names, Norm, Sees, VectorWeights


@family("gpt_neox_japanese")
def gpt_neox_japanese(c: Config) -> Blueprint:
    """GPT-NeoX without biases, but for the last layer's attention."""
    width, heads = c.hidden_size, c.num_attention_heads
    attention = whole_heads(
        c,
        "attention",
        bias=False,
        names=Names(out="dense", fused="query_key_value"),
        rotary=rotary_size(c, width // heads),
        dropout=dropped(c, "attention_dropout"),
    )
    inner = int(width * c.intermediate_multiple_size)
    mlp = plain_mlp(c, "mlp", inner, bias=False, up="dense_h_to_4h", down="dense_4h_to_h")
    layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=dropped(c, "hidden_dropout"))
    bias = VectorWeights("attention", (("dense_bias", (width,)),))
    norm, mixer, *rest = layer.parts
    last = replace(layer, kind="full attention with a bias", parts=(norm, mixer, bias, *rest))
    return decoder(
        c,
        [layer] * times(c.num_hidden_layers - 1) + [last],
        path="gpt_neox_japanese.layers",
        embedding="gpt_neox_japanese.embed_in",
        final="gpt_neox_japanese.final_layer_norm",
        head="embed_out",
        norm=layer_norm,
    )


@family("persimmon")
def persimmon(c: Config) -> Blueprint:
    """Half of each head rotated, LayerNorms on queries and keys, a plain MLP with squared ReLU."""
    width, heads = c.hidden_size, c.num_attention_heads
    attention = whole_heads(
        c,
        "self_attn",
        names=Names(out="dense", fused="query_key_value"),
        rotary=partly_rotated(c, width // heads, 0.5),
        norms=HeadNorms("layer" if c.flag("qk_layernorm") else None, names=("q_layernorm", "k_layernorm")),
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = plain_mlp(c, up="dense_h_to_4h", down="dense_4h_to_h")
    layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=dropped(c, "hidden_dropout"))
    return decoder(c, layer, final="model.final_layernorm", norm=layer_norm)


@family("mpt")
def mpt(c: Config) -> Blueprint:
    """No biases, not even in the norms, and ALiBi positions; replit-code-v1_5 has grouped heads."""
    settings = c.section("attn_config")
    drop = dropped(settings, "attn_pdrop")
    attention = whole_heads(c, "attn", bias=False, names=Names(out="out_proj", fused="Wqkv"), dropout=drop)
    if settings.get("attn_type") == "grouped_query_attention":
        attention = replace(attention, kv_heads=settings.kv_n_heads)
    attention = replace(attention, sees=Sees(alibi=bool(settings.get("alibi", True))))
    # Every published size has the expansion ratio 4, and transformers knows no other.
    mlp = MLP("ffn", c.hidden_size, 4 * c.hidden_size, gated=False)
    layer = pre_norm(c, attention, mlp, norm=unbiased_norm, names=("norm_1", "norm_2"), dropout=drop)
    return decoder(
        c, layer, path="transformer.blocks", embedding="transformer.wte", final="transformer.norm_f", norm=unbiased_norm
    )


@family("starcoder2")
def starcoder2(c: Config) -> Blueprint:
    window, bias = c.get("sliding_window"), c.flag("use_bias")
    attention = self_attention(c, window=window, bias=bias)
    mlp = plain_mlp(c, bias=bias, up="c_fc", down="c_proj")
    layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=dropped(c, "residual_dropout"))
    return decoder(c, layer, norm=layer_norm)


@family("orion")
def orion(c: Config) -> Blueprint:
    """Llama with LayerNorm (arXiv:2401.12246)."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), norm=layer_norm)
    return decoder(c, layer, norm=layer_norm)


@family("phi3small")
def phi3small(c: Config) -> Blueprint:
    """LayerNorm and biases; every other layer's attention is sparse in blocks (arXiv:2404.14219, section 2)."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        names=Names(out="dense", fused="query_key_value"),
        bias=True,
        dropout=dropped(c, "attention_dropout_prob"),
    )
    mlp = MLP("mlp", width, c.ff_intermediate_size, bias=True, fused="up_proj")
    drop = dropped(c, "ffn_dropout_prob")
    layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=drop)
    period = c.get("dense_attention_every_n_layers") or 1
    told = (
        f"Only every {period}th layer attends to all tokens; the others, whose attention is sparse in blocks, are "
        "priced as if they did too."
    )
    return decoder(
        c,
        layer,
        final="model.final_layernorm",
        norm=layer_norm,
        tied=tied_unless_stated(c),
        notes=(told,) if period > 1 else (),
    )


def tied_unless_stated(c: Config) -> bool:
    """Whether the head is the embedding, where the configuration class says so unless the file does not."""
    return c.get("tie_word_embeddings") is None or c.flag("tie_word_embeddings")


@family("jais2")
def jais2(c: Config) -> Blueprint:
    """Llama with LayerNorm, and a plain MLP with squared ReLU."""
    mlp = plain_mlp(c, bias=c.flag("mlp_bias"), up="up_proj", down="down_proj")
    layer = pre_norm(c, self_attention(c), mlp, norm=layer_norm)
    return decoder(c, layer, norm=layer_norm)


@family("arcee", "nemotron")
def arcee(c: Config) -> Blueprint:
    """A plain MLP with squared ReLU; Nemotron-4 has LayerNorm and rotates half of each head."""
    older = c.model_type == "nemotron"
    norm = layer_norm if older else Norm
    attention = self_attention(c, rotary=partly_rotated(c, head_shape(c)[2], 0.5)) if older else self_attention(c)
    mlp = plain_mlp(c, bias=c.flag("mlp_bias"), up="up_proj", down="down_proj")
    return decoder(c, pre_norm(c, attention, mlp, norm=norm), norm=norm)
