"""Mixtures of experts of 2024 to 2026 beside grouped-query attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    decoder,
    family,
    gated_mlp,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.families.mixtures import granite_layer, olmoe_experts
from calculator.families.moe import qwen_experts, sparse
from calculator.families.prediction import layers_of_their_own, stated
from calculator.families.shared import dense_or_sparse, parallel_layer, post_norm, renamed
from calculator.model import Layer
from calculator.parts import MLP, Attention, Experts, Norm, Part, Residual, VectorWeights


def every(period: int, otherwise: str = "sliding_attention") -> Any:
    """The pattern that has full attention in every layer whose place is a multiple of `period`."""
    return lambda i: otherwise if (i + 1) % period else "full_attention"


def positions_in_windows(c: Config, window: int | None, **changes: Any) -> Attention:
    """Attention whose full layers have no positions."""
    return self_attention(c, window=window, **(changes if window is not None else {**changes, "rotary": 0}))


def sandwiched(c: Config, names: tuple[str, str, str, str], mixer: tuple[Part, ...], channel: Part, kind: str) -> Layer:
    """A norm before and after each half."""
    before, after, inner, outer = (Norm(name, c.hidden_size) for name in names)
    adds = [Residual(name, c.hidden_size) for name in ("mixer_residual", "channel_residual")]
    return Layer(kind, (before, *mixer, after, adds[0], inner, channel, outer, adds[1]))


def with_channel(window: int | None, mixed: bool) -> str:
    return f"{attention_kind(window)} + {'experts' if mixed else 'mlp'}"


@family("afmoe")
def afmoe(c: Config) -> Blueprint:
    """Trinity (Arcee): gated attention with positions in the sliding layers only, four norms a layer."""
    names = ("input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm", "post_mlp_layernorm")
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        router="router.gate",
        shared=c.num_shared_experts * c.moe_intermediate_size,
        correction=True,
        correction_name="expert_bias",
        correction_role="vector",
    )

    def layer(window: int | None, mixed: bool) -> Layer:
        mixer = positions_in_windows(c, window, head_norm="head", gate_name="gate_proj")
        channel = experts if mixed else gated_mlp(c, bias=False)
        return sandwiched(c, names, (mixer,), channel, with_channel(window, mixed))

    types = layer_types(c, every(c.global_attn_every_n_layers))
    return decoder(c, [layer(w, i >= c.num_dense_layers) for i, w in enumerate(windows(c, types))])


@family("kolibri1")
def kolibri1(c: Config) -> Blueprint:
    """EXAONE 4's attention (positions in the sliding layers only), four norms a layer, experts in every one."""
    names = ("input_layernorm", "post_attn_norm", "post_attention_layernorm", "post_ffn_norm")
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_local_experts,
        c.num_experts_per_tok,
        shared=c.shared_expert_intermediate_size,
        correction=True,
    )

    def layer(window: int | None) -> Layer:
        unbounded = c.get("sliding_window") is None  # a model without windows has positions in every layer
        attention = self_attention if unbounded else positions_in_windows
        mixer = attention(c, window=window, head_norm="head", qkv_bias=False, out_bias=False)
        return sandwiched(c, names, (mixer,), experts, with_channel(window, True))

    return decoder(c, [layer(w) for w in windows(c, layer_types(c, every(5)))])


@family("beam")
def beam(c: Config) -> Blueprint:
    """Gated attention with a gate bias for each head, four norms a layer, DeepSeek's router without shared experts;
    a kind of layer whose rope_parameters are null has no positions."""
    names = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    count: int = c.num_hidden_layers
    types = layer_types(c, lambda i: "full_attention" if i == count - 1 else every(6)(i))
    ropes = c.get("rope_parameters") or {"sliding_attention": {}, "full_attention": None}
    experts = Experts(
        "mlp", c.hidden_size, c.moe_intermediate_size, c.num_experts, c.num_experts_per_tok, correction=True
    )
    bias = VectorWeights("self_attn", (("gate_bias", (c.num_attention_heads,)),))

    def layer(kind: str, window: int | None, mixed: bool) -> Layer:
        changes: dict[str, Any] = {"rotary": 0} if ropes.get(kind) is None else {}
        mixer = self_attention(c, window=window, head_norm="head", gate_name="gate_proj", **changes)
        channel = experts if mixed else gated_mlp(c, bias=False)
        return sandwiched(c, names, (mixer, bias), channel, with_channel(window, mixed))

    rows = zip(types, windows(c, types), dense_or_sparse(c, 3), strict=True)
    return decoder(c, [layer(*row) for row in rows])


