"""Decoders after Llama with a mechanism or two of their own: windows, sinks, norms in other places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.common import (
    Blueprint,
    attention_kind,
    blueprint,
    decoder,
    family,
    gated_mlp,
    head_shape,
    language_model,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.families.variants import plain, plain_norms
from calculator.model import Layer
from calculator.parts import MLP, Norm


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


@family("hyperclovax")
def hyperclovax(c: Config) -> Blueprint:
    """Llama with further norms after each half (peri-layer normalization, arXiv:2502.02732), unless turned off."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention")
    if c.flag("use_post_norm"):
        before, mixer, add, between, channel, last = layer.parts
        after = [Norm(name, c.hidden_size) for name in ("post_norm1", "post_norm2")]
        layer = replace(layer, parts=(before, mixer, after[0], add, between, channel, after[1], last))
    return decoder(c, layer)


@family("helium")
def helium(c: Config) -> Blueprint:
    """Llama whose output projection is square and never has a bias."""
    heads, _, head_dim = head_shape(c)
    if heads * head_dim != c.hidden_size:
        raise ConfigError(
            f"{heads} heads of {head_dim} in {c.where} do not make up hidden_size {c.hidden_size}, as in a helium "
            "model they must."
        )
    return decoder(c, pre_norm(c, self_attention(c, out_bias=False), gated_mlp(c), kind="full attention"))


@family("nanochat")
def nanochat(c: Config) -> Blueprint:
    """No norm has weights; one more stands after the embedding. A plain MLP with squared ReLU."""
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, up="fc1", down="fc2")
    layer = pre_norm(c, self_attention(c, head_norm="plain"), mlp, kind="full attention")
    first = Norm("model.norm", c.hidden_size, affine=False)
    text = language_model(c, [plain_norms(layer)] * c.num_hidden_layers, before=(first,))
    return blueprint(c, replace(text, after=tuple(plain(p) for p in text.after)))


@family("bitnet")
def bitnet(c: Config) -> Blueprint:
    """Llama with a norm before each half's last projection (arXiv:2504.12285)."""
    attention = self_attention(c, out_norm="attn_sub_norm")
    return decoder(c, pre_norm(c, attention, gated_mlp(c, inner_norm="ffn_sub_norm"), kind="full attention"))


@family("granite_swa")
def granite_swa(c: Config) -> Blueprint:
    """Granite with a window in three layers of four, sinks, and layers without positions (a rope theta of 0)."""
    types = layer_types(c, lambda i: "sliding_attention" if i % 4 else "full_attention")
    thetas = c.get("layer_rope_theta") or [1] * len(types)

    def layer(window: int | None, theta: float) -> Layer:
        changes: dict[str, Any] = {} if theta else {"rotary": 0}
        mixer = self_attention(c, window=window, sinks=True, **changes)
        return pre_norm(c, mixer, gated_mlp(c), kind=attention_kind(window))

    return decoder(c, [layer(w, theta) for w, theta in zip(windows(c, types), thetas, strict=True)])
