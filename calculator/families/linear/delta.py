"""Linear attention, by the delta rule or with a decay, beside softmax attention; other recurrences of a matrix."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import attention_kind, dense_or_sparse, every, head_shape, layer_types, partly_rotated
from calculator.families.layers import MIXTRAL_NAMES, gated_mlp, mixture, post_norm, pre_norm, self_attention
from calculator.families.mixtures.latent import deepseek_experts, latent_attention
from calculator.families.mixtures.mixtral import mixtral_experts
from calculator.families.models import decoder
from calculator.families.prediction import prediction_notes
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    MLP,
    Biases,
    Correction,
    DeltaAttention,
    Embedding,
    GatedLinearRecurrence,
    HeadGate,
    HeadNorms,
    LightningAttention,
    MatrixLSTM,
    Names,
    Norm,
    Part,
    SharedMLP,
    Storage,
)

FULL, LINEAR = "full_attention", "linear_attention"


def kimi_types(c: Config) -> list[str]:
    """Each layer's mixer: layer_types, or linear_attn_config, which counts layers from 1, or every fourth full."""
    stated = c.get("linear_attn_config") or {}
    count: int = c.num_hidden_layers
    if c.get("layer_types") is None and "full_attn_layers" in stated and "kda_layers" in stated:
        full, linear = (set(stated[name]) for name in ("full_attn_layers", "kda_layers"))
        if full & linear or full | linear != set(range(1, times(count + 1))):
            raise ConfigError(
                f"linear_attn_config in {c.where} must list each of the layers 1 to {count} once, in full_attn_layers "
                "or in kda_layers."
            )
        return [FULL if i + 1 in full else LINEAR for i in range(times(count))]
    return layer_types(c, lambda i: FULL if i and i % 4 == 0 else LINEAR)


def mixed(c: Config, types: list[str], mixers: dict[str, tuple[str, Part]], experts: Part) -> list[Layer]:
    """Pre-norm layers, each with its type's mixer and an MLP or experts."""
    sparse = dense_or_sparse(c, c.get("first_k_dense_replace") or 0)
    mlp = gated_mlp(c, bias=False)
    return [
        pre_norm(c, mixers[t][1], experts if s else mlp, kind=f"{mixers[t][0]} + {'experts' if s else 'mlp'}")
        for t, s in zip(types, sparse, strict=True)
    ]


@family("kimi_linear")
def kimi_linear(c: Config) -> Blueprint:
    """Kimi Delta Attention, three layers to one of latent attention without positions (arXiv:2510.26692). A state is
    kept in 32 bit."""
    stated = c.get("linear_attn_config") or {}
    heads: int = stated.get("num_heads") or c.linear_num_heads
    size: int = stated.get("head_dim") or c.linear_head_dim
    delta = DeltaAttention(
        "self_attn",
        c.hidden_size,
        heads,
        heads,
        size,
        size,
        stated.get("short_conv_kernel_size") or c.linear_conv_kernel_dim,
        per_channel=True,
        decay_rank=size,
        gate_rank=size,
        decay_shape=(1, 1, heads, 1),
        state_width=4,
    )
    mixers: dict[str, tuple[str, Part]] = {
        FULL: ("latent attention", replace(latent_attention(c), rotates=False)),
        LINEAR: ("linear attention", delta),
    }
    experts = replace(
        deepseek_experts(c, correction=True), name="block_sparse_moe", stored=Storage(names=MIXTRAL_NAMES)
    )
    # transformers ties no head of this type, whatever tie_word_embeddings says.
    return decoder(c, mixed(c, kimi_types(c), mixers, experts), tied=False)


