"""IDEFICS (arXiv:2306.16527), an open Flamingo: gated cross-attention layers between those of Llama."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.common import (
    Blueprint,
    decoder,
    dropped,
    family,
    gated_mlp,
    pre_norm,
    self_attention,
)
from calculator.families.shared import HELD
from calculator.families.towers.images import clip, vectors
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, CrossAttention, Embedding, Head, Norm, Part, Residual


def crossing_layers(c: Config, source: int) -> Stack:
    """What reads the image, before every cross_layer_interval-th layer. A text alone passes it by."""
    width, heads = c.hidden_size, c.num_attention_heads
    size = width // heads
    normed: tuple[Part, ...] = ()
    if c.flag("qk_layer_norms"):
        normed = tuple(Norm(f"cross_attn.{name}", size, groups=heads) for name in ("q_layer_norm", "k_layer_norm"))
    shape = (1, 1, width) if c.alpha_type == "vector" else (1,)
    parts = (
        Norm("input_layernorm", width),
        CrossAttention("cross_attn", width, heads, heads, size, source, out="o_proj"),
        *normed,
        Residual("mixer_residual", width),
        Norm("post_attention_layernorm", width),
        gated_mlp(c, bias=False),
        vectors("", alpha_cross_attn=shape, alpha_dense=shape),
        Residual("channel_residual", width),
    )
    if c.cross_layer_interval < 1:
        raise ConfigError(f"cross_layer_interval in {c.where} is {c.cross_layer_interval}; it must be at least 1.")
    count = c.num_hidden_layers // c.cross_layer_interval
    return Stack("model.gated_cross_attn_layers", width, (Layer("cross-attention", parts),) * count, tower="vision")


def resampler(c: Config, width: int) -> Stack:
    """A few latents that attend to the patches (arXiv:2103.03206)."""
    root, heads, size = "model.perceiver_resampler", c.resampler_n_heads, c.resampler_head_dim
    normed: tuple[Part, ...] = ()
    if c.flag("qk_layer_norms_perceiver"):
        names = ("q_layer_norm", "k_layer_norm")
        normed = tuple(Norm(f"0.{name}", size, "layer", True, groups=heads) for name in names)
    parts = (
        Norm("0.context_layer_norm", width, "layer", True),
        Norm("0.latents_layer_norm", width, "layer", True),
        *normed,
        Attention("0", width, heads, heads, size, out="output_proj"),
        Residual("mixer_residual", width),
        Norm("1.ln", width, "layer", True),
        MLP("1", width, 4 * width, gated=False, up="fc", down="c_proj"),
        Residual("channel_residual", width),
    )
    return Stack(
        f"{root}.blocks",
        width,
        (Layer("perceiver", parts),) * c.resampler_depth,
        before=(vectors(root, latents=(c.resampler_n_latents, width)),),
        after=(Norm(f"{root}.layer_norm", width, "layer", True),),
        tower="vision",
    )


@family("idefics")
def idefics(c: Config) -> Blueprint:
    vision, width, extra = c.section("vision_config"), c.hidden_size, c.additional_vocab_size
    attention = self_attention(c, out_bias=False, qkv_bias=False, dropout=dropped(c, "dropout"))
    mlp = gated_mlp(c, bias=False)
    built = decoder(c, pre_norm(c, attention, mlp, kind="full attention", dropout=dropped(c, "dropout")))
    if extra:
        rows, shape, more = c.vocab_size + extra, (c.vocab_size, width), (extra, width)
        embedded = (("weight", shape), ("additional_embedding.weight", more))
        read = (("weight", shape), ("additional_fc.weight", more))
        head = Head("lm_head", rows, width, c.flag("tie_word_embeddings"), tables=read)
        before = (Embedding("model.embed_tokens", rows, width, tables=embedded),)
        built = replace(built, text=replace(built.text, before=before, after=(built.text.after[0], head)))
    towers = [clip(vision, "model.vision_model"), crossing_layers(c, vision.hidden_size)]
    if c.flag("use_resampler"):
        towers.insert(1, resampler(c.section("perceiver_config"), vision.hidden_size))
    return replace(built, towers=tuple(towers), notes=(*built.notes, HELD))
