"""GPT-J, CodeGen, GPT-Neo, GPTBigCode, XGLM and Phi: LayerNorm with biases, plain MLPs."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.common import Blueprint, blueprint, dropped, family, head_shape, language_model, pre_norm
from calculator.families.seq2seq import unread_encoder
from calculator.families.shared import parallel_layer, partly_rotated, renamed
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Embedding, Head, Norm, Positions


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
    layer = replace(layer, parts=(*layer.parts, *unread_encoder(c, attention)))
    text = language_model(c, [layer] * c.num_hidden_layers, final="model.layer_norm", norm="layer", norm_bias=True)
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
