"""The usual ways a layer is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import dropped, head_shape, rotary_size
from calculator.model import Layer
from calculator.parts import MLP, Attention, Norm, Part, Residual


def self_attention(c: Config, *, window: int | None = None, name: str = "self_attn", **changes: Any) -> Attention:
    """Grouped-query attention by the usual field names, with whatever the family changes."""
    heads, kv_heads, head_dim = head_shape(c)
    options: dict[str, Any] = {
        "qkv_bias": c.flag("attention_bias"),
        "out_bias": c.flag("attention_bias"),
        "rotary": rotary_size(c, head_dim),
        "dropout": dropped(c, "attention_dropout"),
    }
    return Attention(name, c.hidden_size, heads, kv_heads, head_dim, window=window, **{**options, **changes})


def gated_mlp(c: Config, *, name: str = "mlp", **changes: Any) -> MLP:
    """The gated MLP by the usual field names."""
    return MLP(name, c.hidden_size, c.intermediate_size, **{"bias": c.flag("mlp_bias"), **changes})


def pre_norm(
    c: Config,
    mixer: Part,
    channel: Part,
    *,
    kind: str,
    norm: str = "rms",
    bias: bool = False,
    names: tuple[str, str] = ("input_layernorm", "post_attention_layernorm"),
    dropout: bool = False,
) -> Layer:
    """norm, token mixer, add; norm, channel mixer, add."""
    width: int = c.hidden_size
    return Layer(
        kind,
        (
            Norm(names[0], width, norm, bias),
            mixer,
            Residual("mixer_residual", width, dropout),
            Norm(names[1], width, norm, bias),
            channel,
            Residual("channel_residual", width, dropout),
        ),
    )


def mixed_layers(
    c: Config,
    mixer: Part | Callable[[int], Part],
    experts: Part,
    sparse: Iterable[bool],
    *,
    mixer_kind: str = "full attention",
    dense: Part | None = None,
) -> list[Layer]:
    """Pre-norm layers whose channel mixer is the MLP or the experts."""
    mlp = dense or gated_mlp(c)
    return [
        pre_norm(
            c,
            mixer(i) if callable(mixer) else mixer,
            experts if mixed else mlp,
            kind=f"{mixer_kind} + {'experts' if mixed else 'mlp'}",
        )
        for i, mixed in enumerate(sparse)
    ]


def parallel_layer(
    kind: str, norms: tuple[Part, ...], mixer: Part, channel: Part, width: int, dropout: bool = False
) -> Layer:
    """Attention and MLP side by side, both added to the residual stream they read."""
    adds = [Residual(name, width, dropout) for name in ("mixer_residual", "channel_residual")]
    if len(norms) == 1 and isinstance(channel, MLP):
        channel = replace(channel, shares_input=True)
    norms = (*norms[:1], *(replace(n, shares_input=True) for n in norms[1:] if isinstance(n, Norm)))
    return Layer(kind, (*norms, mixer, channel, *adds), parallel=(mixer.name, channel.name))


def post_norm(c: Config, mixer: Part, channel: Part, *, kind: str) -> Layer:
    """Norms after each half instead of before (OLMo 2, EXAONE 4)."""
    width: int = c.hidden_size
    return Layer(
        kind,
        (
            mixer,
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            channel,
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )


def sandwiched(c: Config, names: tuple[str, str, str, str], mixer: tuple[Part, ...], channel: Part, kind: str) -> Layer:
    """A norm before and after each half."""
    before, after, inner, outer = (Norm(name, c.hidden_size) for name in names)
    adds = [Residual(name, c.hidden_size) for name in ("mixer_residual", "channel_residual")]
    return Layer(kind, (before, *mixer, after, adds[0], inner, channel, outer, adds[1]))