@family("flint")
def flint(c: Config) -> Blueprint:
    """Qwen3's attention with sinks, positions in the sliding layers only, and a shared expert without a gate."""
    count: int = c.num_hidden_layers
    full = {0, 1, count - 1}
    types = layer_types(c, lambda i: "full_attention" if i in full or i % 4 == 1 else "sliding_attention")
    if c.get("mlp_only_layers") is None:
        c.values_["mlp_only_layers"] = [0, 1]
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        shared=c.shared_expert_intermediate_size,
        shared_name="shared_expert",
    )

    def layer(i: int, window: int | None) -> Layer:
        mixed = sparse(c)(i)
        mixer = positions_in_windows(c, window, head_norm="head", sinks=True, sink_name="softmax_offset")
        return pre_norm(c, mixer, experts if mixed else gated_mlp(c, bias=False), kind=with_channel(window, mixed))

    return decoder(c, [layer(i, w) for i, w in enumerate(windows(c, types))])


@family("mellum")
def mellum(c: Config) -> Blueprint:
    """Qwen3-MoE with windows and dense layers where they are listed."""
    experts = qwen_experts(c, shared=False)

    def layer(window: int | None, mixed: bool) -> Layer:
        mixer = self_attention(c, window=window, head_norm="head")
        return pre_norm(c, mixer, experts if mixed else gated_mlp(c, bias=False), kind=with_channel(window, mixed))

    rows = zip(windows(c, layer_types(c, lambda i: "full_attention")), dense_or_sparse(c, 0), strict=True)
    predicted = (c.get("mtp_mlp_layer_types") or ["sparse"])[0] == "sparse"
    apart = layers_of_their_own(c, layer(c.get("sliding_window"), predicted), stated(c))
    return replace(decoder(c, [layer(w, mixed) for w, mixed in rows]), apart=apart)


@family("flex_olmo")
def flex_olmo(c: Config) -> Blueprint:
    """OLMoE's experts in OLMo 2's layers, which have their norms after each half (arXiv:2507.07024)."""
    mixer = self_attention(c, head_norm="full")
    return decoder(c, post_norm(c, mixer, olmoe_experts(c), kind="full attention + experts"))


@family("granitemoe_swa")
def granitemoe_swa(c: Config) -> Blueprint:
    """GraniteMoE with windows and sinks; a layer whose rotary base is 0 has no positions."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    bases = c.get("layer_rope_theta") or [1] * len(types)
    experts = Experts(
        "block_sparse_moe",
        c.hidden_size,
        c.intermediate_size,
        c.num_local_experts,
        c.num_experts_per_tok,
        router="router",
        packed=True,
    )

    def layer(window: int | None, base: float) -> Layer:
        changes: dict[str, Any] = {} if base else {"rotary": 0}
        mixer = self_attention(c, window=window, sinks=True, **changes)
        return granite_layer(c, mixer, attention_kind(window), experts)

    return decoder(c, [layer(w, b) for w, b in zip(windows(c, types), bases, strict=False)])


@family("aria_text")
def aria_text(c: Config) -> Blueprint:
    """Llama's layers with packed experts and shared ones (arXiv:2410.05993)."""
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.intermediate_size,
        c.moe_num_experts,
        c.moe_topk,
        router="router",
        packed=True,
        packed_name="fc1.weight",
        names=("", "", "fc2.weight"),
        shared=c.moe_num_shared_experts * c.intermediate_size,
        shared_bias=c.flag("mlp_bias"),
    )
    return decoder(c, pre_norm(c, self_attention(c), experts, kind="full attention + experts"))


