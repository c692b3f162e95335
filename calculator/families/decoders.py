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


@family("cwm")
def cwm(c: Config) -> Blueprint:
    """Llama with a window in three layers of four (arXiv:2510.02387)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    mixers = [self_attention(c, window=w, qkv_bias=False, out_bias=False) for w in windows(c, types)]
    return decoder(c, [pre_norm(c, m, gated_mlp(c), kind=attention_kind(m.window)) for m in mixers])
