"""Llama's layers under names of their own, most with packed projections."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.decoders.layer_norm import tied_unless_stated
from calculator.families.fields import dropped, partly_rotated, renamed
from calculator.families.layers import MIXTRAL_NAMES, gated_mlp, layer_norm, mixture, pre_norm, self_attention
from calculator.families.models import GPT2_PATHS, decoder
from calculator.families.registry import Blueprint, family
from calculator.parts import MLP, Attention, Biases, Names, Norm, Part, Sees, Storage


@family("internlm2")
def internlm2(c: Config) -> Blueprint:
    """Llama with one packed projection and names of its own."""
    bias = c.flag("bias")
    layer = pre_norm(
        c,
        self_attention(c, name="attention", names=Names(out="wo", fused="wqkv"), bias=bias),
        gated_mlp(c, name="feed_forward", gate="w1", up="w3", down="w2", bias=False),
        names=("attention_norm", "ffn_norm"),
    )
    return decoder(c, layer, embedding="model.tok_embeddings", head="output")


@family("baichuan")
def baichuan(c: Config) -> Blueprint:
    """Llama with one packed projection; the 13B sizes, which state no max_position_embeddings, use ALiBi."""
    rotates = bool(c.get("max_position_embeddings"))
    attention = self_attention(c, names=Names(fused="W_pack"), bias=False, rotates=rotates)
    attention = replace(attention, sees=Sees(alibi=not rotates))
    layer = pre_norm(c, attention, gated_mlp(c, bias=False))
    c = renamed(c, max_position_embeddings="model_max_length")
    return decoder(c, layer)


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
        names=Names(out="c_proj", fused="c_attn"),
        biases=Biases(qkv=True, out=bias),
        rotary=partly_rotated(c, head_dim, 1),
        dropout=dropped(c, "attn_dropout_prob"),
    )
    mlp = MLP("mlp", width, c.intermediate_size // 2, bias=bias, gate="w2", up="w1", down="c_proj")
    layer = pre_norm(c, attention, mlp, names=("ln_1", "ln_2"))
    return decoder(c, layer, **GPT2_PATHS)


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
        names=Names(out="dense", fused="query_key_value"),
        biases=Biases(qkv=bias or c.flag("add_qkv_bias"), out=bias),
        rotary=c.kv_channels // 2,
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("mlp", width, c.ffn_hidden_size, bias=bias, fused="dense_h_to_4h", down="dense_4h_to_h")
    norm = Norm if c.flag("rmsnorm") else layer_norm
    layer = pre_norm(c, attention, mlp, norm=norm, dropout=dropped(c, "hidden_dropout"))
    return decoder(
        c,
        layer,
        path="transformer.encoder.layers",
        embedding="transformer.embedding.word_embeddings",
        final="transformer.encoder.final_layernorm",
        head="transformer.output_layer",
        norm=norm,
        notes=notes,
    )


@family("minicpm")
def minicpm(c: Config) -> Blueprint:
    """Llama with scaled residuals (arXiv:2404.06395); in MiniCPM-MoE, experts in every layer."""
    channel: Part = gated_mlp(c, bias=False)
    if c.get("num_experts"):
        channel = mixture(c, intermediate=c.intermediate_size, stored=Storage(names=MIXTRAL_NAMES))
    # MiniCPM4 and 4.1 choose blocks of tokens once there are more than dense_len of them (InfLLM v2).
    told = "Sparse attention over long contexts (sparse_config) is priced as full attention."
    layer = pre_norm(c, self_attention(c), channel)
    return decoder(c, layer, tied=tied_unless_stated(c), notes=(told,) if c.get("sparse_config") else ())


@family("exaone")
def exaone(c: Config) -> Blueprint:
    """Llama under the names of EXAONE 3.0 and 3.5 (arXiv:2412.04862), which transformers reads and writes, too."""
    attention = self_attention(c, name="attn.attention", names=Names(out="out_proj"))
    mlp = gated_mlp(c, gate="c_fc_0", up="c_fc_1", down="c_proj")
    layer = pre_norm(c, attention, mlp, names=("ln_1", "ln_2"), dropout=dropped(c, "resid_dropout"))
    return decoder(c, layer, **GPT2_PATHS)


@family("telechat")
def telechat(c: Config) -> Blueprint:
    """Llama with keys and values in one projection and biases on what each half adds to the residual stream (TeleChat
    and TeleChat2, arXiv:2401.03804)."""
    c = renamed(c, num_hidden_layers="n_layer", num_attention_heads="n_head", max_position_embeddings="seq_length")
    width: int = c.hidden_size
    attention = self_attention(
        c,
        name="self_attention",
        names=Names(query="query", out="dense", fused_kv="key_value"),
        biases=Biases(qkv=False, out=True),
    )
    mlp = MLP("mlp", width, c.ffn_hidden_size, down_bias=True)
    first = (Norm("transformer.word_embeddings_layernorm", width),) if c.flag("embed_layernorm") else ()
    return decoder(
        c,
        pre_norm(c, attention, mlp, dropout=dropped(c, "hidden_dropout")),
        **(GPT2_PATHS | {"embedding": "transformer.word_embeddings"}),
        before=first,
    )
