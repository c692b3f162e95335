"""Mamba and Mamba-2, alone and beside attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import head_shape, layer_types, partly_rotated
from calculator.families.layers import gated_mlp, mixture, pre_norm, self_attention
from calculator.families.mixtures.grouped import granite_layer
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import Mamba, Mamba2, Norm, Part, Residual, Router


def backbone(c: Config, mixer: Mamba | Mamba2) -> Blueprint:
    """norm, mixer, add; nothing else."""
    layer = Layer("state space", (Norm("norm", c.hidden_size), mixer, Residual("residual", c.hidden_size)))
    return decoder(c, layer, path="backbone.layers", embedding="backbone.embeddings", final="backbone.norm_f")


@family("mamba", "falcon_mamba")
def mamba(c: Config) -> Blueprint:
    """Mamba (arXiv:2312.00752); Falcon Mamba has norms without weights on B, C and the time step."""
    # Falcon Mamba 7B states an expand that its intermediate_size, the true width, contradicts.
    inner = c.intermediate_size if c.has_stated("intermediate_size") else int(c.expand * c.hidden_size)
    rank = -(-c.hidden_size // 16) if c.get("time_step_rank") == "auto" else c.time_step_rank
    biases = {"bias": c.flag("use_bias"), "conv_bias": c.flag("use_conv_bias")}
    return backbone(c, Mamba("mixer", c.hidden_size, inner, c.state_size, rank, c.conv_kernel, **biases))


@family("mamba2")
def mamba2(c: Config) -> Blueprint:
    # Mamba-2 has no field for its inner width: heads × head_dim is expand × hidden_size.
    bias = c.flag("use_bias")
    return backbone(
        c,
        Mamba2(
            "mixer",
            c.hidden_size,
            c.num_heads,
            c.head_dim,
            c.n_groups,
            c.state_size,
            c.conv_kernel,
            bias=bias,
            out_bias=bias,
            conv_bias=c.flag("use_conv_bias"),
        ),
    )


def mamba2_mixer(c: Config, inner: int | None = None, **changes: Any) -> Mamba2:
    """Mamba-2 by the field names of Bamba, Granite 4 and Falcon-H1, `inner` or mamba_expand times as wide."""
    heads: int = c.mamba_n_heads
    inner = c.mamba_expand * c.hidden_size if inner is None else inner
    head_dim = inner // heads if c.get("mamba_d_head") in (None, "auto") else c.mamba_d_head
    bias = c.flag("mamba_proj_bias")
    options: dict[str, Any] = {"bias": bias, "out_bias": bias, "conv_bias": c.flag("mamba_conv_bias"), **changes}
    sizes = (heads, head_dim, c.mamba_n_groups, c.mamba_d_state, c.mamba_d_conv)
    return Mamba2("mamba", c.hidden_size, *sizes, **options)


@family("falcon_h1")
def falcon_h1(c: Config) -> Blueprint:
    """A Mamba-2 mixer and attention side by side in every layer, then an MLP."""
    inner = c.mamba_d_ssm if c.get("mamba_d_ssm") is not None else int(c.mamba_expand * c.hidden_size)
    mixer = mamba2_mixer(c, inner, out_bias=c.flag("projectors_bias"), norm=c.flag("mamba_rms_norm"))
    layer = pre_norm(
        c,
        (mixer, self_attention(c, shares_input=True)),
        gated_mlp(c, name="feed_forward"),
        kind="full attention beside state space + mlp",
        names=("input_layernorm", "pre_ff_layernorm"),
    )
    return decoder(c, replace(layer, parallel=("mamba", "self_attn")), final="model.final_layernorm")


def time_step_rank(c: Config) -> int:
    rank: int = -(-c.hidden_size // 16) if c.get("mamba_dt_rank") == "auto" else c.mamba_dt_rank
    return rank


@family("jamba")
def jamba(c: Config) -> Blueprint:
    """Mamba with norms on its time step, B and C, seven layers to one of attention without positions; experts in every
    second layer (arXiv:2403.19887)."""
    mixers: dict[bool, tuple[str, Part]] = {
        True: ("full attention", self_attention(c, rotates=False, bias=False)),
        False: (
            "state space",
            Mamba(
                "mamba",
                c.hidden_size,
                c.mamba_expand * c.hidden_size,
                c.mamba_d_state,
                time_step_rank(c),
                c.mamba_d_conv,
                bias=c.flag("mamba_proj_bias"),
                conv_bias=c.flag("mamba_conv_bias"),
                norms=True,
            ),
        ),
    }
    mlp = gated_mlp(c, name="feed_forward", bias=False)
    layers = []
    for i in range(times(c.num_hidden_layers)):
        kind, mixer = mixers[i % c.attn_layer_period == c.attn_layer_offset]
        mixed = c.num_experts > 1 and i % c.expert_layer_period == c.expert_layer_offset
        channel = (
            mixture(c, "feed_forward", intermediate=c.intermediate_size, router=Router("router")) if mixed else mlp
        )
        layers.append(
            pre_norm(
                c,
                mixer,
                channel,
                kind=f"{kind} + {'experts' if mixed else 'mlp'}",
                names=("input_layernorm", "pre_ff_layernorm"),
            )
        )
    return decoder(c, layers, final="model.final_layernorm")


@family("bamba")
def bamba(c: Config) -> Blueprint:
    chosen = set(c.get("attn_layer_indices") or ())
    types = layer_types(c, lambda i: "attention" if i in chosen else "mamba")
    full = self_attention(c, rotary=partly_rotated(c, head_shape(c)[2], 0.5))
    mlp, names = gated_mlp(c, name="feed_forward"), ("input_layernorm", "pre_ff_layernorm")
    layers = {
        True: pre_norm(c, full, mlp, kind="full attention + mlp", names=names),
        False: pre_norm(c, mamba2_mixer(c), mlp, kind="state space + mlp", names=names),
    }
    return decoder(c, [layers[is_attention(t)] for t in types], final="model.final_layernorm")


@family("granitemoehybrid")
def granitemoehybrid(c: Config) -> Blueprint:
    """Mamba-2 or attention (without positions unless position_embedding_type is rope), experts and a shared MLP."""
    types = layer_types(c, lambda i: "mamba")
    full = self_attention(c) if c.get("position_embedding_type") == "rope" else self_attention(c, rotates=False)
    mixer = mamba2_mixer(c) if not all(is_attention(t) for t in types) else full
    layers = {True: granite_layer(c, full, "full attention"), False: granite_layer(c, mixer, "state space")}
    return decoder(c, [layers[is_attention(t)] for t in types])


def is_attention(kind: str) -> bool:
    return kind in ("attention", "full_attention")
