"""The decoders before Llama: LayerNorm with biases, packed projections, learned or ALiBi positions."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    blueprint,
    dropped,
    family,
    head_shape,
    language_model,
    pre_norm,
    rotary_size,
)
from calculator.families.shared import parallel_layer
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
