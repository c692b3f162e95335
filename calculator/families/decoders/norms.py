"""Norms in other places than Llama's, or without weights."""

from __future__ import annotations

from typing import Any

from calculator.config import Config
from calculator.families.decoders.original import blocks
from calculator.families.fields import every, head_shape, layer_types, partly_rotated, windows
from calculator.families.layers import gated_mlp, plain_mlp, plain_norm, post_norm, pre_norm, sandwiched, self_attention
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.parts import Attention, Biases, Gate, HeadNorms, Norm


@family("vaultgemma")
def vaultgemma(c: Config) -> Blueprint:
    """Gemma 2 without the norms after each half (arXiv:2510.15001)."""
    mlp, names = gated_mlp(c, bias=False), ("input_layernorm", "pre_feedforward_layernorm")
    seen = windows(c, layer_types(c, every(2)))
    return decoder(c, [pre_norm(c, self_attention(c, window=w), mlp, names=names) for w in seen])


@family("hyperclovax")
def hyperclovax(c: Config) -> Blueprint:
    """Llama with further norms after each half (peri-layer normalization, arXiv:2502.02732), unless turned off."""
    if not c.flag("use_post_norm"):
        return decoder(c, pre_norm(c, self_attention(c), gated_mlp(c)))
    names = ("input_layernorm", "post_norm1", "post_attention_layernorm", "post_norm2")
    return decoder(c, sandwiched(c, self_attention(c), gated_mlp(c), names=names))


@family("nanochat")
def nanochat(c: Config) -> Blueprint:
    """No norm has weights; one more stands after the embedding. A plain MLP with squared ReLU."""
    layer = pre_norm(c, self_attention(c, norms=HeadNorms("plain")), plain_mlp(c, bias=False), norm=plain_norm)
    return decoder(c, layer, norm=plain_norm, before=(plain_norm("model.norm", c.hidden_size),))


@family("gemma2")
def gemma2(c: Config) -> Blueprint:
    """Norms before and after each half, windows in every other layer (arXiv:2408.00118)."""
    seen = windows(c, layer_types(c, every(2)))
    return decoder(c, [sandwiched(c, self_attention(c, window=w), gated_mlp(c)) for w in seen])


@family("gemma3_text")
def gemma3_text(c: Config) -> Blueprint:
    """Gemma 2 with norms on queries and keys (arXiv:2503.19786)."""
    seen = windows(c, layer_types(c, every(c.get("sliding_window_pattern") or 6)))
    if c.flag("use_bidirectional_attention"):
        # A window that looks both ways reaches half as far back (EmbeddingGemma).
        seen = [None if w is None else w // 2 + 1 for w in seen]
    return decoder(c, [sandwiched(c, self_attention(c, window=w, norms=HeadNorms("head")), gated_mlp(c)) for w in seen])


@family("muse_glimmer_text")
def muse_glimmer_text(c: Config) -> Blueprint:
    """Gemma 2's layers with gated attention; the last layer is a full one, and so is every fourth before it."""
    count: int = c.num_hidden_layers
    seen = windows(c, layer_types(c, lambda i: every(4)(i - count)))
    mixers = [self_attention(c, window=w, norms=HeadNorms("plain"), gate=Gate("gate_proj")) for w in seen]
    return decoder(c, [sandwiched(c, mixer, gated_mlp(c, bias=False)) for mixer in mixers])


@family("olmo")
def olmo(c: Config) -> Blueprint:
    """LayerNorm without weights (arXiv:2402.00838). The authors' own configs first stated the same type."""
    if "d_model" in c.raw:
        return blocks(c)

    def norm(name: str, width: int) -> Norm:
        return Norm(name, width, "layer", affine=False)

    return decoder(c, pre_norm(c, self_attention(c), gated_mlp(c), norm=norm), norm=norm)


@family("olmo2")
def olmo2(c: Config) -> Blueprint:
    """Norms after each half instead of before, and over all query or key heads together (arXiv:2501.00656)."""
    return decoder(c, post_norm(c, self_attention(c, norms=HeadNorms("full")), gated_mlp(c)))


@family("olmo3")
def olmo3(c: Config) -> Blueprint:
    """OLMo 2 with a window in three layers of four."""
    seen = windows(c, layer_types(c, every(4)))
    return decoder(c, [post_norm(c, self_attention(c, window=w, norms=HeadNorms("full")), gated_mlp(c)) for w in seen])


def exaone_windows(c: Config) -> list[int | None]:
    """Every layer has the window but those that end a period; the pattern may be spelled out ("LLLG")."""
    pattern = c.get("sliding_window_pattern")
    period = len(pattern) if isinstance(pattern, str) else pattern or 0
    sliding = c.get("sliding_window") and period
    return windows(c, layer_types(c, every(period) if sliding else lambda i: "full_attention"))


def exaone_attention(c: Config, window: int | None) -> Attention:
    """Where sliding and full attention alternate, only the sliding layers have positions."""
    rotates = window is not None or c.get("sliding_window") is None
    return self_attention(c, window=window, norms=HeadNorms("head"), bias=False, rotates=rotates)


@family("exaone4")
def exaone4(c: Config) -> Blueprint:
    """Norms after each half, and positions in the sliding layers only (arXiv:2507.11407)."""
    return decoder(c, [post_norm(c, exaone_attention(c, w), gated_mlp(c)) for w in exaone_windows(c)])


def glm_attention(c: Config, **changes: Any) -> Attention:
    """Half of each head is rotated; the output projection has no bias."""
    rotary = partly_rotated(c, head_shape(c)[2], 0.5)
    # GLM-4V's dense model always has biases on q, k and v.
    bias = c.model_type == "glm4v_text" or c.flag("attention_bias")
    return self_attention(c, biases=Biases(qkv=bias, out=False), rotary=rotary, **changes)


@family("glm")
def glm(c: Config) -> Blueprint:
    """GLM-4 9B in transformers' spelling."""
    return decoder(c, pre_norm(c, glm_attention(c), gated_mlp(c, fused="gate_up_proj", bias=False)))


@family("glm4", "glm4v_text", "glm_ocr_text")
def glm4(c: Config) -> Blueprint:
    """A second norm after each half."""
    names = ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm")
    mlp = gated_mlp(c, fused="gate_up_proj", bias=False)
    return decoder(c, sandwiched(c, glm_attention(c), mlp, names=names))
