"""Decoders after Llama with a mechanism or two of their own: windows, sinks, norms in other places."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    decoder,
    family,
    gated_mlp,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.parts import MLP


@family("cwm")
def cwm(c: Config) -> Blueprint:
    """Llama with a window in three layers of four (arXiv:2510.02387)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    mixers = [self_attention(c, window=w, qkv_bias=False, out_bias=False) for w in windows(c, types)]
    return decoder(c, [pre_norm(c, m, gated_mlp(c), kind=attention_kind(m.window)) for m in mixers])


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


@family("jais2")
def jais2(c: Config) -> Blueprint:
    """Llama with LayerNorm, and a plain MLP with squared ReLU."""
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=c.flag("mlp_bias"))
    layer = pre_norm(c, self_attention(c), mlp, kind="full attention", norm="layer", bias=True)
    return decoder(c, layer, norm="layer", norm_bias=True)
