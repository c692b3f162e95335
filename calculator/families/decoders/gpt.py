"""GPT-2's kind: LayerNorm with biases, plain MLPs, learned or sinusoidal or ALiBi positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import dropped
from calculator.families.layers import pre_norm
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Embedding,
    Head,
    Idle,
    Linear,
    Norm,
    Part,
    Positions,
    Residual,
    VectorWeights,
)


@family("gpt2", "gpt-sw3")
def gpt2(c: Config) -> Blueprint:
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="c_attn",
        out="c_proj",
        qkv_bias=True,
        out_bias=True,
        dropout=dropped(c, "attn_pdrop"),
    )
    inner = c.get("n_inner") or 4 * width
    mlp = MLP("mlp", width, inner, gated=False, bias=True, up="c_fc", down="c_proj")
    layer = pre_norm(
        c,
        attention,
        mlp,
        kind="full attention",
        norm="layer",
        bias=True,
        names=("ln_1", "ln_2"),
        dropout=dropped(c, "resid_pdrop"),
    )
    if c.flag("add_cross_attention"):
        # Stored for use under an encoder; as a decoder alone the model does not run it.
        shapes = (
            ("crossattention.c_attn", (2 * width, width)),
            ("crossattention.q_attn", (width, width)),
            ("crossattention.c_proj", (width, width)),
        )
        norm = VectorWeights("ln_cross_attn", (("weight", (width,)), ("bias", (width,))), component="norm")
        layer = replace(layer, parts=(*layer.parts, norm, Idle("", shapes, bias=True)))
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.h",
        embedding="transformer.wte",
        final="transformer.ln_f",
        norm="layer",
        norm_bias=True,
        before=(Positions("transformer.wpe", c.max_position_embeddings, width),),
    )
    return blueprint(c, text)


@family("opt")
def opt(c: Config) -> Blueprint:
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    bias, affine = c.flag("enable_bias"), c.flag("layer_norm_elementwise_affine")
    attention = Attention(
        "self_attn",
        width,
        heads,
        heads,
        width // heads,
        out="out_proj",
        qkv_bias=bias,
        out_bias=bias,
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("", width, c.ffn_dim, gated=False, bias=bias, up="fc1", down="fc2")
    norms = [Norm(n, width, "layer", True, affine=affine) for n in ("self_attn_layer_norm", "final_layer_norm")]
    drop = dropped(c, "dropout")
    halves: list[Part] = []
    for norm, part, add in zip(norms, (attention, mlp), ("mixer_residual", "channel_residual"), strict=True):
        residual = Residual(add, width, drop)
        # OPT-350m normalises after each half, all other sizes before.
        halves += [norm, part, residual] if c.flag("do_layer_norm_before") else [part, residual, norm]
    embedded: int = width if c.get("word_embed_proj_dim") is None else c.word_embed_proj_dim
    root = "model.decoder"
    before: list[Part] = [Embedding(f"{root}.embed_tokens", c.vocab_size, embedded)]
    after: list[Part] = []
    # Positions are stored with an offset of 2 (fairseq's padding index).
    positions = Positions(f"{root}.embed_positions", c.max_position_embeddings + 2, width)
    if c.flag("do_layer_norm_before") and not c.flag("_remove_final_layer_norm"):
        after.append(Norm(f"{root}.final_layer_norm", width, "layer", True, affine=affine))
    if embedded != width:
        before.append(Linear(f"{root}.project_in", embedded, width))
        after.append(Linear(f"{root}.project_out", width, embedded, component="head"))
    after.append(Head("lm_head", c.vocab_size, embedded, tied=c.flag("tie_word_embeddings")))
    layers = (Layer("full attention", tuple(halves)),) * c.num_hidden_layers
    return blueprint(c, Stack(f"{root}.layers", width, layers, (*before, positions), tuple(after)))


@family("bloom")
def bloom(c: Config) -> Blueprint:
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    attention = Attention(
        "self_attention",
        width,
        heads,
        heads,
        width // heads,
        fused="query_key_value",
        out="dense",
        qkv_bias=True,
        out_bias=True,
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("mlp", width, 4 * width, gated=False, bias=True, up="dense_h_to_4h", down="dense_4h_to_h")
    layer = pre_norm(
        c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=dropped(c, "hidden_dropout")
    )
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.h",
        embedding="transformer.word_embeddings",
        final="transformer.ln_f",
        norm="layer",
        norm_bias=True,
        before=(Norm("transformer.word_embeddings_layernorm", width, "layer", True),),
    )
    return blueprint(c, text)


def whole_heads(c: Config, name: str, *, bias: bool = True, **changes: Any) -> Attention:
    """As many key and value heads as query heads, which together are as wide as the model."""
    width, heads = c.hidden_size, c.num_attention_heads
    options: dict[str, Any] = {"qkv_bias": bias, "out_bias": bias, **changes}
    return Attention(name, width, heads, heads, width // heads, **options)


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


@family("gpt_neo")
def gpt_neo(c: Config) -> Blueprint:
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    types = c.get("attention_layers")
    if types is None:
        pairs = c.get("attention_types") or [[["global", "local"], c.num_hidden_layers // 2]]
        types = [kind for kinds, repeats in pairs for _ in range(repeats) for kind in kinds]
    mlp = MLP("mlp", width, c.get("intermediate_size") or 4 * width, gated=False, bias=True, up="c_fc", down="c_proj")

    def layer(kind: str) -> Layer:
        attention = Attention(
            "attn.attention",
            width,
            heads,
            heads,
            width // heads,
            out="out_proj",
            out_bias=True,
            window=c.window_size if kind == "local" else None,
            dropout=dropped(c, "attention_dropout"),
        )
        return pre_norm(
            c,
            attention,
            mlp,
            kind=f"{kind} attention",
            norm="layer",
            bias=True,
            names=("ln_1", "ln_2"),
            dropout=dropped(c, "resid_dropout"),
        )

    text = language_model(
        c,
        [layer(t) for t in types],
        path="transformer.h",
        embedding="transformer.wte",
        final="transformer.ln_f",
        norm="layer",
        norm_bias=True,
        before=(Positions("transformer.wpe", c.max_position_embeddings, width),),
    )
    return blueprint(c, text)


@family("gpt_bigcode")
def gpt_bigcode(c: Config) -> Blueprint:
    """GPT-2 with one key-value head (SantaCoder, StarCoder)."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    attention = Attention(
        "attn",
        width,
        heads,
        1 if c.flag("multi_query") else heads,
        width // heads,
        fused="c_attn",
        out="c_proj",
        qkv_bias=True,
        out_bias=True,
        dropout=dropped(c, "attn_pdrop"),
    )
    mlp = MLP("mlp", width, c.get("n_inner") or 4 * width, gated=False, bias=True, up="c_fc", down="c_proj")
    layer = pre_norm(
        c,
        attention,
        mlp,
        kind="full attention",
        norm="layer",
        bias=True,
        names=("ln_1", "ln_2"),
        dropout=dropped(c, "resid_pdrop"),
    )
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.h",
        embedding="transformer.wte",
        final="transformer.ln_f",
        norm="layer",
        norm_bias=True,
        before=(Positions("transformer.wpe", c.max_position_embeddings, width),),
    )
    return blueprint(c, text)


@family("xglm")
def xglm(c: Config) -> Blueprint:
    """Sinusoidal positions, which are computed and not stored."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    attention = Attention(
        "self_attn",
        width,
        heads,
        heads,
        width // heads,
        out="out_proj",
        qkv_bias=True,
        out_bias=True,
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("", width, c.ffn_dim, gated=False, bias=True, up="fc1", down="fc2")
    layer = pre_norm(
        c,
        attention,
        mlp,
        kind="full attention",
        norm="layer",
        bias=True,
        names=("self_attn_layer_norm", "final_layer_norm"),
        dropout=dropped(c, "dropout"),
    )
    text = language_model(c, [layer] * c.num_hidden_layers, final="model.layer_norm", norm="layer", norm_bias=True)
    return blueprint(c, text)
