"""Attention and MLP side by side, both added to the stream they read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import (
    dropped,
    every,
    head_shape,
    layer_types,
    partly_rotated,
    renamed,
    rotary_size,
    windows,
)
from calculator.families.layers import (
    gated_mlp,
    layer_norm,
    parallel_layer,
    plain_mlp,
    pre_norm,
    self_attention,
    unbiased_norm,
    whole_heads,
)
from calculator.families.models import GPT2_PATHS, blueprint, decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Attention, Biases, Embedding, Head, HeadNorms, Names, Sees

FOUR_H: dict[str, Any] = {"up": "dense_h_to_4h", "down": "dense_4h_to_h"}


@family("gptj", "codegen")
def gptj(c: Config) -> Blueprint:
    """One norm feeds attention and MLP; rotary positions over the first elements of each head; a head with a bias."""
    attention = whole_heads(
        c,
        "attn",
        bias=False,
        names=Names(out="out_proj", fused="qkv_proj" if c.model_type == "codegen" else None),
        rotary=c.get("rotary_dim") or 64,  # the default of both types
        dropout=dropped(c, "attn_pdrop"),
    )
    mlp = plain_mlp(c, "mlp", c.get("n_inner") or 4 * c.hidden_size, up="fc_in", down="fc_out")
    norm = layer_norm("ln_1", c.hidden_size)
    layer = parallel_layer(c, attention, mlp, norm, dropout=dropped(c, "resid_pdrop"))
    return decoder(c, layer, **GPT2_PATHS, norm=layer_norm, head_bias=True)


@family("phi")
def phi(c: Config) -> Blueprint:
    """Phi-1, 1.5 and 2: one norm feeds attention and MLP, biases everywhere."""
    attention = self_attention(
        c,
        names=Names(out="dense"),
        bias=True,
        rotary=partly_rotated(c, head_shape(c)[2], 0.5),
        norms=HeadNorms("layer" if c.flag("qk_layernorm") else None, names=("q_layernorm", "k_layernorm")),
    )
    norm = layer_norm("input_layernorm", c.hidden_size)
    layer = parallel_layer(c, attention, plain_mlp(c), norm, dropout=dropped(c, "resid_pdrop"))
    return decoder(c, layer, final="model.final_layernorm", norm=layer_norm, head_bias=True)


@family("phi-msft")
def phi_msft(c: Config) -> Blueprint:
    """Phi under the names of Microsoft's own code."""
    c = renamed(
        c,
        hidden_size="n_embd",
        num_attention_heads="n_head",
        num_hidden_layers="n_layer",
        max_position_embeddings="n_positions",
    )
    width: int = c.hidden_size
    attention = whole_heads(
        c, "mixer", names=Names(out="out_proj", fused="Wqkv"), rotary=c.rotary_dim, dropout=dropped(c, "attn_pdrop")
    )
    attention = replace(attention, kv_heads=c.get("n_head_kv") or attention.heads)
    mlp = plain_mlp(c, "mlp", c.get("n_inner") or 4 * width)
    layer = parallel_layer(c, attention, mlp, layer_norm("ln", width), dropout=dropped(c, "resid_pdrop"))
    head = Head("lm_head.linear", c.vocab_size, width, tied=c.flag("tie_word_embeddings"), bias=True)
    text = Stack(
        "transformer.h",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(Embedding("transformer.embd.wte", c.vocab_size, width),),
        after=(layer_norm("lm_head.ln", width), head),
    )
    return blueprint(c, text)


def cohere_layer(c: Config, attention: Attention) -> Layer:
    """One LayerNorm without bias feeds attention and MLP."""
    return parallel_layer(c, attention, gated_mlp(c, bias=False), unbiased_norm("input_layernorm", c.hidden_size))


@family("cohere")
def cohere(c: Config) -> Blueprint:
    attention = self_attention(c, norms=HeadNorms("per_head" if c.flag("use_qk_norm") else None))
    return decoder(c, cohere_layer(c, attention), norm=unbiased_norm)


@family("cohere2")
def cohere2(c: Config) -> Blueprint:
    types = layer_types(c, every(c.get("sliding_window_pattern") or 4))
    return decoder(c, [cohere_layer(c, self_attention(c, window=w)) for w in windows(c, types)], norm=unbiased_norm)


