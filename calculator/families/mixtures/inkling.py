"""Inkling: relative positions, short convolutions after every projection that matters, and scored shared experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import changed, dropped, layer_types
from calculator.families.layers import gated_mlp, mixture
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    BlockResidual,
    Correction,
    DistanceAttention,
    Elsewhere,
    MessageGate,
    Norm,
    Part,
    Residual,
    Router,
    SharedExperts,
    ShortConvolution,
    Storage,
    VectorWeights,
)


def inkling_types(c: Config) -> list[bool]:
    """Whether each layer is a local one: layer_types, or local_layer_ids, or all but every sixth."""
    local = c.get("local_layer_ids")
    types = layer_types(
        c, lambda i: "hybrid_sliding" if (i in local if local is not None else (i + 1) % 6) else "hybrid"
    )
    if unknown := set(types) - {"hybrid", "hybrid_sliding"}:
        raise ConfigError(
            f"layer_types in {c.where} has {', '.join(sorted(unknown))}; a layer of {c.model_type} is hybrid or "
            "hybrid_sliding."
        )
    return [t == "hybrid_sliding" for t in types]


def relative_attention(c: Config, name: str, local: bool, **changes: Any) -> DistanceAttention:
    """Local layers have heads of their own, and profiles as long as the window."""
    heads, kv_heads, head_dim = (
        (c.swa_num_attention_heads, c.swa_num_key_value_heads, c.swa_head_dim)
        if local
        else (c.num_attention_heads, c.num_key_value_heads, c.head_dim)
    )
    return DistanceAttention(
        name,
        c.hidden_size,
        heads,
        kv_heads,
        head_dim,
        c.d_rel,
        c.sliding_window_size if local else c.rel_extent,
        c.conv_kernel_size,
        window=c.sliding_window_size if local else None,
        dropout=dropped(c, "attention_dropout"),
        **changes,
    )


@family("inkling_text")
def inkling_text(c: Config) -> Blueprint:
    """Local and full attention with heads of their own sizes; experts and shared ones under one router (transformers,
    modeling_inkling.py)."""
    width, kernel = c.hidden_size, c.conv_kernel_size
    # Older files state the experts' width as intermediate_size, and the MLP's apart.
    older = c.get("dense_intermediate_size")
    routed, inner = (
        (c.intermediate_size, older) if older is not None else (c.moe_intermediate_size, c.intermediate_size)
    )
    listed = c.get("mlp_layer_types")
    count: int = c.num_hidden_layers
    sparse = (
        [t == "sparse" for t in listed] if listed else [i >= (c.get("dense_mlp_idx") or 0) for i in range(times(count))]
    )

    def channel(mixed: bool) -> tuple[Part, ...]:
        if not mixed:
            return (
                replace(gated_mlp(c, bias=False), intermediate=inner),
                VectorWeights("mlp", (("global_scale", (1,)),), component="mlp"),
            )
        experts = mixture(
            c,
            intermediate=routed,
            experts=c.n_routed_experts,
            correction=Correction(),
            stored=Storage("packed"),
            router=Router(scored=c.n_shared_experts),
        )
        return (
            VectorWeights("mlp", (("gate.global_scale", (1,)),), component="router"),
            experts,
            SharedExperts("mlp.shared_experts", width, routed, c.n_shared_experts),
        )

    def layer(local: bool, mixed: bool) -> Layer:
        parts = (
            Norm("input_layernorm", width),
            relative_attention(c, "self_attn", local),
            ShortConvolution("attn_sconv.conv1d", width, kernel),
            Residual("mixer_residual", width),
            Norm("post_attention_layernorm", width),
            *channel(mixed),
            ShortConvolution("mlp_sconv.conv1d", width, kernel),
            Residual("channel_residual", width),
        )
        return Layer(f"{'sliding' if local else 'full'} attention + {'experts' if mixed else 'mlp'}", parts)

    layers = [layer(local, mixed) for local, mixed in zip(inkling_types(c), sparse, strict=True)]
    return decoder(c, layers, before=(Norm("model.embed_tokens.embed_norm", width),), tied=False)


def block_size(c: Config) -> int:
    """Layers whose sum is one state that later layers attend to."""
    size: int = c.n_layers_per_attn_res_block
    if size < 1:
        raise ConfigError(f"n_layers_per_attn_res_block in {c.where} is {size}; it must be at least 1.")
    return size


def block_layer(c: Config, index: int, local: bool, before: tuple[Part, ...] = (), messages: bool = False) -> Layer:
    """A layer of Inkling 2; with `messages`, as the passes after the first run it, with `before` what makes them."""
    width, kernel, block = c.hidden_size, c.conv_kernel_size, block_size(c)
    experts = mixture(
        c,
        experts=c.n_routed_experts,
        correction=Correction("gate.bias"),
        stored=Storage("packed", names=("w1", "w3", "w2_weight"), packed="w13_weight"),
    )
    left = -(-index // block)  # blocks that began before this layer
    names = ("attn_norm",) if local else ("q_input_norm", "k_input_norm", "v_input_norm")
    # Queries, keys and values of a local layer pass the norm one by one once messages made them differ.
    norms = tuple(Norm(name, width, groups=3 if local and messages else 1) for name in names)
    gates = message_gates(c) if messages else ()
    inputs: tuple[Part, ...] = (BlockResidual("attn_res.attn", width, left + 1, 1 if local else 3),) if index else ()
    parts = (
        *before,
        *inputs,
        *gates[:3],
        *norms,
        relative_attention(c, "attn", local, later=True, dynamic=not local, apart=not local or messages),
        ShortConvolution("attn_sconv", width, kernel),
        Residual("mixer_residual", width),
        BlockResidual("attn_res.mlp", width, index // block + 2),
        *gates[3:],
        Norm("mlp_norm", width),
        experts,
        ShortConvolution("mlp_sconv", width, kernel),
        Residual("channel_residual", width),
    )
    return Layer(f"{'sliding' if local else 'full'} attention + experts", parts)


def over_blocks(c: Config, layers: Sequence[Layer], *before: Part) -> Blueprint:
    """A model of such layers, with the queries of their blocks and `before`, which the checkpoint holds beside them."""
    width, local = c.hidden_size, inkling_types(c)
    count = len(local)
    queries: list[tuple[str, tuple[int, ...]]] = [
        (f"attn_queries.{i - 1}", (width,) if local[i] else (3, width)) for i in range(1, times(count))
    ]
    queries += [(f"mlp_queries.{i}", (width,)) for i in range(times(count))] + [("output_query", (width,))]
    built = decoder(
        c,
        layers,
        path="model.llm.layers",
        embedding="model.llm.embed",
        final="model.llm.norm",
        head="model.llm.unembed",
        before=(
            Norm("model.llm.embed_norm", width),
            VectorWeights("model.llm.attn_res", tuple(queries), component="norm"),
            *before,
        ),
        tied=False,
    )
    last = BlockResidual("model.llm.attn_res.output", width, -(-count // block_size(c)) + 1)
    return replace(built, text=replace(built.text, after=(last, *built.text.after)))


@family("inkling2_text")
def inkling2_text(c: Config) -> Blueprint:
    """Inkling 2: experts everywhere, and in place of a residual stream an attention over what blocks of
    n_layers_per_attn_res_block layers left behind (transformers, modeling_inkling2.py)."""
    return over_blocks(c, [block_layer(c, i, local) for i, local in enumerate(inkling_types(c))])


def message_gates(c: Config) -> tuple[Part, ...]:
    """What mixes messages into queries, keys, values and the experts' input."""
    return tuple(
        MessageGate(f"controllers.{name}", c.hidden_size, c.loop_gate_rank) for name in ("attn", "k", "v", "mlp")
    )


