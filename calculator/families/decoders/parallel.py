"""Attention and MLP side by side, both added to the stream they read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import (
    attention_kind,
    dropped,
    head_shape,
    layer_types,
    partly_rotated,
    renamed,
    rotary_size,
    windows,
)
from calculator.families.layers import gated_mlp, parallel_layer, pre_norm, self_attention
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Embedding, Head, Norm, Part, Residual


@family("gptj", "codegen")
def gptj(c: Config) -> Blueprint:
    """One norm feeds attention and MLP; rotary positions over the first elements of each head; a head with a bias."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv_proj" if c.model_type == "codegen" else None,
        out="out_proj",
        rotary=c.get("rotary_dim") or 64,
        dropout=dropped(c, "attn_pdrop"),  # 64 is the default of both types
    )
    mlp = MLP("mlp", width, c.get("n_inner") or 4 * width, gated=False, bias=True, up="fc_in", down="fc_out")
    norm = Norm("ln_1", width, "layer", True)
    layer = parallel_layer("full attention", (norm,), attention, mlp, width, dropped(c, "resid_pdrop"))
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.h",
        embedding="transformer.wte",
        final="transformer.ln_f",
        norm="layer",
        norm_bias=True,
        head_bias=True,
    )
    return blueprint(c, text)


@family("phi")
def phi(c: Config) -> Blueprint:
    """Phi-1, 1.5 and 2: one norm feeds attention and MLP, biases everywhere."""
    width: int = c.hidden_size
    heads, kv_heads, head_dim = head_shape(c)
    attention = Attention(
        "self_attn",
        width,
        heads,
        kv_heads,
        head_dim,
        out="dense",
        qkv_bias=True,
        out_bias=True,
        rotary=partly_rotated(c, head_dim, 0.5),
        dropout=dropped(c, "attention_dropout"),
        head_norm="layer" if c.flag("qk_layernorm") else None,
        norm_names=("q_layernorm", "k_layernorm"),
    )
    mlp = MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="fc1", down="fc2")
    norm = Norm("input_layernorm", width, "layer", True)
    layer = parallel_layer("full attention", (norm,), attention, mlp, width, dropped(c, "resid_pdrop"))
    text = language_model(
        c, [layer] * c.num_hidden_layers, final="model.final_layernorm", norm="layer", norm_bias=True, head_bias=True
    )
    return blueprint(c, text)


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
    heads: int = c.num_attention_heads
    attention = Attention(
        "mixer",
        width,
        heads,
        c.get("n_head_kv") or heads,
        width // heads,
        fused="Wqkv",
        out="out_proj",
        qkv_bias=True,
        out_bias=True,
        rotary=c.rotary_dim,
        dropout=dropped(c, "attn_pdrop"),
    )
    mlp = MLP("mlp", width, c.get("n_inner") or 4 * width, gated=False, bias=True, up="fc1", down="fc2")
    layer = parallel_layer(
        "full attention", (Norm("ln", width, "layer", True),), attention, mlp, width, dropped(c, "resid_pdrop")
    )
    head = Head("lm_head.linear", c.vocab_size, width, tied=c.flag("tie_word_embeddings"), bias=True)
    text = Stack(
        "transformer.h",
        width,
        (layer,) * c.num_hidden_layers,
        before=(Embedding("transformer.embd.wte", c.vocab_size, width),),
        after=(Norm("lm_head.ln", width, "layer", True), head),
    )
    return blueprint(c, text)


def cohere_layer(c: Config, window: int | None, head_norm: str | None) -> Layer:
    """One LayerNorm without bias feeds attention and MLP side by side."""
    width: int = c.hidden_size
    parts = (
        Norm("input_layernorm", width, "layer"),
        self_attention(c, window=window, head_norm=head_norm),
        gated_mlp(c, bias=False, shares_input=True),
        Residual("mixer_residual", width),
        Residual("channel_residual", width),
    )
    return Layer(attention_kind(window), parts, parallel=("self_attn", "mlp"))


@family("cohere")
def cohere(c: Config) -> Blueprint:
    layer = cohere_layer(c, None, "per_head" if c.flag("use_qk_norm") else None)
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm="layer"))


@family("cohere2")
def cohere2(c: Config) -> Blueprint:
    period = c.get("sliding_window_pattern") or 4
    types = layer_types(c, lambda i: "sliding_attention" if (i + 1) % period else "full_attention")
    return blueprint(c, language_model(c, [cohere_layer(c, w, None) for w in windows(c, types)], norm="layer"))


