"""Mixtures of experts that differ from Mixtral or DeepSeek in names, in the router or in the attention beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    blueprint,
    dropped,
    family,
    gated_mlp,
    head_shape,
    language_model,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.families.mixtures.latent import deepseek_experts
from calculator.families.prediction import further_layers, stated
from calculator.families.shared import dense_or_sparse, mixed_layers, partly_rotated, prediction_notes
from calculator.model import Layer
from calculator.parts import MLP, Attention, Experts, Part

MIXTRAL_NAMES = ("w1", "w3", "w2")


@family("phimoe")
def phimoe(c: Config) -> Blueprint:
    """Mixtral with LayerNorm and biases; its router (SparseMixer, arXiv:2310.00811) always chooses two experts."""
    window = c.get("sliding_window")
    experts = Experts(
        "block_sparse_moe",
        c.hidden_size,
        c.intermediate_size,
        c.num_local_experts,
        2,
        names=MIXTRAL_NAMES,
    )
    layer = pre_norm(
        c,
        self_attention(c, window=window),
        experts,
        kind=f"{attention_kind(window)} + experts",
        norm="layer",
        bias=True,
    )
    text = language_model(
        c, [layer] * c.num_hidden_layers, norm="layer", norm_bias=True, head_bias=c.flag("lm_head_bias")
    )
    return blueprint(c, text)


@family("minimax_m2")
def minimax_m2(c: Config) -> Blueprint:
    """Norms over all query or key heads together; rotary_dim elements of each head are rotated."""
    head_dim = head_shape(c)[2]
    attention = self_attention(
        c,
        head_norm="full",
        rotary=c.get("rotary_dim") or partly_rotated(c, head_dim, 1),
        qkv_bias=False,
        out_bias=False,
    )
    experts = Experts(
        "block_sparse_moe",
        c.hidden_size,
        c.intermediate_size,
        c.num_local_experts,
        c.num_experts_per_tok,
        names=MIXTRAL_NAMES,
        correction=True,
        correction_name="e_score_correction_bias",
    )
    layer = pre_norm(c, attention, experts, kind="full attention + experts")
    # The published checkpoints hold none of the modules that num_mtp_modules counts.
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


def olmoe_experts(c: Config) -> Experts:
    return Experts("mlp", c.hidden_size, c.intermediate_size, c.num_experts, c.num_experts_per_tok)


@family("olmoe")
def olmoe(c: Config) -> Blueprint:
    layer = pre_norm(c, self_attention(c, head_norm="full"), olmoe_experts(c), kind="full attention + experts")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("dots1")
def dots1(c: Config) -> Blueprint:
    last = c.get("max_window_layers") or 0
    sliding = c.get("sliding_window") is not None
    types = layer_types(c, lambda i: "sliding_attention" if sliding and i >= last else "full_attention")
    kept = windows(c, types)
    layers = mixed_layers(
        c,
        lambda i: self_attention(c, window=kept[i], head_norm="head"),
        deepseek_experts(c, correction=True),
        dense_or_sparse(c, c.first_k_dense_replace),
    )
    return blueprint(c, language_model(c, layers))


@family("solar_open")
def solar_open(c: Config) -> Blueprint:
    """Every layer is a mixture; rotary positions over the whole head unless the config says otherwise."""
    layer = pre_norm(
        c, self_attention(c, out_bias=False), deepseek_experts(c, correction=True), kind="full attention + experts"
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("exaone_moe")
def exaone_moe(c: Config) -> Blueprint:
    """EXAONE 4's attention (positions in the sliding layers only) before DeepSeek's experts."""
    window, pattern = c.get("sliding_window"), c.get("sliding_window_pattern")
    period = len(pattern) if isinstance(pattern, str) else pattern or 0
    kept = windows(
        c, layer_types(c, lambda i: "sliding_attention" if window and period and (i + 1) % period else "full_attention")
    )
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        correction=True,
        shared=c.num_shared_experts * c.moe_intermediate_size,
        correction_name="e_score_correction_bias",
    )

    def attention(i: int) -> Part:
        changes: dict[str, Any] = {} if kept[i] is not None or window is None else {"rotary": 0}
        return self_attention(c, window=kept[i], head_norm="head", qkv_bias=False, out_bias=False, **changes)

    layers = mixed_layers(c, attention, experts, dense_or_sparse(c, c.get("first_k_dense_replace") or 0))
    return blueprint(c, language_model(c, layers), notes=prediction_notes(c))


@family("hy_v3")
def hy_v3(c: Config) -> Blueprint:
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        router="router.gate",
        shared=c.num_shared_experts * c.moe_intermediate_size,
        shared_name="shared_mlp",
        shared_bias=c.flag("mlp_bias"),
        correction=True,
        correction_name="expert_bias",
    )
    attention = self_attention(c, head_norm="head")
    layers = mixed_layers(c, attention, experts, dense_or_sparse(c, 1))
    (predicted,) = mixed_layers(c, attention, experts, [True])
    apart = further_layers(c, predicted, stated(c), final="final_layernorm")
    return blueprint(c, language_model(c, layers), apart=apart)


@family("hunyuan_v1_moe")
def hunyuan_v1_moe(c: Config) -> Blueprint:
    """Experts and one shared MLP in every layer; sizes may be listed layer by layer."""

    def of(value: int | list[int], i: int) -> int:
        return value[i] if isinstance(value, list) else value

    attention = self_attention(c, head_norm="head", norm_names=("query_layernorm", "key_layernorm"))
    layers = [
        pre_norm(
            c,
            attention,
            Experts(
                "mlp",
                c.hidden_size,
                c.intermediate_size,
                of(c.num_experts, i),
                of(c.moe_topk, i),
                router="gate.wg",
                shared=c.intermediate_size,
                shared_name="shared_mlp",
            ),
            kind="full attention + experts",
        )
        for i in range(c.num_hidden_layers)
    ]
    return blueprint(c, language_model(c, layers))


@family("ernie4_5_moe")
def ernie4_5_moe(c: Config) -> Blueprint:
    bias, interval, count = c.flag("use_bias"), c.moe_layer_interval, c.num_hidden_layers
    last = count - 1 if c.moe_layer_end_index == -1 else c.moe_layer_end_index
    sparse = [(i + 1) % interval == 0 and c.moe_layer_start_index <= i <= last for i in range(count)]
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.moe_num_experts,
        c.moe_k,
        shared_bias=bias,
        shared=c.moe_num_shared_experts * c.moe_intermediate_size,
        correction=True,
        correction_name="moe_statics.e_score_correction_bias",
        correction_role="vector",
        correction_shape=(1, c.moe_num_experts),
    )
    layers = mixed_layers(
        c, self_attention(c, qkv_bias=bias, out_bias=bias), experts, sparse, dense=gated_mlp(c, bias=bias)
    )
    return blueprint(c, language_model(c, layers, head_bias=bias), notes=prediction_notes(c))


def granite_experts(c: Config) -> Experts:
    """Two packed tensors, and a router inside a router."""
    return Experts(
        "block_sparse_moe",
        c.hidden_size,
        c.intermediate_size,
        c.num_local_experts,
        c.num_experts_per_tok,
        router="router.layer",
        packed=True,
        prefix="",
        packed_name="input_linear.weight",
        names=("", "", "output_linear.weight"),
    )


def granite_mlp(c: Config) -> MLP:
    """The shared MLP that runs beside the experts, or alone."""
    return MLP("shared_mlp", c.hidden_size, c.shared_intermediate_size, fused="input_linear", down="output_linear")


def granite_layer(c: Config, mixer: Part, kind: str, experts: Experts | None = None) -> Layer:
    """norm, mixer, add; norm, experts and shared MLP (each if the config has it), add."""
    channels: list[Part] = []
    if c.get("num_local_experts"):
        channels.append(experts or granite_experts(c))
    if c.get("shared_intermediate_size"):
        channels.append(granite_mlp(c))
    layer = pre_norm(c, mixer, channels[0], kind=f"{kind} + {'experts' if isinstance(channels[0], Experts) else 'mlp'}")
    *first, add = layer.parts
    return replace(layer, parts=(*first, *channels[1:], add))


@family("granitemoe", "granitemoeshared")
def granitemoe(c: Config) -> Blueprint:
    layer = granite_layer(c, self_attention(c), "full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("mimo_v2_flash")
def mimo_v2_flash(c: Config) -> Blueprint:
    """Sliding layers with sinks and twice the key-value heads beside full ones; value heads smaller than key heads."""
    count: int = c.num_hidden_layers
    pattern, mixed = c.get("hybrid_layer_pattern"), c.get("moe_layer_freq")
    types = (
        ["sliding_attention" if p else "full_attention" for p in pattern]
        if isinstance(pattern, list)
        else layer_types(c, lambda i: "full_attention" if i == 0 or (i + 1) % 6 == 0 else "sliding_attention")
    )
    # The hub's sliding_window_size counts the tokens before the query.
    stated = c.raw.get("sliding_window_size")
    window = stated + 1 if isinstance(stated, int) else c.sliding_window
    rotary = partly_rotated(c, c.head_dim, 0.334)
    sparse = [bool(m) for m in mixed] if isinstance(mixed, list) else dense_or_sparse(c, 1)

    def attention(i: int) -> Attention:
        options = {"out_bias": False, "rotary": rotary, "value_dim": c.v_head_dim}
        if types[i] == "full_attention":
            return self_attention(c, **options)
        sliding = self_attention(c, window=window, sinks=True, sink_name="attention_sink_bias", **options)
        return replace(sliding, kv_heads=c.get("swa_num_key_value_heads") or 2 * c.num_key_value_heads)

    experts = replace(deepseek_experts(c, correction=True), shared=0)
    layers = [
        replace(layer, kind=layer.kind.replace("full attention", types[i].replace("_", " ")))
        for i, layer in enumerate(mixed_layers(c, attention, experts, sparse))
    ]
    notes = (
        "MiMo-V2-Flash's checkpoint also holds three multi-token-prediction layers, which its config does not state; "
        "they are not counted.",
    )
    return blueprint(c, language_model(c, layers[:count]), notes=notes)


@family("laguna")
def laguna(c: Config) -> Blueprint:
    """A gate of its own on the attention's output, and a number of heads for each layer."""
    types = layer_types(c, lambda i: "full_attention")
    heads = c.get("num_attention_heads_per_layer") or [c.num_attention_heads] * len(types)
    kept = windows(c, types)
    ropes = c.get("rope_parameters") or {}
    per_head = c.get("gating") in (True, "per-head")

    def attention(i: int) -> Attention:
        share = (ropes.get(types[i]) or {}).get("partial_rotary_factor") or (1 if kept[i] else 0.5)
        mixer = self_attention(
            c,
            window=kept[i],
            head_norm="head",
            gate_name="g_proj",
            gate_per_head=per_head,
            rotary=int(c.head_dim * share),
        )
        return replace(mixer, heads=heads[i])

    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        shared=c.shared_expert_intermediate_size,
        shared_name="shared_expert",
        correction=True,
        correction_name="experts.e_score_correction_bias",
        correction_role="vector",
    )
    layers = [
        replace(layer, kind=layer.kind.replace("full attention", types[i].replace("_", " ")))
        for i, layer in enumerate(mixed_layers(c, attention, experts, dense_or_sparse(c, 1)))
    ]
    return blueprint(c, language_model(c, layers))