@family("cohere_compass_text")
def cohere_compass_text(c: Config) -> Blueprint:
    """North Micro; a kind of layer whose rope_parameters are null has no positions."""
    types = layer_types(c, lambda i: "full_attention")
    ropes = c.get("rope_parameters") or {}
    by_type = not set(types).isdisjoint(ropes)

    def attention(kind: str, window: int | None) -> Attention:
        return self_attention(c, window=window, rotates=not by_type or ropes.get(kind) is not None)

    kinds = zip(types, windows(c, types), strict=True)
    return decoder(c, [cohere_layer(c, attention(*kind)) for kind in kinds], norm=unbiased_norm)


@family("stablelm", "stablelm_epoch")
def stablelm(c: Config) -> Blueprint:
    """LayerNorm with bias, a quarter of each head rotated; in StableLM 2 12B, attention and MLP side by side."""
    attention = self_attention(
        c,
        biases=Biases(qkv=c.flag("use_qkv_bias"), out=False),
        rotary=partly_rotated(c, head_shape(c)[2], 0.25),
        norms=HeadNorms(
            "per_head" if c.flag("qk_layernorm") else None, names=("q_layernorm.norms.*", "k_layernorm.norms.*")
        ),
    )
    mlp, drop = gated_mlp(c, bias=False), dropped(c, "hidden_dropout")
    layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=drop)
    if c.flag("use_parallel_residual"):
        layer = parallel_layer(c, attention, mlp, layer_norm("input_layernorm", c.hidden_size), dropout=drop)
    return decoder(c, layer, norm=layer_norm)


@family("gpt_neox")
def gpt_neox(c: Config) -> Blueprint:
    """GPT-NeoX (arXiv:2204.06745): a norm each, unless use_parallel_residual puts one half after the other."""
    head_dim = head_shape(c)[2]
    attention = whole_heads(
        c,
        "attention",
        names=Names(out="dense", fused="query_key_value"),
        bias=c.flag("attention_bias"),
        rotary=rotary_size(c, head_dim),
        dropout=dropped(c, "attention_dropout"),
    )
    attention = replace(attention, head_dim=head_dim)
    mlp, drop = plain_mlp(c, **FOUR_H), dropped(c, "hidden_dropout")
    layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=drop)
    if c.flag("use_parallel_residual"):
        norms = (layer_norm(n, c.hidden_size) for n in ("input_layernorm", "post_attention_layernorm"))
        layer = parallel_layer(c, attention, mlp, *norms, dropout=drop)
    return decoder(
        c,
        layer,
        path="gpt_neox.layers",
        embedding="gpt_neox.embed_in",
        final="gpt_neox.final_layer_norm",
        head="embed_out",
        norm=layer_norm,
    )


@family("falcon")
def falcon(c: Config) -> Blueprint:
    """Falcon (arXiv:2311.16867): one norm, or one for each half, or one half after the other."""
    width, heads = c.hidden_size, c.num_attention_heads
    bias, new = c.flag("bias"), c.flag("new_decoder_architecture")
    attention = whole_heads(
        c,
        "self_attention",
        names=Names(out="dense", fused="query_key_value"),
        bias=bias,
        rotates=not c.flag("alibi"),
        dropout=dropped(c, "attention_dropout"),
    )
    # The old architecture knows one key-value head (multi_query) or as many as query heads.
    kv_heads = c.first("num_kv_heads", "num_attention_heads") if new else 1 if c.flag("multi_query") else heads
    attention = replace(attention, kv_heads=kv_heads, sees=Sees(alibi=c.flag("alibi")))
    mlp = plain_mlp(c, "mlp", c.get("ffn_hidden_size") or 4 * width, bias=bias, **FOUR_H)
    drop = dropped(c, "hidden_dropout")
    if c.flag("parallel_attn"):
        two = (c.get("num_ln_in_parallel_attn") or (2 if new else 1)) == 2
        norms = (layer_norm(n, width) for n in (("ln_attn", "ln_mlp") if two else ("input_layernorm",)))
        layer = parallel_layer(c, attention, mlp, *norms, dropout=drop)
    else:
        layer = pre_norm(c, attention, mlp, norm=layer_norm, dropout=drop)
    return decoder(c, layer, **(GPT2_PATHS | {"embedding": "transformer.word_embeddings"}), norm=layer_norm)