def looped(c: Config) -> Config:
    """The config with what older files state in loop_config."""
    stated = c.get("loop_config") or {}
    if not isinstance(stated, dict):
        raise ConfigError(f"loop_config in {c.where} must be an object of the loop's numbers.")
    names = {
        "loop_layer_index_start": "core_start",
        "loop_layer_index_end": "core_end",
        "loop_num_passes": "num_passes",
        "loop_gate_rank": "gate_rank",
    }
    c = changed(c, **{new: stated[old] for new, old in names.items() if old in stated})
    start, end, block = c.loop_layer_index_start, c.loop_layer_index_end, block_size(c)
    if not 0 < start < end <= c.num_hidden_layers or start % block or end % block or c.loop_num_passes < 1:
        raise ConfigError(
            f"The loop in {c.where} runs layers {start} to {end - 1} {c.loop_num_passes} times; it must begin and end "
            f"between blocks of {block} layers, after the first layer, and run at least once."
        )
    return c


@family("inkling2_loop_text")
def inkling2_loop_text(c: Config) -> Blueprint:
    """Inkling 2 whose layers in the middle run loop_num_passes times, each with a cache of its own; those after the
    first read messages from the blocks of the pass before (transformers, modeling_inkling2_loop.py)."""
    c = looped(c)
    start, end, width = c.loop_layer_index_start, c.loop_layer_index_end, c.hidden_size
    local = inkling_types(c)
    asked = BlockResidual("message_input", width, (end - start) // block_size(c), 4)
    held = tuple(Elsewhere(gate.name, gate, held=True) for gate in message_gates(c))

    def first(index: int) -> Layer:
        layer = block_layer(c, index, local[index])
        return replace(layer, parts=(*layer.parts, *held)) if start <= index < end else layer

    def again(index: int) -> Layer:
        layer = block_layer(c, index, local[index], (asked,), messages=True)
        return replace(layer, parts=tuple(Elsewhere(part.name, part) for part in layer.parts))

    # The further passes stand after the last layer, so that each layer's index is the checkpoint's.
    layers = [first(i) for i in range(times(len(local)))]
    layers += [again(i) for _ in range(1, times(c.loop_num_passes)) for i in range(start, times(end))]
    rows = (2 * (end - start), width)
    names = ("middle_cycle_cross_pass_queries", "middle_cycle_cross_pass_kv_queries")
    return over_blocks(c, layers, VectorWeights("model.llm", tuple((name, rows) for name in names), component="norm"))