@family("bailing_moe", "bailing_moe_v2")
def bailing_moe(c: Config) -> Blueprint:
    """Ling and Ring (Ant): one packed projection, a norm for each head, DeepSeek's router."""
    bias, head_dim = c.flag("use_bias"), head_shape(c)[2]
    attention = self_attention(
        c,
        name="attention",
        fused="query_key_value",
        out="dense",
        qkv_bias=c.flag("use_qkv_bias"),
        out_bias=bias,
        head_norm="head" if c.flag("use_qk_norm") else None,
        norm_names=("query_layernorm", "key_layernorm"),
        rotary=partly_rotated(c, head_dim, 1),
        dropout=dropped(c, "attention_dropout"),
    )
    width = c.get("moe_shared_expert_intermediate_size") or c.moe_intermediate_size
    experts = Experts(
        "mlp",
        c.hidden_size,
        c.moe_intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        shared=(c.get("num_shared_experts") or 0) * width,
        correction=c.flag("moe_router_enable_expert_bias"),
        correction_name="gate.expert_bias",
        correction_role="vector",
    )
    sparse = dense_or_sparse(c, c.get("first_k_dense_replace") or 0)
    layers = mixed_layers(c, attention, experts, sparse, dense=gated_mlp(c, bias=bias))
    text = language_model(c, layers, embedding="model.word_embeddings")
    return blueprint(c, text, notes=prediction_notes(c))


@family("deepseek")
def deepseek_moe(c: Config) -> Blueprint:
    """DeepSeekMoE 16B (arXiv:2401.06066): the experts of DeepSeek-V2 beside plain attention."""
    first, period = c.get("first_k_dense_replace") or 0, c.get("moe_layer_freq") or 1
    sparse = [i >= first and i % period == 0 for i in range(c.num_hidden_layers)]
    layers = mixed_layers(c, self_attention(c), deepseek_experts(c, correction=False), sparse)
    return blueprint(c, language_model(c, layers))
