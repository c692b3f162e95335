"""Mamba beside attention: Jamba and Zamba."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.fields import dropped
from calculator.families.layers import gated_mlp, mixture, pre_norm, self_attention
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import Attention, Elsewhere, HeadedMamba, Linear, Mamba, Norm, Part, Residual


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
    for i in range(c.num_hidden_layers):
        kind, mixer = mixers[i % c.attn_layer_period == c.attn_layer_offset]
        mixed = c.num_experts > 1 and i % c.expert_layer_period == c.expert_layer_offset
        channel = mixture(c, "feed_forward", intermediate=c.intermediate_size, router="router") if mixed else mlp
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


def zamba_block(c: Config) -> tuple[Part, ...]:
    """The shared block: its input is the residual stream beside the token embedding."""
    width, heads = c.hidden_size, c.num_attention_heads
    inner = c.get("attention_hidden_size") or 2 * width
    attention = Attention(
        "shared_transf.self_attn",
        inner,
        heads,
        c.num_key_value_heads,
        c.get("attention_head_dim") or 2 * width // heads,
        output=width,
        dropout=dropped(c, "attention_dropout"),
    )
    return (
        Norm("shared_transf.input_layernorm", inner),
        attention,
        Norm("shared_transf.pre_ff_layernorm", width),
        gated_mlp(c, name="shared_transf.feed_forward", bias=False),
    )


@family("zamba")
def zamba(c: Config) -> Blueprint:
    """Mamba in heads everywhere; before it, in the hybrid layers, one attention block that is held once
    (arXiv:2405.16712)."""
    width: int = c.hidden_size
    period, offset = c.attn_layer_period, c.attn_layer_offset
    derived = ["mamba", "mamba", "hybrid"]
    derived += ["hybrid" if i % period == offset else "mamba" for i in range(c.num_hidden_layers - 3)]
    listed = c.get("layers_block_type")
    types = [str(t) for t in listed or derived]

    def mixed(place: str) -> tuple[Part, ...]:
        mixer = HeadedMamba(
            f"{place}mamba",
            width,
            c.mamba_expand * width,
            c.mamba_d_state,
            time_step_rank(c),
            c.mamba_d_conv,
            bias=c.flag("mamba_proj_bias"),
            conv_bias=c.flag("mamba_conv_bias"),
            heads=c.n_mamba_heads,
        )
        return (Norm(f"{place}input_layernorm", width), mixer, Residual("mixer_residual", width))

    shared = zamba_block(c)
    # transformers ties the blocks as it does embedding and head: all or nothing.
    once = c.flag("tie_word_embeddings")
    first = types.index("hybrid") if "hybrid" in types else None
    layers = []
    for i, kind in enumerate(types):
        if kind != "hybrid":
            layers.append(Layer("state space", mixed("")))
            continue
        block = shared if i == first or not once else tuple(Elsewhere(p.name, p) for p in shared)
        between = (
            Linear("linear", width, width, component="attention"),
            Residual("transformer_residual", width),
        )
        layers.append(Layer("shared attention block + state space", (*block, *between, *mixed("mamba_decoder."))))
    return decoder(c, layers, final="model.final_layernorm")
