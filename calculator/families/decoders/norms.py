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
    rotary_size,
    self_attention,
    windows,
)
from calculator.families.decoders.packed import plain, plain_norms
from calculator.model import Layer
from calculator.parts import MLP, DifferentialAttention, GatedConvolution, Norm, Part


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


@family("diffllama")
def diffllama(c: Config) -> Blueprint:
    """Llama with differential attention."""
    heads, kv_heads, head_dim = head_shape(c)
    if kv_heads % 2:
        raise ConfigError(f"num_key_value_heads in {c.where} is {kv_heads}; differential attention pairs them up.")
    attention = DifferentialAttention(
        "self_attn",
        c.hidden_size,
        heads,
        kv_heads,
        head_dim,
        bias=c.flag("attention_bias"),
        rotary=rotary_size(c, head_dim),
    )
    return decoder(c, pre_norm(c, attention, gated_mlp(c, bias=False), kind="full attention"))


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
                head_norm="head",
                rotary=int(head_shape(c)[2] * shares[kind]),
                gate_name="gate_proj" if c.flag("use_attention_gate") else "",
                gate_per_head=True,
            )
        mlp = MLP("feed_forward", width, c.intermediate_size, gate="w1", up="w3", down="w2")
        name = "convolution" if kind == "conv" else kind.replace("_", " ")
        built = pre_norm(c, mixer, mlp, kind=name, names=("operator_norm", "ffn_norm"))
        return norms_after(built, "post_operator_norm", "post_ffn_norm") if c.flag("use_sandwich_norm") else built

    return decoder(c, [layer(t) for t in types], final="model.embedding_norm")
