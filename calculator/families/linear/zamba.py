"""Zamba and Zamba2: attention blocks that are held once and take turns between Mamba layers."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import dropped
from calculator.families.layers import gated_mlp
from calculator.families.linear.state_space import time_step_rank
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import MLP, Attention, Elsewhere, HeadedMamba, Linear, Mamba2, Norm, Part, Residual


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
    derived += ["hybrid" if i % period == offset else "mamba" for i in range(times(c.num_hidden_layers - 3))]
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


def low_rank(name: str, inputs: int, rank: int, outputs: int) -> tuple[Part, ...]:
    return (
        Linear(f"{name}.0", inputs, rank, component="attention"),
        Linear(f"{name}.1", rank, outputs, component="attention"),
    )


def zamba2_block(
    c: Config, adapter: int, where: str = "shared_transformer"
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The shared attention block and its low-rank adapters of hybrid layer `adapter`."""
    width, rank = c.hidden_size, c.adapter_rank
    heads: int = c.num_attention_heads
    # Its input is the residual stream beside the token embedding.
    wide = c.attention_hidden_size if c.has_stated("attention_hidden_size") else 2 * width
    head_dim = c.attention_head_dim if c.has_stated("attention_head_dim") else 2 * width // heads
    inner = c.get("intermediate_size") or 4 * width
    attention = Attention(
        f"{where}.self_attn",
        wide,
        heads,
        c.get("num_key_value_heads") or heads,
        head_dim,
        output=width,
        rotary=head_dim if c.flag("use_mem_rope") else 0,
        dropout=dropped(c, "attention_dropout"),
    )
    bias = c.flag("add_bias_linear")
    block = (
        Norm(f"{where}.input_layernorm", wide),
        attention,
        Norm(f"{where}.pre_ff_layernorm", width),
        MLP(f"{where}.feed_forward", width, inner, fused="gate_up_proj", bias=bias),
    )
    adapters = low_rank(f"{where}.feed_forward.gate_up_proj_adapter_list.{adapter}", width, rank, 2 * inner)
    if c.flag("use_shared_attention_adapter"):
        for name in "qkv":
            adapters += low_rank(f"{where}.self_attn.linear_{name}_adapter_list.{adapter}", wide, rank, wide)
    return block, adapters


@family("zamba2")
def zamba2(c: Config) -> Blueprint:
    """Mamba-2 everywhere; in the hybrid layers, num_mem_blocks attention blocks take turns before it, each held once,
    with a low-rank adapter for each layer (arXiv:2411.15242)."""
    width, bias = c.hidden_size, c.flag("add_bias_linear")
    listed = c.get("layers_block_type")
    # 54 layers is the default of the type, and the only number its default pattern fits.
    default = ["m"] + (["m"] * 5 + ["hybrid"]) * 7 + ["m"] * 4 + ["hybrid"] + ["m"] * 3 + ["hybrid"] + ["m"] * 2
    types = [str(t) for t in listed or default]
    heads: int = c.n_mamba_heads
    inner = int(c.mamba_expand * width)
    mixer = Mamba2(
        "mamba",
        width,
        heads,
        inner // heads,
        c.mamba_ngroups,
        c.mamba_d_state,
        c.mamba_d_conv,
        bias=bias,
        out_bias=bias,
    )
    hybrid = [i for i, t in enumerate(types) if t == "hybrid"]
    # transformers ties the blocks as it does embedding and head, all or nothing: else each hybrid layer holds its own.
    once, blocks = c.flag("tie_word_embeddings"), c.num_mem_blocks
    layers = []
    for i, kind in enumerate(types):
        if kind != "hybrid":
            layers.append(
                Layer("state space", (Norm("input_layernorm", width), mixer, Residual("mixer_residual", width)))
            )
            continue
        turn = hybrid.index(i)
        block, adapters = zamba2_block(c, turn)
        if turn >= blocks and once:
            parts: tuple[Part, ...] = tuple(Elsewhere(p.name, p) for p in (*block, *adapters))
        else:
            later = [zamba2_block(c, t)[1] for t in range(turn % blocks, times(len(hybrid)), blocks) if t != turn]
            parts = (*block, *adapters, *(Elsewhere(p.name, p, held=True) for group in later for p in group))
        parts += (
            Linear("linear", width, width, component="attention"),
            Residual("transformer_residual", width),
            Norm("mamba_decoder.input_layernorm", width),
            replace(mixer, name="mamba_decoder.mamba"),
            Residual("mixer_residual", width),
        )
        layers.append(Layer("shared attention block + state space", parts))
    return decoder(c, layers, final="model.final_layernorm")
