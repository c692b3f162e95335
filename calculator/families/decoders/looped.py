"""Decoders that run some of their layers several times."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import attention_kind, changed, every, layer_types, windows
from calculator.families.layers import gated_mlp, plain_norm, self_attention
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    CacheElsewhere,
    Elsewhere,
    Gate,
    Head,
    HeadNorms,
    Interpolation,
    Part,
    Residual,
    VectorWeights,
)

COUNTS = ("num_hidden_layers", "n_input_layers", "n_recurrent_layers", "n_output_layers")


def in_pairs(c: Config) -> Config:
    """The config of a released file, which lists attention and MLP as layers apart, with both of a pair as one."""
    listed = c.get("layer_types")
    if not isinstance(listed, list) or "mlp" not in listed:
        return c
    halves = {name: getattr(c, name) // 2 for name in COUNTS if c.get(name) is not None and c.has_stated(name)}
    return changed(c, layer_types=listed[::2], **halves)


def sections(c: Config) -> tuple[int, int]:
    """The first layer that is run in every loop, and the one after the last.

    Raises:
        ConfigError: the sections do not add up to the layers, or nothing loops.
    """
    count, first, last = c.num_hidden_layers, c.n_input_layers, c.n_output_layers
    looped = count - first - last if c.get("n_recurrent_layers") is None else c.n_recurrent_layers
    if first + looped + last != count or min(first, looped, last) < 0:
        raise ConfigError(
            f"n_input_layers {first}, n_recurrent_layers {looped} and n_output_layers {last} in {c.where} must add up "
            f"to the {count} layers (num_hidden_layers)."
        )
    if c.n_recurrent_loops < 1:
        raise ConfigError(f"n_recurrent_loops in {c.where} is {c.n_recurrent_loops}; it must be at least 1.")
    return first, first + looped


@family("dory")
def dory(c: Config) -> Blueprint:
    """Nemotron Labs Dory: hidden states of length 1 (nGPT, arXiv:2410.01131), and layers in the middle that run in
    loops, each with keys and values of its own or, with "last_loop", with those of the last (transformers,
    modeling_dory.py). The checkpoint numbers attention and MLP as layers apart."""
    c = in_pairs(c)
    width: int = c.hidden_size
    seen = windows(c, layer_types(c, every(4)))
    first, end = sections(c)

    def attention(window: int | None) -> tuple[Part, ...]:
        mixer = self_attention(c, name="mixer", window=window, norms=HeadNorms("plain"), gate=Gate("g_proj"))
        wide = mixer.heads * mixer.head_dim
        return (
            plain_norm("input_layernorm", width),
            VectorWeights("mixer", (("sqk", (wide,)), ("s_gate", (wide,)))),
            mixer,
            plain_norm("mixer.attn_sub_norm", wide),
            plain_norm("post_attention_layernorm", width),
            Interpolation("attn_alpha", width),
        )

    mlp = gated_mlp(c, name="mixer")
    channel: tuple[Part, ...] = (
        plain_norm("pre_feedforward_layernorm", width),
        VectorWeights("mixer", tuple((name, (mlp.intermediate,)) for name in ("suv_gate", "suv_up")), component="mlp"),
        mlp,
        plain_norm("mixer.ffn_sub_norm", mlp.intermediate),
        plain_norm("post_feedforward_layernorm", width),
        Interpolation("mlp_alpha", width),
    )
    # What enters a loop is normed and added to what entered the first.
    entering: tuple[Part, ...] = (plain_norm("loop_norm", width), Residual("loop_residual", width))

    def blocks(i: int, loop: int = 0) -> tuple[Layer, Layer]:
        mixer = attention(seen[i])
        if first <= i < end and loop < c.n_recurrent_loops - 1 and c.get("recurrent_kv_cache_mode") == "last_loop":
            mixer = tuple(CacheElsewhere(p.name, p) for p in mixer)
        if i == first < end:
            mixer = entering + mixer
        both = (mixer, channel)
        if loop:
            both = (tuple(Elsewhere(p.name, p) for p in mixer), tuple(Elsewhere(p.name, p) for p in channel))
        return Layer(attention_kind(seen[i]), both[0]), Layer("mlp", both[1])

    # The further loops stand after the last layer, so that each layer's index is the checkpoint's.
    layers = [layer for i in range(times(len(seen))) for layer in blocks(i)]
    layers += [
        layer
        for loop in range(1, times(c.n_recurrent_loops))
        for i in range(first, times(end))
        for layer in blocks(i, loop)
    ]
    # A factor of each logit stands in place of a bias.
    scaled = Head(
        "lm_head", c.vocab_size, width, c.flag("tie_word_embeddings"), bias=True, bias_name="lm_head.logit_scale"
    )
    built = decoder(
        c, layers, path="backbone.layers", embedding="backbone.embeddings", final="backbone.norm", norm=plain_norm
    )
    return replace(built, text=replace(built.text, after=(*built.text.after[:-1], scaled)))