@family("stablelm", "stablelm_epoch")
def stablelm(c: Config) -> Blueprint:
    """LayerNorm with bias, a quarter of each head rotated; in StableLM 2 12B, attention and MLP side by side."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        qkv_bias=c.flag("use_qkv_bias"),
        out_bias=False,
        rotary=partly_rotated(c, head_shape(c)[2], 0.25),
        head_norm="per_head" if c.flag("qk_layernorm") else None,
        norm_names=("q_layernorm.norms.*", "k_layernorm.norms.*"),
    )
    mlp, drop = gated_mlp(c, bias=False), dropped(c, "hidden_dropout")
    if c.flag("use_parallel_residual"):
        layer = parallel_layer(
            "full attention", (Norm("input_layernorm", width, "layer", True),), attention, mlp, width, drop
        )
    else:
        layer = pre_norm(c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=drop)
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm="layer", norm_bias=True))


@family("gpt_neox")
def gpt_neox(c: Config) -> Blueprint:
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    bias = c.flag("attention_bias")
    attention = Attention(
        "attention",
        width,
        heads,
        heads,
        head_dim,
        fused="query_key_value",
        out="dense",
        qkv_bias=bias,
        out_bias=bias,
        rotary=rotary_size(c, head_dim),
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="dense_h_to_4h", down="dense_4h_to_h")
    layer = pre_norm(
        c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=dropped(c, "hidden_dropout")
    )
    if c.flag("use_parallel_residual"):
        norms = tuple(Norm(n, width, "layer", True) for n in ("input_layernorm", "post_attention_layernorm"))
        layer = parallel_layer("full attention", norms, attention, mlp, width, dropped(c, "hidden_dropout"))
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="gpt_neox.layers",
        embedding="gpt_neox.embed_in",
        final="gpt_neox.final_layer_norm",
        head="embed_out",
        norm="layer",
        norm_bias=True,
    )
    return blueprint(c, text)


@family("falcon")
def falcon(c: Config) -> Blueprint:
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    bias, new = c.flag("bias"), c.flag("new_decoder_architecture")
    # The old architecture knows one key-value head (multi_query) or as many as query heads.
    kv_heads = c.first("num_kv_heads", "num_attention_heads") if new else 1 if c.flag("multi_query") else heads
    head_dim = width // heads
    attention = Attention(
        "self_attention",
        width,
        heads,
        kv_heads,
        head_dim,
        fused="query_key_value",
        out="dense",
        qkv_bias=bias,
        out_bias=bias,
        rotary=0 if c.flag("alibi") else head_dim,
        dropout=dropped(c, "attention_dropout"),
    )
    inner = c.get("ffn_hidden_size") or 4 * width
    mlp = MLP("mlp", width, inner, gated=False, bias=bias, up="dense_h_to_4h", down="dense_4h_to_h")
    adds = [Residual(n, width, dropped(c, "hidden_dropout")) for n in ("mixer_residual", "channel_residual")]
    parallel = c.flag("parallel_attn")
    two_norms = parallel and (c.get("num_ln_in_parallel_attn") or (2 if new else 1)) == 2
    if two_norms:
        norms = [Norm("ln_attn", width, "layer", True), Norm("ln_mlp", width, "layer", True, shares_input=True)]
        parts: tuple[Part, ...] = (*norms, attention, mlp, *adds)
    elif parallel:
        parts = (Norm("input_layernorm", width, "layer", True), attention, replace(mlp, shares_input=True), *adds)
    else:
        norms = [Norm(n, width, "layer", True) for n in ("input_layernorm", "post_attention_layernorm")]
        parts = (norms[0], attention, adds[0], norms[1], mlp, adds[1])
    text = language_model(
        c,
        [Layer("full attention", parts, parallel=("self_attention", "mlp") if parallel else ())] * c.num_hidden_layers,
        path="transformer.h",
        embedding="transformer.word_embeddings",
        final="transformer.ln_f",
        norm="layer",
        norm_bias=True,
    )
    return blueprint(c, text)


def cohere_halves(c: Config, mixer: Attention, channel: Part, kind: str, norm: str) -> Layer:
    """One norm feeds attention and MLP side by side."""
    return parallel_layer(kind, (Norm("input_layernorm", c.hidden_size, norm),), mixer, channel, c.hidden_size)


@family("cohere_compass_text")
def cohere_compass_text(c: Config) -> Blueprint:
    """Command's parallel dense layers (North Micro); a kind of layer whose rope_parameters are null has no
    positions."""
    types = layer_types(c, lambda i: "full_attention")
    ropes = c.get("rope_parameters") or {}
    by_type = not set(types).isdisjoint(ropes)
    c = Config({**c.values_, "head_dim": None}, c.model_type, where=c.where)  # always hidden_size / heads

    def layer(kind: str, window: int | None) -> Layer:
        changes: dict[str, Any] = {"rotary": 0} if by_type and ropes.get(kind) is None else {}
        mixer = self_attention(c, window=window, **changes)
        return cohere_halves(c, mixer, gated_mlp(c, bias=False), attention_kind(window), "layer")

    return decoder(c, [layer(t, w) for t, w in zip(types, windows(c, types), strict=True)], norm="layer")
