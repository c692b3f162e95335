"""Experts in Mixtral's and Qwen's layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from calculator.config import Config
from calculator.families.fields import attention_kind, changed, every, head_shape, layer_types, partly_rotated, windows
from calculator.families.layers import MIXTRAL_NAMES, gated_mlp, layer_norm, mixture, pre_norm, self_attention
from calculator.families.models import decoder
from calculator.families.once import once
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import Biases, Correction, Experts, HeadNorms, Part, Router, SharedMLP, Storage


def mixtral_experts(c: Config, **changes: Any) -> Experts:
    """One width for all, and Mixtral's names."""
    options: dict[str, Any] = {"intermediate": c.intermediate_size, "stored": Storage(names=MIXTRAL_NAMES), **changes}
    if "experts" not in options:
        options["experts"] = c.num_local_experts
    return mixture(c, "block_sparse_moe", **options)


@family("mixtral")
def mixtral(c: Config) -> Blueprint:
    """Mixtral (arXiv:2401.04088)."""
    experts = mixtral_experts(c, experts=c.first("num_local_experts", "num_experts"))
    return decoder(c, pre_norm(c, self_attention(c, window=c.get("sliding_window")), experts))


def sparse(c: Config) -> Callable[[int], bool]:
    """Which layers are mixtures, by decoder_sparse_step and mlp_only_layers (Qwen)."""
    step, dense = c.get("decoder_sparse_step") or 1, set(c.get("mlp_only_layers") or ())
    experts = c.first("num_experts", "num_local_experts")
    return lambda i: i not in dense and experts > 0 and (i + 1) % step == 0


@once
def qwen_experts(c: Config, *, shared: bool) -> Experts:
    return mixture(
        c,
        experts=c.first("num_experts", "num_local_experts"),
        shared=SharedMLP(c.shared_expert_intermediate_size if shared else 0, name="shared_expert", gate=shared),
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
        qwen_layer(
            c, i, self_attention(c, window=w, biases=Biases(qkv=bias, out=False)), attention_kind(w), shared=True
        )
        for i, w in enumerate(windows(c, types))
    ]
    return decoder(c, layers)


@family("qwen3_moe")
def qwen3_moe(c: Config) -> Blueprint:
    window = c.get("sliding_window") if c.flag("use_sliding_window") else None
    attention = self_attention(c, window=window, norms=HeadNorms("head"))
    layers = [
        qwen_layer(c, i, attention, attention_kind(window), shared=False) for i in range(times(c.num_hidden_layers))
    ]
    return decoder(c, layers)


@family("gpt_oss")
def gpt_oss(c: Config) -> Blueprint:
    types = layer_types(c, every(2))
    experts = mixture(
        c,
        intermediate=c.intermediate_size,
        experts=c.first("num_local_experts", "num_experts"),
        bias=True,
        router=Router("router", bias=True),
        stored=Storage("packed"),
    )
    layers = [pre_norm(c, self_attention(c, window=w, sinks="sinks"), experts) for w in windows(c, types)]
    return decoder(c, layers)


@family("phimoe")
def phimoe(c: Config) -> Blueprint:
    """Mixtral with LayerNorm and biases; its router (SparseMixer, arXiv:2310.00811) always chooses two experts."""
    mixer, experts = self_attention(c, window=c.get("sliding_window")), mixtral_experts(c, top_k=2)
    layer = pre_norm(c, mixer, experts, norm=layer_norm)
    return decoder(c, layer, norm=layer_norm, head_bias=c.flag("lm_head_bias"))


@family("minimax_m2")
def minimax_m2(c: Config) -> Blueprint:
    """Norms over all query or key heads together; rotary_dim elements of each head are rotated."""
    rotary = c.get("rotary_dim") or partly_rotated(c, head_shape(c)[2], 1)
    attention = self_attention(c, norms=HeadNorms("full"), rotary=rotary, bias=False)
    experts = mixtral_experts(c, correction=Correction("e_score_correction_bias"))
    # The published checkpoints hold none of the modules that num_mtp_modules counts.
    return decoder(c, pre_norm(c, attention, experts))


def olmoe_experts(c: Config) -> Experts:
    return mixture(c, intermediate=c.intermediate_size)


@family("olmoe")
def olmoe(c: Config) -> Blueprint:
    """Norms over all query or key heads together (arXiv:2409.02060)."""
    return decoder(c, pre_norm(c, self_attention(c, norms=HeadNorms("full")), olmoe_experts(c)))


def own_head_size(c: Config) -> Config:
    """The config with the head size that the type takes where none is stated: what is left of the division goes."""
    if c.get("head_dim") is not None:
        return c
    return changed(c, head_dim=c.hidden_size // c.num_attention_heads)


@family("qwen3_omni_moe_text")
def qwen3_omni_moe_text(c: Config) -> Blueprint:
    return qwen3_moe(own_head_size(c))