def ring_types(c: Config) -> list[str]:
    """Every layer_group_size-th layer is a full one, and so are those after the last whole group."""
    period, count = c.layer_group_size, c.num_hidden_layers
    return [LINEAR if (i + 1) % period and i < count // period * period else FULL for i in range(times(count))]


def ring_linear(c: Config, full: Part, kind: str) -> Blueprint:
    """Lightning attention with a gate (Ring-linear, arXiv:2510.19338) beside attention of another kind. A state is kept
    in 32 bit, as the kernels that the remote code calls return it."""
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    lightning = LightningAttention(
        "attention",
        width,
        heads,
        head_dim,
        names=("query_key_value", "g_norm", "g_proj", "dense"),
        head_norm=c.flag("use_qk_norm"),
        rotary=partly_rotated(c, head_dim, 1),
        qkv_bias=c.flag("use_qkv_bias") or c.flag("use_bias"),
        out_bias=c.flag("use_bias"),
        state_width=4,
    )
    shared = c.get("moe_shared_expert_intermediate_size") or c.moe_intermediate_size
    experts = mixture(
        c,
        shared=SharedMLP((c.get("num_shared_experts") or 0) * shared),
        correction=Correction("gate.expert_bias") if c.flag("moe_router_enable_expert_bias") else None,
    )
    mixers: dict[str, tuple[str, Part]] = {FULL: (kind, full), LINEAR: ("linear attention", lightning)}
    return decoder(
        c,
        mixed(c, ring_types(c), mixers, experts),
        embedding="model.word_embeddings",
        notes=prediction_notes(c),
    )


@family("bailing_moe_linear", "bailing_moe_linear_v2")
def bailing_moe_linear(c: Config) -> Blueprint:
    """Ring-linear 2.0 as its remote code builds it, with grouped-query attention in the full layers."""
    attention = self_attention(
        c,
        name="attention",
        names=Names(out="dense", fused="query_key_value"),
        biases=Biases(qkv=c.flag("use_qkv_bias") or c.flag("use_bias"), out=c.flag("use_bias")),
        norms=HeadNorms("head" if c.flag("use_qk_norm") else None, names=("query_layernorm", "key_layernorm")),
    )
    return ring_linear(c, attention, "full attention")


@family("bailing_hybrid")
def bailing_hybrid(c: Config) -> Blueprint:
    """Ling 3.0: Kimi Delta Attention whose decay and gate are one projection each, five layers to one of latent
    attention with a gate on each head (transformers, modeling_bailing_hybrid.py). A state is kept in 32 bit."""
    if any("V2_5" in str(a) for a in c.get("architectures") or ()):  # Ling and Ring 2.5 state the same type
        return ring_linear(c, replace(latent_attention(c), name="attention", out="dense"), "latent attention")
    period: int = c.layer_group_size
    heads: int = c.num_attention_heads
    # A file that transformers saved states these three apart, and the rotated part of a latent head as head_dim.
    size: int = c.first("linear_head_dim", "head_dim")
    delta_heads: int = c.first("linear_num_heads", "num_attention_heads")
    delta = DeltaAttention(
        "attention",
        c.hidden_size,
        delta_heads,
        delta_heads,
        size,
        size,
        c.first("linear_conv_kernel_dim", "short_conv_kernel_size"),
        per_channel=True,
        out="dense",
        state_width=4,
    )
    latent = replace(
        latent_attention(c),
        name="attention",
        query_rank=None,
        out="dense",
        gate=HeadGate("g_proj", c.hidden_size, heads, c.v_head_dim),
    )
    mixers: dict[str, tuple[str, Part]] = {FULL: ("latent attention", latent), LINEAR: ("linear attention", delta)}
    types = layer_types(c, every(period, LINEAR))
    experts = replace(deepseek_experts(c, correction=True), correction=Correction("gate.expert_bias"))
    return decoder(
        c,
        mixed(c, types, mixers, experts),
        embedding="model.word_embeddings",
        tied=False,
        notes=prediction_notes(c),
    )


@family("olmo_hybrid")
def olmo_hybrid(c: Config) -> Blueprint:
    """Gated delta nets behind a norm, three layers to one of OLMo 3's attention before one. A state is kept in 32 bit
    (transformers, modeling_olmo_hybrid.py)."""
    heads: int = c.num_attention_heads
    key_heads = c.get("linear_num_key_heads") or heads
    key_dim = c.get("linear_key_head_dim") or int(0.75 * c.hidden_size / key_heads)
    delta = DeltaAttention(
        "linear_attn",
        c.hidden_size,
        key_heads,
        c.get("linear_num_value_heads") or heads,
        key_dim,
        c.get("linear_value_head_dim") or 2 * key_dim,
        c.linear_conv_kernel_dim,
        state_width=4,
    )
    types = layer_types(c, every(4, LINEAR))
    if c.get("layer_types") is None and FULL not in types:
        types[-1] = FULL
    rope = c.get("rope_parameters") or {}
    full = self_attention(c, norms=HeadNorms("full"))
    if rope.get("rope_theta") is None:
        full = replace(full, rotary=0)  # as the released checkpoint
    names = ("attention_layer_norm", "feedforward_layer_norm")
    mlp = gated_mlp(c, bias=False)
    layers = {
        FULL: post_norm(c, full, mlp, kind="full attention + mlp"),
        LINEAR: pre_norm(c, delta, mlp, kind="linear attention + mlp", names=names),
    }
    return decoder(c, [layers[t] for t in types])


@family("recurrent_gemma")
def recurrent_gemma(c: Config) -> Blueprint:
    """Griffin (arXiv:2402.19427): two gated linear recurrences to one layer of local attention."""
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    window: int = c.attention_window_size
    inner = c.get("lru_width") or width
    if inner % heads:
        raise ConfigError(f"lru_width {inner} in {c.where} does not divide into num_attention_heads {heads} blocks.")
    name = "temporal_block"
    attention = self_attention(
        c,
        name=name,
        window=window,
        biases=Biases(c.flag("attention_bias"), True),
        rotary=partly_rotated(c, head_dim, 0.5),
    )
    recurrence = GatedLinearRecurrence(name, width, inner, heads, c.conv1d_width)
    mlp = MLP("mlp_block", width, c.intermediate_size // 2, bias=True)
    norms = ("temporal_pre_norm", "channel_pre_norm")
    layers = {
        "attention": pre_norm(c, attention, mlp, kind=f"{attention_kind(window)} + mlp", names=norms),
        "recurrent": pre_norm(c, recurrence, mlp, kind="gated linear recurrence + mlp", names=norms),
    }
    pattern = list(c.block_types)
    count: int = c.num_hidden_layers
    chosen = [pattern[i % len(pattern)] for i in range(times(count))]
    return decoder(
        c, [layers["recurrent" if t == "recurrent" else "attention"] for t in chosen], final="model.final_norm"
    )


def rounded_up(size: float, multiple: int) -> int:
    return int((size + multiple - 1) // multiple * multiple)


@family("xlstm")
def xlstm(c: Config) -> Blueprint:
    """mLSTM blocks and gated MLPs (xLSTM 7B, arXiv:2503.13427)."""
    width, bias, fused = c.hidden_size, c.flag("use_bias"), c.get("weight_mode") == "fused"
    mixer = MatrixLSTM(
        "mlstm_layer",
        width,
        c.num_heads,
        int(width * c.qk_dim_factor),
        int(width * c.v_dim_factor),
        bias=bias,
        fused=fused,
        state_width=4 if c.get("inference_state_dtype") == "float32" else 2,
    )
    mlp = MLP(
        "ffn",
        width,
        rounded_up(width * c.ffn_proj_factor, c.ffn_round_up_to_multiple_of),
        bias=bias,
        gate="proj_up_gate",
        up="proj_up",
        down="proj_down",
        fused="proj_up_gate_z" if fused else None,
    )

    def norm(name: str, size: int) -> Norm:
        return Norm(name, size, bias=bias)

    layer = pre_norm(c, mixer, mlp, kind="mLSTM + mlp", norm=norm, names=("norm_mlstm", "norm_ffn"))
    count: int = c.first("num_blocks", "num_hidden_layers")
    # transformers ties no head of this type, whatever tie_word_embeddings says.
    built = decoder(
        c,
        [layer] * times(count),
        path="backbone.blocks",
        embedding="backbone.embeddings",
        final="backbone.out_norm",
        tied=False,
    )
    if c.get("embedding_dim") in (None, width):
        return built
    table = Embedding("backbone.embeddings", c.vocab_size, c.embedding_dim)
    return replace(built, text=replace(built.text, before=(table,)))


@family("minimax", "minimax_m1")
def minimax(c: Config) -> Blueprint:
    """Seven layers of lightning attention to one of softmax attention, each before experts (arXiv:2501.08313)."""
    listed = c.get("attn_type_list")
    types = (
        ["full_attention" if t else "linear_attention" for t in listed]
        if isinstance(listed, list)
        else layer_types(c, lambda i: "linear_attention" if i % 2 else "full_attention")
    )
    heads, _, head_dim = head_shape(c)
    rotary = c.get("rotary_dim") or partly_rotated(c, head_dim, 1)
    mixers: dict[str, Part] = {
        "full_attention": self_attention(c, window=c.get("sliding_window"), bias=False, rotary=rotary),
        "linear_attention": LightningAttention("self_attn", c.hidden_size, heads, head_dim),
    }
    layers = [pre_norm(c, mixers[t], mixtral_experts(c), kind=f"{t.replace('_', ' ')} + experts") for t in types]
    return decoder(c, layers)
