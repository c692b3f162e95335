"""Mixtures of experts beside attention that alternates between windows and the whole past."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.decoders.norms import exaone_attention, exaone_windows
from calculator.families.fields import (
    attention_kind,
    changed,
    dense_or_sparse,
    every,
    layer_types,
    partly_rotated,
    windows,
)
from calculator.families.layers import (
    channel_kind,
    gated_mlp,
    mixed_layers,
    mixture,
    parallel_layer,
    positions_in_windows,
    pre_norm,
    sandwiched,
    self_attention,
    unbiased_norm,
)
from calculator.families.mixtures.grouped import granite_layer
from calculator.families.mixtures.latent import deepseek_experts
from calculator.families.mixtures.mixtral import qwen_experts, sparse
from calculator.families.models import decoder
from calculator.families.prediction import inside, joined, layers_of_their_own, prediction_notes, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    Correction,
    Gate,
    HeadNorms,
    Norm,
    Part,
    Residual,
    Router,
    Sees,
    SharedMLP,
    Storage,
    VectorWeights,
)


@family("afmoe")
def afmoe(c: Config) -> Blueprint:
    """Trinity (Arcee): gated attention with positions in the sliding layers only, four norms a layer."""
    names = ("input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm", "post_mlp_layernorm")
    experts = mixture(
        c,
        router=Router("router.gate"),
        shared=SharedMLP(c.num_shared_experts * c.moe_intermediate_size),
        correction=Correction("expert_bias", role="vector"),
    )

    def layer(window: int | None, mixed: bool) -> Layer:
        mixer = positions_in_windows(c, window, norms=HeadNorms("head"), gate=Gate("gate_proj"))
        channel = experts if mixed else gated_mlp(c, bias=False)
        return sandwiched(c, mixer, channel, names=names, kind=channel_kind(window, mixed))

    types = layer_types(c, every(c.global_attn_every_n_layers))
    return decoder(c, [layer(w, i >= c.num_dense_layers) for i, w in enumerate(windows(c, types))])


@family("kolibri1")
def kolibri1(c: Config) -> Blueprint:
    """EXAONE 4's attention (positions in the sliding layers only), four norms a layer, experts in every one."""
    names = ("input_layernorm", "post_attn_norm", "post_attention_layernorm", "post_ffn_norm")
    experts = mixture(
        c, experts=c.num_local_experts, shared=SharedMLP(c.shared_expert_intermediate_size), correction=Correction()
    )

    def layer(window: int | None) -> Layer:
        unbounded = c.get("sliding_window") is None  # a model without windows has positions in every layer
        attention = self_attention if unbounded else positions_in_windows
        mixer = attention(c, window=window, norms=HeadNorms("head"), bias=False)
        return sandwiched(c, mixer, experts, names=names)

    return decoder(c, [layer(w) for w in windows(c, layer_types(c, every(5)))])


@family("beam")
def beam(c: Config) -> Blueprint:
    """Gated attention with a gate bias for each head, four norms a layer, DeepSeek's router without shared experts;
    a kind of layer whose rope_parameters are null has no positions."""
    count: int = c.num_hidden_layers
    types = layer_types(c, lambda i: "full_attention" if i == count - 1 else every(6)(i))
    ropes = c.get("rope_parameters") or {"sliding_attention": {}, "full_attention": None}
    experts = mixture(c, correction=Correction())
    bias = VectorWeights("self_attn", (("gate_bias", (c.num_attention_heads,)),))

    def layer(kind: str, window: int | None, mixed: bool) -> Layer:
        rotates = ropes.get(kind) is not None
        mixer = self_attention(c, window=window, norms=HeadNorms("head"), gate=Gate("gate_proj"), rotates=rotates)
        channel = experts if mixed else gated_mlp(c, bias=False)
        return sandwiched(c, (mixer, bias), channel, kind=channel_kind(window, mixed))

    rows = zip(types, windows(c, types), dense_or_sparse(c, 3), strict=True)
    return decoder(c, [layer(*row) for row in rows])


@family("flint")
def flint(c: Config) -> Blueprint:
    """Qwen3's attention with sinks, positions in the sliding layers only, and a shared expert without a gate."""
    count: int = c.num_hidden_layers
    full = {0, 1, count - 1}
    types = layer_types(c, lambda i: "full_attention" if i in full or i % 4 == 1 else "sliding_attention")
    if c.get("mlp_only_layers") is None:
        c = c.read_as(mlp_only_layers=[0, 1])
    experts = mixture(c, shared=SharedMLP(c.shared_expert_intermediate_size, name="shared_expert"))

    def layer(i: int, window: int | None) -> Layer:
        mixed = sparse(c)(i)
        mixer = positions_in_windows(c, window, norms=HeadNorms("head"), sinks="softmax_offset")
        return pre_norm(c, mixer, experts if mixed else gated_mlp(c, bias=False), kind=channel_kind(window, mixed))

    return decoder(c, [layer(i, w) for i, w in enumerate(windows(c, types))])


