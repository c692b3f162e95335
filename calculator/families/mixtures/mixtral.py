"""Decoders whose channel mixer is, in some or all layers, a mixture of experts."""

from __future__ import annotations

from collections.abc import Callable

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    blueprint,
    family,
    gated_mlp,
    language_model,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.families.prediction import layers_of_their_own, stated
from calculator.model import Layer
from calculator.parts import Experts, GatedDeltaNet, Part


@family("mixtral")
def mixtral(c: Config) -> Blueprint:
    window = c.get("sliding_window")
    experts = Experts(
        "block_sparse_moe",
        c.hidden_size,
        c.intermediate_size,
        c.first("num_local_experts", "num_experts"),
        c.num_experts_per_tok,
        names=("w1", "w3", "w2"),
    )
    layer = pre_norm(c, self_attention(c, window=window), experts, kind=f"{attention_kind(window)} + experts")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


def sparse(c: Config) -> Callable[[int], bool]:
    """Which layers are mixtures, by decoder_sparse_step and mlp_only_layers (Qwen)."""
    step, dense = c.get("decoder_sparse_step") or 1, set(c.get("mlp_only_layers") or ())
    experts = c.first("num_experts", "num_local_experts")
    return lambda i: i not in dense and experts > 0 and (i + 1) % step == 0


def qwen_experts(c: Config, *, shared: bool) -> Experts:
    return Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.first("num_experts", "num_local_experts"),
        c.num_experts_per_tok,
        shared=c.shared_expert_intermediate_size if shared else 0,
        shared_gate=shared,
        shared_name="shared_expert",
    )


def qwen_layer(c: Config, index: int, mixer: Part, kind: str, *, shared: bool) -> Layer:
    mixed = sparse(c)(index)
    channel = qwen_experts(c, shared=shared) if mixed else gated_mlp(c)
    return pre_norm(c, mixer, channel, kind=f"{kind} + {'experts' if mixed else 'mlp'}")


@family("qwen2_moe")
def qwen2_moe(c: Config) -> Blueprint:
    # transformers reads the bias of q, k and v from qkv_bias; checkpoints have it unless they say otherwise.
    bias = c.get("qkv_bias") is not False
    last = c.get("max_window_layers") or 0
    # Unlike Qwen2, every other layer has the window, and only below max_window_layers.
    sliding = c.flag("use_sliding_window") and c.get("sliding_window") is not None
    types = layer_types(c, lambda i: "full_attention" if i % 2 or i >= last or not sliding else "sliding_attention")
    layers = [
        qwen_layer(c, i, self_attention(c, window=w, qkv_bias=bias, out_bias=False), attention_kind(w), shared=True)
        for i, w in enumerate(windows(c, types))
    ]
    return blueprint(c, language_model(c, layers))


@family("qwen3_moe")
def qwen3_moe(c: Config) -> Blueprint:
    window = c.get("sliding_window") if c.flag("use_sliding_window") else None
    attention = self_attention(c, window=window, head_norm="head")
    layers = [qwen_layer(c, i, attention, attention_kind(window), shared=False) for i in range(c.num_hidden_layers)]
    return blueprint(c, language_model(c, layers))


@family("qwen3_next")
def qwen3_next(c: Config) -> Blueprint:
    """Three gated delta nets to one gated full attention, each followed by a mixture with a shared expert."""
    period = c.get("full_attention_interval") or 4
    types = layer_types(c, lambda i: "linear_attention" if (i + 1) % period else "full_attention")
    width = 4 if str(c.get("mamba_ssm_dtype")) == "float32" else None
    linear = GatedDeltaNet(
        "linear_attn",
        c.hidden_size,
        c.linear_num_key_heads,
        c.linear_num_value_heads,
        c.linear_key_head_dim,
        c.linear_value_head_dim,
        c.linear_conv_kernel_dim,
        state_width=width,
    )
    full = self_attention(c, head_norm="head", gate=True)
    mixers: dict[str, tuple[Part, str]] = {
        "linear_attention": (linear, "linear attention"),
        "full_attention": (full, "full attention"),
    }
    layers = [qwen_layer(c, i, *mixers[kind], shared=True) for i, kind in enumerate(types)]
    predicted = qwen_layer(c, c.num_hidden_layers - 1, *mixers["full_attention"], shared=True)
    apart = layers_of_their_own(c, predicted, stated(c, "mtp_num_hidden_layers"))
    notes = (
        "Qwen3-Next-80B's checkpoints also hold a multi-token-prediction layer, which their config does not state "
        "(Qwen3-Coder-Next's hold none); it is not counted.",
    )
    return blueprint(c, language_model(c, layers), apart=apart, notes=() if apart else notes)


@family("gpt_oss")
def gpt_oss(c: Config) -> Blueprint:
    types = layer_types(c, lambda i: "full_attention" if i % 2 else "sliding_attention")
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.intermediate_size,
        c.first("num_local_experts", "num_experts"),
        c.num_experts_per_tok,
        bias=True,
        router="router",
        router_bias=True,
        packed=True,
    )
    layers = [
        pre_norm(c, self_attention(c, window=w, sinks=True), experts, kind=f"{attention_kind(w)} + experts")
        for w in windows(c, types)
    ]
    return blueprint(c, language_model(c, layers))
