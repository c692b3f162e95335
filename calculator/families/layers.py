"""The usual ways a layer is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from calculator.config import Config
from calculator.families.fields import attention_kind, dropped, head_shape, rotary_size
from calculator.families.once import once
from calculator.model import Layer
from calculator.parts import MLP, Attention, Biases, Norm, Part, Residual, Sees

if TYPE_CHECKING:
    from calculator.parts import Experts

MakeNorm = Callable[[str, int], Norm]  # by name and width; Norm itself is RMSNorm
Half = Part | Sequence[Part]  # what stands between two additions to the residual stream
MIXTRAL_NAMES = ("w1", "w3", "w2")  # of an expert's gate, up and down projections
GEMMA_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)


def layer_norm(name: str, width: int) -> Norm:
    """LayerNorm with a weight and a bias."""
    return Norm(name, width, "layer", True)


def unbiased_norm(name: str, width: int) -> Norm:
    """LayerNorm with a weight alone."""
    return Norm(name, width, "layer")


def plain_norm(name: str, width: int) -> Norm:
    """RMSNorm without a weight."""
    return Norm(name, width, affine=False)


@once
def self_attention(
    c: Config,
    *,
    window: int | None = None,
    name: str = "self_attn",
    bias: bool | None = None,
    rotates: bool = True,
    **changes: Any,
) -> Attention:
    """Grouped-query attention by the usual field names, with whatever the family changes. `bias` is that of all
    projections, attention_bias unless given; what does not rotate has no positions."""
    heads, kv_heads, head_dim = head_shape(c)
    biased = c.flag("attention_bias") if bias is None else bias
    options: dict[str, Any] = {
        "sees": Sees(window),
        "biases": Biases(biased, biased),
        "rotary": rotary_size(c, head_dim) if rotates else 0,
        "dropout": dropped(c, "attention_dropout"),
    }
    return Attention(name, c.hidden_size, heads, kv_heads, head_dim, **{**options, **changes})


def positions_in_windows(c: Config, window: int | None, **changes: Any) -> Attention:
    """Attention whose full layers have no positions."""
    return self_attention(c, window=window, rotates=window is not None, **changes)


def whole_heads(
    c: Config, name: str = "self_attn", *, bias: bool = True, rotates: bool = False, **changes: Any
) -> Attention:
    """As many key and value heads as query heads, which together are as wide as the model."""
    width: int = c.hidden_size
    heads: int = changes.pop("heads", None) or c.num_attention_heads
    size = width // heads
    options: dict[str, Any] = {"biases": Biases(bias, bias), "rotary": size if rotates else 0}
    return Attention(name, width, heads, heads, size, **{**options, **changes})


@once
def gated_mlp(c: Config, *, name: str = "mlp", **changes: Any) -> MLP:
    """The gated MLP by the usual field names."""
    return MLP(name, c.hidden_size, c.intermediate_size, **{"bias": c.flag("mlp_bias"), **changes})


@once
def plain_mlp(c: Config, name: str = "mlp", inner: int | None = None, **changes: Any) -> MLP:
    """Two projections with biases around a nonlinearity, `inner` or intermediate_size features between them."""
    options: dict[str, Any] = {"gated": False, "bias": True, "up": "fc1", "down": "fc2"}
    return MLP(name, c.hidden_size, c.intermediate_size if inner is None else inner, **{**options, **changes})


@once
def mixture(c: Config, name: str = "mlp", **changes: Any) -> Experts:
    """A mixture by the field names of most types; a family whose fields are others states them."""
    from calculator.parts import Experts  # of a model that has some

    usual = {"intermediate": "moe_intermediate_size", "experts": "num_experts", "top_k": "num_experts_per_tok"}
    read = {option: getattr(c, field) for option, field in usual.items() if option not in changes}
    return Experts(name, c.hidden_size, **read, **changes)


def several(half: Half) -> tuple[Part, ...]:
    return (half,) if isinstance(half, Part) else tuple(half)


def additions(width: int, dropout: bool = False) -> tuple[Residual, Residual]:
    """What adds each half to the residual stream."""
    return Residual("mixer_residual", width, dropout), Residual("channel_residual", width, dropout)


def usual_kind(mixer: Half, channel: Half) -> str:
    """What a person would call such a layer: its window, and its experts where it has some."""
    window = next((p.sees.window for p in several(mixer) if isinstance(p, Attention)), None)
    mixed = any(p.ROUTED for p in several(channel))
    return attention_kind(window) + (" + experts" if mixed else "")


def channel_kind(window: int | None, mixed: bool) -> str:
    """The same for a model some of whose layers are mixtures."""
    return f"{attention_kind(window)} + {'experts' if mixed else 'mlp'}"


@once
def pre_norm(
    c: Config,
    mixer: Half,
    channel: Half,
    *,
    kind: str | None = None,
    norm: MakeNorm = Norm,
    names: tuple[str, str] = ("input_layernorm", "post_attention_layernorm"),
    dropout: bool = False,
) -> Layer:
    """norm, token mixer, add; norm, channel mixer, add."""
    first, second = (norm(name, c.hidden_size) for name in names)
    adds = additions(c.hidden_size, dropout)
    parts = (first, *several(mixer), adds[0], second, *several(channel), adds[1])
    return Layer(kind or usual_kind(mixer, channel), parts)


@once
def post_norm(
    c: Config,
    mixer: Half,
    channel: Half,
    *,
    kind: str | None = None,
    names: tuple[str, str] = ("post_attention_layernorm", "post_feedforward_layernorm"),
) -> Layer:
    """Norms on what each half adds instead of on what it reads (OLMo 2, EXAONE 4)."""
    first, second = (Norm(name, c.hidden_size) for name in names)
    adds = additions(c.hidden_size)
    parts = (*several(mixer), first, adds[0], *several(channel), second, adds[1])
    return Layer(kind or usual_kind(mixer, channel), parts)


@once
def sandwiched(
    c: Config,
    mixer: Half,
    channel: Half,
    *,
    kind: str | None = None,
    names: tuple[str, str, str, str] = GEMMA_NORMS,
) -> Layer:
    """A norm before and after each half (Gemma 2, arXiv:2408.00118)."""
    before, after, inner, outer = (Norm(name, c.hidden_size) for name in names)
    adds = additions(c.hidden_size)
    parts = (before, *several(mixer), after, adds[0], inner, *several(channel), outer, adds[1])
    return Layer(kind or usual_kind(mixer, channel), parts)


def parallel_layer(
    c: Config, mixer: Part, channel: Part, *norms: Norm, kind: str | None = None, dropout: bool = False
) -> Layer:
    """Attention and MLP side by side behind one norm or one each, both added to the residual stream they read."""
    if len(norms) == 1 and isinstance(channel, MLP):
        channel = replace(channel, shares_input=True)
    read = (*norms[:1], *(replace(n, shares_input=True) for n in norms[1:]))
    parts = (*read, mixer, channel, *additions(c.hidden_size, dropout))
    return Layer(kind or usual_kind(mixer, channel), parts, parallel=(mixer.name, channel.name))


def mixed_layers(
    c: Config,
    mixer: Part | Callable[[int], Part],
    experts: Part,
    sparse: Iterable[bool],
    *,
    mixer_kind: str | None = None,
    dense: Part | None = None,
) -> list[Layer]:
    """Pre-norm layers whose channel mixer is the MLP or the experts."""
    mlp = dense or gated_mlp(c)

    def layer(own: Part, mixed: bool) -> Layer:
        kind = mixer_kind or usual_kind(own, ())
        return pre_norm(c, own, experts if mixed else mlp, kind=f"{kind} + {'experts' if mixed else 'mlp'}")

    return [layer(mixer(i) if callable(mixer) else mixer, mixed) for i, mixed in enumerate(sparse)]