def cohere_halves(c: Config, mixer: Attention, channel: Part, kind: str, norm: str) -> Layer:
    """One norm feeds attention and MLP side by side."""
    return parallel_layer(kind, (Norm("input_layernorm", c.hidden_size, norm),), mixer, channel, c.hidden_size)


@family("cohere2_moe")
def cohere2_moe(c: Config) -> Blueprint:
    """Command's parallel layers with experts; the dense layers in front have their own pattern and, unless they
    alternate too, positions in every layer."""
    first = c.get("first_k_dense_replace") or 0
    period, dense_period = c.sliding_window_pattern, c.prefix_dense_sliding_window_pattern
    types = layer_types(c, lambda i: every(dense_period)(i) if i < first else every(period)(i - first))
    norm = "layer" if c.get("rms_norm_eps") is None else "rms"
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        shared=c.num_shared_experts * c.intermediate_size,
    )
    width = c.get("prefix_dense_intermediate_size")
    dense = MLP("mlp", c.hidden_size, c.intermediate_size if width is None else width)

    def layer(window: int | None, mixed: bool) -> Layer:
        always = not mixed and dense_period == 1
        mixer = self_attention(c, window=window) if always else positions_in_windows(c, window)
        return cohere_halves(c, mixer, experts if mixed else dense, with_channel(window, mixed), norm)

    rows = zip(windows(c, types), dense_or_sparse(c, first), strict=True)
    return decoder(c, [layer(w, mixed) for w, mixed in rows], norm=norm)


@family("cohere_compass_text")
def cohere_compass_text(c: Config) -> Blueprint:
    """Command's parallel dense layers (North Micro); a kind of layer whose rope_parameters are null has no
    positions."""
    types = layer_types(c, lambda i: "full_attention")
    ropes = c.get("rope_parameters") or {}
    by_type = not set(types).isdisjoint(ropes)

    def layer(kind: str, window: int | None) -> Layer:
        changes: dict[str, Any] = {"rotary": 0} if by_type and ropes.get(kind) is None else {}
        mixer = self_attention(c, window=window, **changes)
        return cohere_halves(c, mixer, gated_mlp(c, bias=False), attention_kind(window), "layer")

    return decoder(c, [layer(t, w) for t, w in zip(types, windows(c, types), strict=True)], norm="layer")


@family("dbrx")
def dbrx(c: Config) -> Blueprint:
    """DBRX (Databricks, 2024): LayerNorm without bias, packed q, k and v, experts stacked in three matrices."""
    attention, ffn = c.section("attn_config"), c.section("ffn_config")
    c = renamed(c, num_attention_heads="n_heads", hidden_size="d_model", num_hidden_layers="n_layers")
    width: int = c.hidden_size
    head_dim = width // c.num_attention_heads
    mixer = Attention(
        "norm_attn_norm.attn",
        width,
        c.num_attention_heads,
        attention.kv_n_heads,
        head_dim,
        fused="Wqkv",
        out="out_proj",
        rotary=head_dim,
        dropout=bool(attention.get("attn_pdrop")),
    )
    experts = Experts(
        "ffn",
        width,
        ffn.ffn_hidden_size,
        ffn.moe_num_experts,
        ffn.moe_top_k,
        router="router.layer",
        prefix="experts.mlp",
        names=("w1", "v1", "w2"),
        stacked=True,
    )
    layer = pre_norm(
        c,
        mixer,
        experts,
        kind="full attention + experts",
        norm="layer",
        names=("norm_attn_norm.norm_1", "norm_attn_norm.norm_2"),
        dropout=bool(c.get("resid_pdrop")),
    )
    return decoder(
        c,
        layer,
        path="transformer.blocks",
        embedding="transformer.wte",
        final="transformer.norm_f",
        norm="layer",
    )
