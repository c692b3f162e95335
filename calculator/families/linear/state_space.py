"""State-space models, alone and beside attention."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.layers import gated_mlp, self_attention
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import Mamba, Mamba2, Norm, Residual


def backbone(c: Config, mixer: Mamba | Mamba2) -> Blueprint:
    """norm, mixer, add; nothing else."""
    layer = Layer("state space", (Norm("norm", c.hidden_size), mixer, Residual("residual", c.hidden_size)))
    return decoder(c, layer, path="backbone.layers", embedding="backbone.embeddings", final="backbone.norm_f")


@family("mamba")
def mamba(c: Config) -> Blueprint:
    inner = c.intermediate_size if c.has_stated("intermediate_size") else int(c.expand * c.hidden_size)
    rank = -(-c.hidden_size // 16) if c.get("time_step_rank") == "auto" else c.time_step_rank
    return backbone(
        c,
        Mamba(
            "mixer",
            c.hidden_size,
            inner,
            c.state_size,
            rank,
            c.conv_kernel,
            bias=c.flag("use_bias"),
            conv_bias=c.flag("use_conv_bias"),
        ),
    )


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


@family("falcon_h1")
def falcon_h1(c: Config) -> Blueprint:
    """A Mamba-2 mixer and attention side by side in every layer, then an MLP."""
    width: int = c.hidden_size
    inner = c.mamba_d_ssm if c.get("mamba_d_ssm") is not None else int(c.mamba_expand * width)
    heads: int = c.mamba_n_heads
    head_dim = inner // heads if c.get("mamba_d_head") in (None, "auto") else c.mamba_d_head
    mixer = Mamba2(
        "mamba",
        width,
        heads,
        head_dim,
        c.mamba_n_groups,
        c.mamba_d_state,
        c.mamba_d_conv,
        bias=c.flag("mamba_proj_bias"),
        out_bias=c.flag("projectors_bias"),
        conv_bias=c.flag("mamba_conv_bias"),
        norm=c.flag("mamba_rms_norm"),
    )
    layer = Layer(
        "full attention beside state space + mlp",
        (
            Norm("input_layernorm", width),
            mixer,
            self_attention(c, shares_input=True),
            Residual("mixer_residual", width),
            Norm("pre_ff_layernorm", width),
            gated_mlp(c, name="feed_forward"),
            Residual("channel_residual", width),
        ),
        parallel=("mamba", "self_attn"),
    )
    return decoder(c, layer, final="model.final_layernorm")
