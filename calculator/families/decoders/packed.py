"""Llama's layers under names of their own, most with packed projections."""

from __future__ import annotations

from typing import Any

from calculator.config import Config
from calculator.families.decoders.neox import tied_unless_stated
from calculator.families.fields import dropped, head_shape, partly_rotated, renamed
from calculator.families.layers import gated_mlp, pre_norm, self_attention
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.parts import MLP, Attention, Experts, Norm, Part


@family("internlm2")
def internlm2(c: Config) -> Blueprint:
    """Llama with one packed projection and names of its own."""
    bias = c.flag("bias")
    layer = pre_norm(
        c,
        self_attention(c, name="attention", fused="wqkv", out="wo", qkv_bias=bias, out_bias=bias),
        gated_mlp(c, name="feed_forward", gate="w1", up="w3", down="w2", bias=False),
        kind="full attention",
        names=("attention_norm", "ffn_norm"),
    )
    text = language_model(c, [layer] * c.num_hidden_layers, embedding="model.tok_embeddings", head="output")
    return blueprint(c, text)


@family("baichuan")
def baichuan(c: Config) -> Blueprint:
    """Llama with one packed projection; the 13B sizes, which state no max_position_embeddings, use ALiBi."""
    changes: dict[str, Any] = {} if c.get("max_position_embeddings") else {"rotary": 0}
    attention = self_attention(c, fused="W_pack", qkv_bias=False, out_bias=False, **changes)
    layer = pre_norm(c, attention, gated_mlp(c, bias=False), kind="full attention")
    c = renamed(c, max_position_embeddings="model_max_length")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("qwen")
def qwen(c: Config) -> Blueprint:
    """The first Qwen: biases on q, k and v only; intermediate_size counts gate and up together."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    head_dim = c.get("kv_channels") or width // heads
    bias = not c.flag("no_bias")
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        head_dim,
        fused="c_attn",
        out="c_proj",
        qkv_bias=True,
        out_bias=bias,
        rotary=partly_rotated(c, head_dim, 1),
        dropout=dropped(c, "attn_dropout_prob"),
    )
    mlp = MLP("mlp", width, c.intermediate_size // 2, bias=bias, gate="w2", up="w1", down="c_proj")
    layer = pre_norm(c, attention, mlp, kind="full attention", names=("ln_1", "ln_2"))
    text = language_model(
        c, [layer] * c.num_hidden_layers, path="transformer.h", embedding="transformer.wte", final="transformer.ln_f"
    )
    return blueprint(c, text)


@family("chatglm")
def chatglm(c: Config) -> Blueprint:
    """ChatGLM 2 and 3, GLM-4 9B: packed projections, half of each head rotated."""
    notes = ("The vision tower is not counted.",) if c.get("vision_config") else ()
    c = renamed(c, num_hidden_layers="num_layers", vocab_size="padded_vocab_size", max_position_embeddings="seq_length")
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    kv_heads = c.multi_query_group_num if c.flag("multi_query_attention") else heads
    bias = c.flag("add_bias_linear")
    attention = Attention(
        "self_attention",
        width,
        heads,
        kv_heads,
        c.kv_channels,
        fused="query_key_value",
        out="dense",
        qkv_bias=bias or c.flag("add_qkv_bias"),
        out_bias=bias,
        rotary=c.kv_channels // 2,
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("mlp", width, c.ffn_hidden_size, bias=bias, fused="dense_h_to_4h", down="dense_4h_to_h")
    norm = "rms" if c.flag("rmsnorm") else "layer"
    layer = pre_norm(
        c, attention, mlp, kind="full attention", norm=norm, bias=norm == "layer", dropout=dropped(c, "hidden_dropout")
    )
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.encoder.layers",
        embedding="transformer.embedding.word_embeddings",
        final="transformer.encoder.final_layernorm",
        head="transformer.output_layer",
        norm=norm,
        norm_bias=norm == "layer",
    )
    return blueprint(c, text, notes=notes)


@family("minicpm")
def minicpm(c: Config) -> Blueprint:
    """Llama with scaled residuals (arXiv:2404.06395); in MiniCPM-MoE, experts in every layer."""
    channel: Part = gated_mlp(c, bias=False)
    if c.get("num_experts"):
        names, taken = ("w1", "w3", "w2"), c.num_experts_per_tok
        channel = Experts("mlp", c.hidden_size, c.intermediate_size, c.num_experts, taken, names=names)
    kind = f"full attention{' + experts' if isinstance(channel, Experts) else ''}"
    # MiniCPM4 and 4.1 choose blocks of tokens once there are more than dense_len of them (InfLLM v2).
    told = "Sparse attention over long contexts (sparse_config) is priced as full attention."
    layer = pre_norm(c, self_attention(c), channel, kind=kind)
    return decoder(c, layer, tied=tied_unless_stated(c), notes=(told,) if c.get("sparse_config") else ())


@family("exaone")
def exaone(c: Config) -> Blueprint:
    """Llama under the names of EXAONE 3.0 and 3.5 (arXiv:2412.04862)."""
    c = renamed(c, num_hidden_layers="num_layers")
    attention = self_attention(
        c, name="attn.attention", out="out_proj", qkv_bias=False, out_bias=False, rotary=head_shape(c)[2]
    )
    inner: int = 4 * c.hidden_size if c.get("intermediate_size") is None else c.intermediate_size
    mlp = MLP("mlp", c.hidden_size, inner, gate="c_fc_0", up="c_fc_1", down="c_proj")
    return decoder(
        c,
        pre_norm(c, attention, mlp, kind="full attention", names=("ln_1", "ln_2"), dropout=dropped(c, "resid_dropout")),
        path="transformer.h",
        embedding="transformer.wte",
        final="transformer.ln_f",
        tied=tied_unless_stated(c),
    )


@family("telechat")
def telechat(c: Config) -> Blueprint:
    """Llama with keys and values in one projection and biases on what each half adds to the residual stream (TeleChat
    and TeleChat2, arXiv:2401.03804)."""
    c = renamed(c, num_hidden_layers="n_layer", num_attention_heads="n_head", max_position_embeddings="seq_length")
    width: int = c.hidden_size
    attention = self_attention(
        c,
        name="self_attention",
        query="query",
        fused_kv="key_value",
        out="dense",
        qkv_bias=False,
        out_bias=True,
    )
    mlp = MLP("mlp", width, c.ffn_hidden_size, down_bias=True)
    first = (Norm("transformer.word_embeddings_layernorm", width),) if c.flag("embed_layernorm") else ()
    return decoder(
        c,
        pre_norm(c, attention, mlp, kind="full attention", dropout=dropped(c, "hidden_dropout")),
        path="transformer.h",
        embedding="transformer.word_embeddings",
        final="transformer.ln_f",
        before=first,
    )