@family("mellum")
def mellum(c: Config) -> Blueprint:
    """Qwen3-MoE with windows and dense layers where they are listed."""
    experts = qwen_experts(c, shared=False)

    def layer(window: int | None, mixed: bool) -> Layer:
        mixer = self_attention(c, window=window, norms=HeadNorms("head"))
        return pre_norm(c, mixer, experts if mixed else gated_mlp(c, bias=False), kind=channel_kind(window, mixed))

    rows = zip(windows(c, layer_types(c, lambda i: "full_attention")), dense_or_sparse(c, 0), strict=True)
    predicted = (c.get("mtp_mlp_layer_types") or ["sparse"])[0] == "sparse"
    apart = layers_of_their_own(c, layer(c.get("sliding_window"), predicted), stated(c))
    return replace(decoder(c, [layer(w, mixed) for w, mixed in rows]), apart=apart)


@family("granitemoe_swa")
def granitemoe_swa(c: Config) -> Blueprint:
    """GraniteMoE with windows and sinks; a layer whose rotary base is 0 has no positions."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    bases = c.get("layer_rope_theta") or [1] * len(types)
    experts = mixture(
        c,
        "block_sparse_moe",
        intermediate=c.intermediate_size,
        experts=c.num_local_experts,
        router=Router("router"),
        stored=Storage("packed"),
    )

    def layer(window: int | None, base: float) -> Layer:
        mixer = self_attention(c, window=window, sinks="sinks", rotates=bool(base))
        return granite_layer(c, mixer, attention_kind(window), experts)

    return decoder(c, [layer(w, b) for w, b in zip(windows(c, types), bases, strict=False)])


@family("cohere2_moe")
def cohere2_moe(c: Config) -> Blueprint:
    """Command's parallel layers with experts; the dense layers in front have their own pattern and, unless they
    alternate too, positions in every layer."""
    first = c.get("first_k_dense_replace") or 0
    period, dense_period = c.sliding_window_pattern, c.prefix_dense_sliding_window_pattern
    types = layer_types(c, lambda i: every(dense_period)(i) if i < first else every(period)(i - first))
    norm = unbiased_norm if c.get("rms_norm_eps") is None else Norm
    experts = mixture(c, intermediate=c.intermediate_size, shared=SharedMLP(c.num_shared_experts * c.intermediate_size))
    width = c.get("prefix_dense_intermediate_size")
    dense = MLP("mlp", c.hidden_size, c.intermediate_size if width is None else width)

    def layer(window: int | None, mixed: bool) -> Layer:
        always = not mixed and dense_period == 1
        mixer = self_attention(c, window=window) if always else positions_in_windows(c, window)
        channel, kind = experts if mixed else dense, channel_kind(window, mixed)
        return parallel_layer(c, mixer, channel, norm("input_layernorm", c.hidden_size), kind=kind)

    rows = zip(windows(c, types), dense_or_sparse(c, first), strict=True)
    return decoder(c, [layer(w, mixed) for w, mixed in rows], norm=norm)


@family("grok-1")
def grok_1(c: Config) -> Blueprint:
    """Grok-1 (xAI, 2024): four norms a layer around attention and experts, no MLP without them."""
    names = ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm")
    experts = mixture(
        c, "moe_block", intermediate=c.intermediate_size, stored=Storage(names=("linear", "linear_v", "linear_1"))
    )
    return decoder(c, sandwiched(c, self_attention(c, name="attn"), experts, names=names))


@family("mimo_v2_flash")
def mimo_v2_flash(c: Config) -> Blueprint:
    """Sliding layers with sinks and twice the key-value heads beside full ones; value heads smaller than key heads."""
    count: int = c.num_hidden_layers
    pattern, mixed = c.get("hybrid_layer_pattern"), c.listed("moe_layer_freq")
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

    def attention(*, sliding: bool) -> Attention:
        options = {"biases": Biases(c.flag("attention_bias")), "rotary": rotary, "value_dim": c.v_head_dim}
        if not sliding:
            return self_attention(c, **options)
        mixer = self_attention(c, window=window, sinks="attention_sink_bias", **options)
        return replace(mixer, kv_heads=c.get("swa_num_key_value_heads") or 2 * c.num_key_value_heads)

    experts = replace(deepseek_experts(c, correction=True), shared=SharedMLP())
    layers = mixed_layers(c, lambda i: attention(sliding=types[i] != "full_attention"), experts, sparse)
    return decoder(c, layers[:count], apart=_mimo_predicting(c, attention(sliding=True)))


MIMO_PREDICTING = 3
"""Prediction layers in MiMo-V2-Flash's checkpoint, which its config does not state; the Hub's count has three."""


def _mimo_predicting(c: Config, attention: Attention) -> tuple[Stack, ...]:
    """A sliding layer with a dense MLP behind the projection of both vectors, as the checkpoint has it
    (sglang/srt/models/mimo_v2_flash_nextn.py)."""
    width: int = c.hidden_size
    dense = MLP("mlp", width, c.intermediate_size)
    layer = (Norm("input_layernorm", width), attention, Norm("pre_mlp_layernorm", width), dense)
    parts = (*joined(c), *layer, Norm("final_layernorm", width))
    count = stated(c) or MIMO_PREDICTING
    return tuple(Stack("", width, (), before=inside(f"model.mtp.layers.{i}", parts)) for i in range(times(count)))


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
            norms=HeadNorms("head"),
            gate=Gate("g_proj", per_head=per_head),
            rotary=int(c.head_dim * share),
        )
        return replace(mixer, heads=heads[i])

    experts = mixture(
        c,
        shared=SharedMLP(c.shared_expert_intermediate_size, name="shared_expert"),
        correction=Correction("experts.e_score_correction_bias", role="vector"),
    )
    return decoder(c, mixed_layers(c, attention, experts, dense_or_sparse(c, 1)))


@family("exaone_moe")
def exaone_moe(c: Config) -> Blueprint:
    """EXAONE 4's attention (positions in the sliding layers only) before DeepSeek's experts."""
    seen = exaone_windows(c)
    experts = mixture(
        c,
        correction=Correction("e_score_correction_bias"),
        shared=SharedMLP(c.num_shared_experts * c.moe_intermediate_size),
    )

    layers = mixed_layers(
        c, lambda i: exaone_attention(c, seen[i]), experts, dense_or_sparse(c, c.get("first_k_dense_replace") or 0)
    )
    return decoder(c, layers, notes=prediction_notes(c))


@family("llama4_text")
def llama4_text(c: Config) -> Blueprint:
    """Chunked attention with rotary positions in most layers, full attention without positions in the others; experts
    in every interleave_moe_layer_step-th layer."""
    count: int = c.num_hidden_layers
    interval: int = c.no_rope_layer_interval
    rotated = c.get("no_rope_layers") or [
        int((i + 1) % interval != 0) for i in range(times(count))
    ]  # 1 means rotary, despite the name
    types = c.get("layer_types") or ["chunked_attention" if r else "full_attention" for r in rotated]
    step: int = c.interleave_moe_layer_step
    mixed = set(range(step - 1, times(count), step) if c.get("moe_layers") is None else c.moe_layers)
    experts = mixture(
        c,
        "feed_forward",
        intermediate=c.intermediate_size,
        experts=c.num_local_experts,
        shared=SharedMLP(c.intermediate_size, name="shared_expert"),
        router=Router("router"),
        stored=Storage("packed"),
    )
    mlp = MLP("feed_forward", c.hidden_size, c.intermediate_size_mlp)

    def layer(i: int) -> Layer:
        attention = self_attention(
            c,
            sees=Sees(c.attention_chunk_size, chunked=True) if types[i] == "chunked_attention" else Sees(),
            norms=HeadNorms("plain" if c.flag("use_qk_norm") and rotated[i] else None),
            rotates=bool(rotated[i]),
        )
        kind = f"{types[i].replace('_', ' ')} + {'experts' if i in mixed else 'mlp'}"
        return pre_norm(c, attention, experts if i in mixed else mlp, kind=kind)

    return decoder(c, [layer(i) for i in range(times(count))])


def mixtures(c: Config) -> list[bool]:
    """Which layers are mixtures: mlp_layer_types, or moe_layers_enum ("3,4,5"), or all from the fourth on."""
    count, listed, named = c.num_hidden_layers, c.get("mlp_layer_types"), c.get("moe_layers_enum")
    if listed:
        return [kind == "sparse" for kind in listed[:count]]
    if named is not None:
        items = named.split(",") if isinstance(named, str) else named
        chosen = {int(i) for i in items if str(i).strip()}
        return [i in chosen for i in range(times(count))]
    return [i >= 3 for i in range(times(count))]


@family("step3p5")
def step3p5(c: Config) -> Blueprint:
    """Grouped queries with a sigmoid gate for each head; layers with a window may have other query heads; the experts'
    projections are three tensors a layer. Lists may go on for the multi-token-prediction layers."""
    width, count = c.hidden_size, c.num_hidden_layers
    listed = c.get("layer_types")
    if isinstance(listed, list) and len(listed) > count:
        c = changed(c, layer_types=listed[:count])
    other = c.get("attention_other_setting") or {}
    narrow = c.get("num_sliding_attention_heads") or other.get("num_attention_heads") or c.num_attention_heads
    whole = self_attention(
        c,
        norms=HeadNorms("head"),
        gate=Gate("g_proj", per_head=c.get("gating") in (True, "per-head")),
    )
    experts = mixture(
        c, "moe", experts=c.n_routed_experts, correction=Correction("router_bias"), stored=Storage("apart", prefix="")
    )
    shared = MLP("share_expert", width, c.share_expert_dim, bias=c.flag("mlp_bias"))
    layers = []
    for window, mixed in zip(windows(c, layer_types(c, lambda i: "full_attention")), mixtures(c), strict=True):
        attention = whole if window is None else replace(whole, heads=narrow, sees=Sees(window))
        channel: tuple[Part, ...] = (experts, shared, Residual("shared_residual", width)) if mixed else (gated_mlp(c),)
        layers.append(pre_norm(c, attention, channel, kind=channel_kind(window, mixed)))
    return decoder(c, layers, notes=prediction_notes(c))
