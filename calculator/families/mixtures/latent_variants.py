"""Mixtures of experts beside latent attention that differ from DeepSeek's in a norm, a gate, an expert or the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import dense_or_sparse, layer_types
from calculator.families.layers import gated_mlp, mixed_layers, mixture
from calculator.families.mixtures.glm import indexer
from calculator.families.mixtures.latent import deepseek_experts, latent_attention
from calculator.families.models import decoder
from calculator.families.prediction import inside, joined, prediction_notes, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Correction,
    Embedding,
    Experts,
    GatedNorm,
    HyperConnection,
    LatentAttention,
    Norm,
    Part,
    Residual,
    Router,
    SharedMLP,
    Storage,
)


def sparse_by_frequency(c: Config) -> list[bool]:
    """Which layers are mixtures: mlp_layer_types, or every moe_layer_freq-th from first_k_dense_replace on; the
    frequency may also be a list of flags."""
    first, often = c.get("first_k_dense_replace"), c.listed("moe_layer_freq") or 1
    listed = dense_or_sparse(c, 1 if first is None else first)
    if c.get("mlp_layer_types"):
        return listed
    return [mixed and bool(often[i] if isinstance(often, list) else i % often == 0) for i, mixed in enumerate(listed)]


@family("axk1")
def axk1(c: Config) -> Blueprint:
    """A.X-K1 (SK Telecom): DeepSeek-V3 with a norm after the experts."""
    experts = deepseek_experts(c, correction=True)
    layers = mixed_layers(c, latent_attention(c), experts, sparse_by_frequency(c), mixer_kind="latent attention")
    norm = Norm("post_mlp_layernorm", c.hidden_size)

    def normed(layer: Layer) -> Layer:
        *first, add = layer.parts
        return replace(layer, parts=(*first, norm, add)) if experts in layer.parts else layer

    return decoder(c, [normed(layer) for layer in layers], notes=prediction_notes(c))


@family("axk2")
def axk2(c: Config) -> Blueprint:
    """A.X-K2 (SK Telecom): DeepSeek-V3.2 with a gate from the query's compression, and gated norms before the attention
    and the experts."""
    mixer = replace(latent_attention(c), gated_query=True, selected=c.index_topk)

    def gated(name: str) -> Part:
        return GatedNorm(name, c.hidden_size, c.gated_norm_rank)

    def layer(mixed: bool) -> Layer:
        names = ("input_layernorm", "post_attention_layernorm")
        adds = [Residual(name, c.hidden_size) for name in ("mixer_residual", "channel_residual")]
        inner = gated(names[1]) if mixed else Norm(names[1], c.hidden_size)
        channel: Part = deepseek_experts(c, correction=True) if mixed else gated_mlp(c, bias=False)
        kind = f"sparse latent attention + {'experts' if mixed else 'mlp'}"
        return Layer(kind, (gated(names[0]), indexer(c), mixer, adds[0], inner, channel, adds[1]))

    return decoder(c, [layer(mixed) for mixed in sparse_by_frequency(c)], notes=prediction_notes(c))


@family("longcat_flash")
def longcat_flash(c: Config) -> Blueprint:
    """LongCat-Flash (arXiv:2509.01322): two attentions and two MLPs a layer, and experts that read the stream between
    them and add their result at the end. Some experts are the identity: they hold nothing."""
    width: int = c.hidden_size
    # num_hidden_layers counts the attentions, where a file states it.
    count = c.num_hidden_layers // 2 if c.get("num_hidden_layers") else c.num_layers
    experts = mixture(
        c,
        intermediate=c.expert_ffn_hidden_size,
        experts=c.n_routed_experts,
        top_k=c.moe_topk,
        identity=c.get("zero_expert_num") or 0,
        router=Router("router.classifier", bias=c.flag("router_bias")),
        correction=Correction("router.e_score_correction_bias"),
    )
    attention = latent_attention(c)

    def half(i: int, routed: tuple[Part, ...]) -> tuple[Part, ...]:
        return (
            Norm(f"input_layernorm.{i}", width),
            replace(attention, name=f"self_attn.{i}"),
            Residual(f"mixer_residual.{i}", width),
            Norm(f"post_attention_layernorm.{i}", width),
            *routed,
            MLP(f"mlps.{i}", width, c.ffn_hidden_size),
            Residual(f"channel_residual.{i}", width),
        )

    parts = (*half(0, (experts,)), *half(1, ()), Residual("experts_residual", width))
    # What the experts made waits while the second half runs.
    beside = ("mlp", "mlps.0", "self_attn.1", "mlps.1")
    layer = Layer("two latent attentions + two mlps + experts", parts, parallel=beside)
    built = decoder(c, [layer] * times(count), notes=expected_choices(experts))
    return replace(built, apart=longcat_prediction(c, attention))


def longcat_prediction(c: Config, attention: LatentAttention) -> tuple[Stack, ...]:
    """One attention and one MLP for each token predicted, and a copy of the embedding."""
    count, width = stated(c), c.hidden_size
    parts = (
        *joined(c, ("enorm.m", "hnorm.m")),
        Norm("input_layernorm", width),
        attention,
        Norm("post_attention_layernorm", width),
        MLP("transformer_layer.mlp", width, c.ffn_hidden_size),
    )
    layers = tuple(p for i in range(times(count)) for p in inside(f"layers.{i}", parts))
    held = (Embedding("embed_tokens", c.vocab_size, width), *layers, Norm("norm", width))
    return (Stack("", width, (), before=inside("model.mtp", held)),) if count else ()


def expected_choices(experts: Experts) -> tuple[str, ...]:
    """How the active parameters are counted where some experts hold nothing."""
    if not experts.identity:
        return ()
    used = experts.top_k * experts.experts / experts.choices
    return (
        f"{experts.identity} of the {experts.choices} experts are the identity and hold nothing. Active parameters and "
        f"FLOPs are the average: {used:.3g} of a token's {experts.top_k} choices are experts that compute.",
    )


@family("hy_v4", "hy_v4_vl_text")
def hy_v4(c: Config) -> Blueprint:
    """Hy4 (Tencent): sparse latent attention with a gate and sinks, and hyper-connections that leave the streams
    unmixed. Three layers of four reuse the choice of the last indexer."""
    width, streams, count = c.hidden_size, c.hc_mult, c.num_hidden_layers
    kinds = c.get("indexer_types") or ["full" if i == 0 or i % 4 == 1 else "shared" for i in range(times(count))]
    mixer = replace(
        latent_attention(c), selected=c.index_topk, gate_name="linear_gate", sink_name="learnable_sink_param"
    )

    experts = replace(deepseek_experts(c, correction=True), stored=Storage("packed"))

    def layer(kind: str, mixed: bool) -> Layer:
        indexed: tuple[Part, ...] = (indexer(c),) if kind == "full" else ()
        channel: Part = experts if mixed else gated_mlp(c, bias=False)
        parts = (
            HyperConnection("hc_attn_layer.hc_pre.hc", width, streams, independent=True),
            Norm("input_layernorm", width),
            *indexed,
            mixer,
            HyperConnection("hc_mlp_layer.hc_pre.hc", width, streams, independent=True),
            Norm("post_attention_layernorm", width),
            channel,
        )
        chosen = "sparse latent attention" + ("" if indexed else " (shared choice)")
        return Layer(f"{chosen} + {'experts' if mixed else 'mlp'}", parts)

    rows = zip(kinds, dense_or_sparse(c, 1), strict=True)
    built = decoder(c, [layer(k, m) for k, m in rows], notes=prediction_notes(c))
    closing = HyperConnection("model.hc_head.hc_head", width, streams, closing=True)
    return replace(built, text=replace(built.text, after=(closing, *built.text.after)))


# What a sliding layer of Dots 3 Note has where the file says nothing (swa_num_attention_heads and so on).
DOTS_SLIDING = {
    "num_attention_heads": 64,
    "q_lora_rank": 1024,
    "kv_lora_rank": 1024,
    "head_dim": 256,
    "qk_nope_head_dim": 192,
    "v_head_dim": 128,
}


def dots_types(c: Config) -> list[str]:
    """What each layer attends to. Older files call the indexed layers full ones."""
    indexed = c.get("use_dsa")
    if indexed is None and c.get("per_layer_config") is None:
        indexed = True
    full = "full_attention" if indexed is False else "indexed_attention"
    sliding = c.flag("use_sliding_window")
    types = layer_types(c, lambda i: "sliding_attention" if sliding and i > 1 and i % 4 != 1 else full)
    if indexed is None:
        return types
    return [t if t == "sliding_attention" else full for t in types]


def dots_sizes(c: Config, i: int, kind: str) -> Mapping[str, Any]:
    """What a layer's attention has otherwise than the config's other fields say."""
    listed = c.get("per_layer_config")
    if listed is not None:
        return listed.get(str(i)) or listed.get(i) or {}
    if kind != "sliding_attention":
        return {}
    stated = {name: c.get(f"swa_{name}", value) for name, value in DOTS_SLIDING.items()}
    rotated = c.get("swa_qk_rope_head_dim")
    return {
        **stated,
        "qk_rope_head_dim": stated["head_dim"] - stated["qk_nope_head_dim"] if rotated is None else rotated,
    }


@family("dots3_note_text")
def dots3_note_text(c: Config) -> Blueprint:
    """Dots 3 Note: latent attention gated by head, sliding in three layers of four, with sizes of its own there, and
    chosen by an indexer in the others."""
    window = c.sliding_window if c.get("sliding_window") is not None else c.sliding_window_size
    shared = c.n_shared_experts * c.shared_experts_intermediate_size
    experts = replace(deepseek_experts(c, correction=True), shared=SharedMLP(shared))

    def attention(i: int, kind: str) -> tuple[Part, ...]:
        own = Config({**c.plain(), **dots_sizes(c, i, kind)}, c.model_type, where=c.where)
        mixer: LatentAttention = replace(
            latent_attention(own), gate_name="g_proj", gate_per_head=True, rope_norm="k_rope_only_layernorm"
        )
        if kind == "indexed_attention":
            return indexer(own), replace(mixer, selected=own.index_topk)
        return (replace(mixer, window=window if kind == "sliding_attention" else None),)

    def layer(i: int, kind: str, mixed: bool) -> Layer:
        channel: Part = experts if mixed else gated_mlp(c, bias=False)
        parts = (
            Norm("input_layernorm", c.hidden_size),
            *attention(i, kind),
            Residual("mixer_residual", c.hidden_size),
            Norm("post_attention_layernorm", c.hidden_size),
            channel,
            Residual("channel_residual", c.hidden_size),
        )
        words = {"indexed_attention": "sparse latent attention", "sliding_attention": "sliding latent attention"}
        return Layer(f"{words.get(kind, 'latent attention')} + {'experts' if mixed else 'mlp'}", parts)

    rows = zip(dots_types(c), sparse_by_frequency(c), strict=True)
    layers = [layer(i, kind, mixed) for i, (kind, mixed) in enumerate(rows)]
    return decoder(c, layers, notes=prediction_notes(c))
