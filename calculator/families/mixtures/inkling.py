"""Inkling: relative positions, short convolutions after every projection that matters, and scored shared experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped, layer_types
from calculator.families.layers import gated_mlp, mixture
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    BlockResidual,
    Correction,
    DistanceAttention,
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


@family("inkling2_text")
def inkling2_text(c: Config) -> Blueprint:
    """Inkling 2: experts everywhere, and in place of a residual stream an attention over what blocks of
    n_layers_per_attn_res_block layers left behind (transformers, modeling_inkling2.py)."""
    width, kernel, block = c.hidden_size, c.conv_kernel_size, c.n_layers_per_attn_res_block
    if block < 1:
        raise ConfigError(f"n_layers_per_attn_res_block in {c.where} is {block}; it must be at least 1.")
    experts = mixture(
        c,
        experts=c.n_routed_experts,
        correction=Correction("gate.bias"),
        stored=Storage("packed", names=("w1", "w3", "w2_weight"), packed="w13_weight"),
    )
    local = inkling_types(c)

    def layer(index: int) -> Layer:
        left = -(-index // block)  # blocks that began before this layer
        queries = 1 if local[index] else 3
        norms = ("attn_norm",) if local[index] else ("q_input_norm", "k_input_norm", "v_input_norm")
        inputs: tuple[Part, ...] = (BlockResidual("attn_res.attn", width, left + 1, queries),) if index else ()
        parts = (
            *inputs,
            *(Norm(name, width) for name in norms),
            relative_attention(c, "attn", local[index], later=True, dynamic=not local[index]),
            ShortConvolution("attn_sconv", width, kernel),
            Residual("mixer_residual", width),
            BlockResidual("attn_res.mlp", width, index // block + 2),
            Norm("mlp_norm", width),
            experts,
            ShortConvolution("mlp_sconv", width, kernel),
            Residual("channel_residual", width),
        )
        return Layer(f"{'sliding' if local[index] else 'full'} attention + experts", parts)

    count = len(local)
    queries: list[tuple[str, tuple[int, ...]]] = [
        (f"attn_queries.{i - 1}", (width,) if local[i] else (3, width)) for i in range(1, times(count))
    ]
    queries += [(f"mlp_queries.{i}", (width,)) for i in range(times(count))] + [("output_query", (width,))]
    built = decoder(
        c,
        [layer(i) for i in range(times(count))],
        path="model.llm.layers",
        embedding="model.llm.embed",
        final="model.llm.norm",
        head="model.llm.unembed",
        before=(
            Norm("model.llm.embed_norm", width),
            VectorWeights("model.llm.attn_res", tuple(queries), component="norm"),
        ),
        tied=False,
    )
    last = BlockResidual("model.llm.attn_res.output", width, -(-count // block) + 1)
    return replace(built, text=replace(built.text, after=(last, *built.text.after)))
