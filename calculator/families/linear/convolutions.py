"""Gated short convolutions with attention between them: LFM2 and LFM3 (Liquid)."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.fields import head_shape, layer_types, windows
from calculator.families.layers import MIXTRAL_NAMES, mixture, pre_norm, sandwiched, self_attention
from calculator.families.linear.state_space import is_attention
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import MLP, Biases, Correction, Gate, GatedConvolution, HeadNorms, Names, Part, Storage


@family("lfm2", "lfm2_moe")
def lfm2(c: Config) -> Blueprint:
    """Gated short convolutions with a few attention layers; in lfm2_moe, experts after the first layers."""
    width, inner = c.hidden_size, c.intermediate_size
    if c.model_type == "lfm2" and c.flag("block_auto_adjust_ff_dim"):
        inner, unit = int(2 * inner / 3), c.block_multiple_of
        if c.get("block_ffn_dim_multiplier") is not None:
            inner = -(-int(c.block_ffn_dim_multiplier * inner) // unit) * unit
    chosen = c.get("full_attn_idxs")
    types = layer_types(c, lambda i: "full_attention" if chosen is None or i in chosen else "conv")
    mlp = MLP("feed_forward", width, inner, gate="w1", up="w3", down="w2")
    attention = self_attention(
        c,
        names=Names(out="out_proj"),
        norms=HeadNorms("head", names=("q_layernorm", "k_layernorm")),
        biases=Biases(qkv=False, out=False),
    )
    convolution = GatedConvolution("conv", width, c.conv_L_cache, c.flag("conv_bias"))
    channels: list[Part] = [mlp] * len(types)
    if c.model_type == "lfm2_moe":
        experts = mixture(
            c,
            "feed_forward",
            stored=Storage(names=MIXTRAL_NAMES),
            correction=Correction("expert_bias") if c.flag("use_expert_bias") else None,
        )
        channels = [mlp if i < c.num_dense_layers else experts for i in range(len(types))]
    layers = [
        pre_norm(
            c,
            attention if is_attention(t) else convolution,
            channel,
            names=("operator_norm", "ffn_norm"),
            kind=f"{'full attention' if is_attention(t) else 'convolution'} + "
            f"{'mlp' if isinstance(channel, MLP) else 'experts'}",
        )
        for t, channel in zip(types, channels, strict=True)
    ]
    return decoder(c, layers, final="model.embedding_norm")


@family("lfm3")
def lfm3(c: Config) -> Blueprint:
    """LFM2's gated convolutions with full and sliding attention between them, a gate on each head, and norms after each
    half."""
    width: int = c.hidden_size
    patterned = {0: "sliding_attention", 2: "full_attention"}
    types = layer_types(c, lambda i: patterned.get(i % 4, "conv") if i else "conv")
    rope = (c.get("rope_parameters") or {"full_attention": {"partial_rotary_factor": 0.5}}).get("full_attention") or {}
    shares = {"full_attention": rope.get("partial_rotary_factor") or 1, "sliding_attention": 1}

    def layer(kind: str) -> Layer:
        mixer: Part = GatedConvolution("conv", width, c.conv_L_cache, c.flag("conv_bias"))
        if kind != "conv":
            mixer = self_attention(
                c,
                window=windows(c, [kind])[0],
                norms=HeadNorms("head"),
                rotary=int(head_shape(c)[2] * shares[kind]),
                gate=Gate("gate_proj", per_head=True) if c.flag("use_attention_gate") else None,
            )
        mlp = MLP("feed_forward", width, c.intermediate_size, gate="w1", up="w3", down="w2")
        name = "convolution" if kind == "conv" else kind.replace("_", " ")
        if not c.flag("use_sandwich_norm"):
            return pre_norm(c, mixer, mlp, kind=name, names=("operator_norm", "ffn_norm"))
        names = ("operator_norm", "post_operator_norm", "ffn_norm", "post_ffn_norm")
        return sandwiched(c, mixer, mlp, kind=name, names=names)

    return decoder(c, [layer(t) for t in types], final="model.embedding_norm")
