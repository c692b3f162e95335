"""Mixtures of experts whose attention is chosen or compressed too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped, head_shape, layer_types, partly_rotated
from calculator.families.layers import mixture, pre_norm, self_attention
from calculator.families.models import decoder
from calculator.families.prediction import prediction_notes
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    MLP,
    BlockIndexer,
    ChosenHeads,
    ConvolvedAttention,
    Correction,
    HeadNorms,
    Part,
    Router,
    RouterMLP,
    Sees,
    SharedMLP,
    Storage,
    VectorWeights,
)


@family("jetmoe")
def jetmoe(c: Config) -> Blueprint:
    """Experts of attention heads and of MLPs, chosen by two routers (arXiv:2404.07413)."""
    width: int = c.hidden_size
    count, chosen = c.num_local_experts, c.num_experts_per_tok
    heads = ChosenHeads(
        "self_attention",
        width,
        c.num_key_value_heads,
        c.kv_channels,
        count,
        chosen,
        dropout=dropped(c, "attention_dropout"),
    )
    experts = mixture(
        c,
        intermediate=c.intermediate_size,
        experts=count,
        top_k=chosen,
        router=Router("router.layer"),
        stored=Storage("packed", prefix="", names=("", "", "output_linear.weight"), packed="input_linear.weight"),
    )
    layer = pre_norm(c, heads, experts, kind="chosen heads + experts")
    *first, add = layer.parts
    bias = VectorWeights("mlp", (("bias", (width,)),), component="mlp")
    return decoder(c, replace(layer, parts=(*first, bias, add)))


@family("zaya")
def zaya(c: Config) -> Blueprint:
    """ZAYA1 (Zyphra, arXiv:2511.17127): convolved attention, one expert a token, scaled residual sums."""
    width: int = c.hidden_size
    heads, kv_heads, head_dim = head_shape(c)
    types = c.get("layer_types") or ["hybrid"] * times(c.num_hidden_layers)
    ropes = c.get("rope_parameters") or {}
    experts = mixture(
        c,
        router=Router(""),
        stored=Storage("packed"),
        correction=Correction("gate.balancing_biases", shape=(c.num_experts + 1,)),
    )

    def scaled(name: str) -> Part:
        vectors = ("hidden_states_scale", "hidden_states_bias", "residual_scale", "residual_bias")
        return VectorWeights(name, tuple((v, (width,)) for v in vectors), component="norm")

    def layer(i: int, kind: str) -> Layer:
        share = (ropes.get(kind) or {}).get("partial_rotary_factor") or 0.5
        window = c.sliding_window if kind == "hybrid_sliding" else None
        mixer = ConvolvedAttention(
            "self_attn",
            width,
            heads,
            kv_heads,
            head_dim,
            (c.cca_time0, c.cca_time1),
            window=window,
            rotary=int(head_dim * share),
            bias=c.flag("attention_bias"),
            dropout=dropped(c, "attention_dropout"),
        )
        word = "convolved sliding attention" if window else "convolved attention"
        built = pre_norm(c, mixer, experts, kind=f"{word} + experts")
        norm, first, add, inner, second, last = built.parts
        router = RouterMLP("mlp.gate", width, c.router_hidden_size, c.num_experts + 1, i > 0)
        adds = (scaled("post_attention_residual_scale"), scaled("post_mlp_residual_scale"))
        return replace(built, parts=(norm, first, adds[0], add, inner, router, second, adds[1], last))

    scale = VectorWeights(
        "model", tuple((f"input_hidden_states_{v}", (width,)) for v in ("scale", "bias")), component="embedding"
    )
    layers = [layer(i, kind) for i, kind in enumerate(types)]
    note = "A router may send a token past the experts; every token is counted as if it passed through one."
    return decoder(c, layers, before=(scale,), head_bias=c.flag("lm_head_bias"), notes=(note,))


def minimax_types(c: Config) -> tuple[list[str], list[bool]]:
    """What each layer attends to and whether it is a mixture, by today's fields or the published file's."""
    older = c.get("sparse_attention_config") or {}
    often, flags = older.get("sparse_attention_freq"), c.listed("moe_layer_freq")
    types = layer_types(c, lambda i: "minimax_m3_sparse" if often and often[i] else "full_attention")
    listed = c.get("mlp_layer_types")
    if listed is None:
        listed = ["sparse" if flag else "dense" for flag in flags] if flags else ["sparse"] * len(types)
    if len(listed) < len(types):
        raise ConfigError(f"{c.where} says of {len(listed)} layers whether they are mixtures, but has {len(types)}.")
    return types, [kind == "sparse" for kind in listed[: len(types)]]


@family("minimax_m3_vl_text")
def minimax_m3(c: Config) -> Blueprint:
    """MiniMax-M3: grouped-query attention to the blocks of tokens that an indexer picks for each key-value head."""
    older = c.get("sparse_attention_config") or {}

    def size(name: str, old: str) -> Any:
        return older.get(old, getattr(c, name))

    index = BlockIndexer(
        "self_attn.indexer",
        c.hidden_size,
        size("index_n_heads", "sparse_num_index_heads"),
        size("index_head_dim", "sparse_index_dim"),
        size("index_block_size", "sparse_block_size"),
        c.get("rotary_dim") or 64,
    )
    picked = index.block * size("index_topk_blocks", "sparse_topk_blocks")
    attention = self_attention(
        c,
        norms=HeadNorms("head"),
        bias=False,
        rotary=c.get("rotary_dim") or partly_rotated(c, c.head_dim, 0.5),
    )
    experts = mixture(
        c,
        intermediate=c.intermediate_size,
        experts=c.num_local_experts,
        stored=Storage("packed"),
        correction=Correction(),
        shared=SharedMLP(c.shared_intermediate_size, fused="gate_up_proj"),
    )
    dense = MLP("mlp", c.hidden_size, c.dense_intermediate_size, fused="gate_up_proj")

    def layer(kind: str, mixed: bool) -> Layer:
        sparse = kind == "minimax_m3_sparse"
        mixer = replace(attention, sees=Sees(selected=picked)) if sparse else attention
        words = f"{'block-sparse' if sparse else 'full'} attention + {'experts' if mixed else 'mlp'}"
        built = pre_norm(c, mixer, experts if mixed else dense, kind=words)
        norm, *rest = built.parts
        return replace(built, parts=(norm, index, *rest)) if sparse else built

    layers = [layer(kind, mixed) for kind, mixed in zip(*minimax_types(c), strict=True)]
    return decoder(c, layers, notes=prediction_notes(c, "num_mtp_modules"))
