"""Norms in other places than Llama's, or without weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import attention_kind, head_shape, layer_types, partly_rotated, windows
from calculator.families.layers import gated_mlp, post_norm, pre_norm, self_attention
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import MLP, Attention, Norm, Part, Residual


@family("vaultgemma")
def vaultgemma(c: Config) -> Blueprint:
    """Gemma 2 without the norms after each half (arXiv:2510.15001)."""
    types = layer_types(c, lambda i: "full_attention" if i % 2 else "sliding_attention")
    names = ("input_layernorm", "pre_feedforward_layernorm")
    return decoder(
        c,
        [
            pre_norm(c, self_attention(c, window=w), gated_mlp(c, bias=False), kind=attention_kind(w), names=names)
            for w in windows(c, types)
        ],
    )


def norms_after(layer: Layer, *names: str) -> Layer:
    """The layer of `pre_norm` with further norms on what each half adds to the residual stream."""
    before, mixer, add, between, channel, last = layer.parts
    after = [replace(before, name=name) for name in names]
    return replace(layer, parts=(before, mixer, after[0], add, between, channel, after[1], last))


@family("hyperclovax")
def hyperclovax(c: Config) -> Blueprint:
    """Llama with further norms after each half (peri-layer normalization, arXiv:2502.02732), unless turned off."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention")
    return decoder(c, norms_after(layer, "post_norm1", "post_norm2") if c.flag("use_post_norm") else layer)


@family("nanochat")
def nanochat(c: Config) -> Blueprint:
    """No norm has weights; one more stands after the embedding. A plain MLP with squared ReLU."""
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, up="fc1", down="fc2")
    layer = pre_norm(c, self_attention(c, head_norm="plain"), mlp, kind="full attention")
    first = Norm("model.norm", c.hidden_size, affine=False)
    text = language_model(c, [plain_norms(layer)] * c.num_hidden_layers, before=(first,))
    return blueprint(c, replace(text, after=tuple(plain(p) for p in text.after)))


@family("gemma2")
def gemma2(c: Config) -> Blueprint:
    types = layer_types(c, lambda i: "full_attention" if i % 2 else "sliding_attention")
    return blueprint(c, language_model(c, [gemma_layer(c, w, None) for w in windows(c, types)]))


@family("gemma3_text")
def gemma3_text(c: Config) -> Blueprint:
    period = c.get("sliding_window_pattern") or 6
    types = layer_types(c, lambda i: "sliding_attention" if (i + 1) % period else "full_attention")
    seen = windows(c, types)
    if c.flag("use_bidirectional_attention"):
        # A window that looks both ways reaches half as far back (EmbeddingGemma).
        seen = [None if w is None else w // 2 + 1 for w in seen]
    return blueprint(c, language_model(c, [gemma_layer(c, w, "head") for w in seen]))


def gemma_layer(c: Config, window: int | None, head_norm: str | None) -> Layer:
    """Norms before and after both halves (Gemma 2, arXiv:2408.00118)."""
    width: int = c.hidden_size
    return Layer(
        attention_kind(window),
        (
            Norm("input_layernorm", width),
            self_attention(c, window=window, head_norm=head_norm),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            Norm("pre_feedforward_layernorm", width),
            gated_mlp(c),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )


@family("olmo2")
def olmo2(c: Config) -> Blueprint:
    """Norms after each half instead of before, and over all query or key heads together (arXiv:2501.00656)."""
    width: int = c.hidden_size
    layer = Layer(
        "full attention",
        (
            self_attention(c, head_norm="full"),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            gated_mlp(c),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("olmo")
def olmo(c: Config) -> Blueprint:
    """LayerNorm without weights (arXiv:2402.00838)."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention", norm="layer")
    text = language_model(c, [plain_norms(layer)] * c.num_hidden_layers, norm="layer")
    return blueprint(c, replace(text, after=tuple(plain(p) for p in text.after)))


def plain(part: Part) -> Part:
    return replace(part, affine=False) if isinstance(part, Norm) else part


def plain_norms(layer: Layer) -> Layer:
    return replace(layer, parts=tuple(plain(p) for p in layer.parts))


@family("olmo3")
def olmo3(c: Config) -> Blueprint:
    types = layer_types(c, lambda i: "sliding_attention" if (i + 1) % 4 else "full_attention")
    layers = [
        post_norm(c, self_attention(c, window=w, head_norm="full"), gated_mlp(c), kind=attention_kind(w))
        for w in windows(c, types)
    ]
    return blueprint(c, language_model(c, layers))


@family("exaone4")
def exaone4(c: Config) -> Blueprint:
    """Where sliding and full attention alternate, only the sliding layers have positions."""
    window, pattern = c.get("sliding_window"), c.get("sliding_window_pattern")
    period = len(pattern) if isinstance(pattern, str) else pattern or 0
    types = layer_types(
        c, lambda i: "sliding_attention" if window and period and (i + 1) % period else "full_attention"
    )

    def layer(kept: int | None) -> Layer:
        changes: dict[str, Any] = {} if kept is not None or window is None else {"rotary": 0}
        attention = self_attention(c, window=kept, head_norm="head", qkv_bias=False, out_bias=False, **changes)
        return post_norm(c, attention, gated_mlp(c), kind=attention_kind(kept))

    return blueprint(c, language_model(c, [layer(w) for w in windows(c, types)]))


def glm_attention(c: Config, **changes: Any) -> Attention:
    """Half of each head is rotated; the output projection has no bias."""
    rotary = partly_rotated(c, head_shape(c)[2], 0.5)
    # GLM-4V's dense model always has biases on q, k and v.
    bias = c.model_type == "glm4v_text" or c.flag("attention_bias")
    return self_attention(c, qkv_bias=bias, out_bias=False, rotary=rotary, **changes)


@family("glm")
def glm(c: Config) -> Blueprint:
    layer = pre_norm(c, glm_attention(c), gated_mlp(c, fused="gate_up_proj", bias=False), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("glm4", "glm4v_text", "glm_ocr_text")
def glm4(c: Config) -> Blueprint:
    """A second norm after each half."""
    width: int = c.hidden_size
    layer = Layer(
        "full attention",
        (
            Norm("input_layernorm", width),
            glm_attention(c),
            Norm("post_self_attn_layernorm", width),
            Residual("mixer_residual", width),
            Norm("post_attention_layernorm", width),
            gated_mlp(c, fused="gate_up_proj", bias=False),
            Norm("post_mlp_layernorm", width),
            Residual("channel_residual", width),
        ),
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("muse_glimmer_text")
def muse_glimmer_text(c: Config) -> Blueprint:
    """Sliding windows in three of four layers, gated attention, norms before and after each half; the last layer is a
    full one, and so is every fourth before it."""
    width, count = c.hidden_size, c.num_hidden_layers
    types = layer_types(c, lambda i: "sliding_attention" if (count - 1 - i) % 4 else "full_attention")
    layers = []
    for window in windows(c, types):
        parts = (
            Norm("input_layernorm", width),
            self_attention(c, window=window, head_norm="plain", gate_name="gate_proj"),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            Norm("pre_feedforward_layernorm", width),
            gated_mlp(c, bias=False),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        )
        layers.append(Layer(attention_kind(window), parts))
    return decoder(c, layers)
