"""What towers are made of: convolutions, blocks, projectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from calculator.config import Config
from calculator.families.layers import Half, MakeNorm, layer_norm, pre_norm
from calculator.model import Layer
from calculator.parts import Linear, Part, PatchEmbedding, Residual, VectorWeights


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of what is stated as one size or as two."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


def square(name: str, inputs: int, outputs: int, side: int, *, bias: bool = True) -> PatchEmbedding:
    """A convolution over a map by a square kernel."""
    return PatchEmbedding(name, inputs * side**2, outputs, (outputs, inputs, side, side), bias=bias)


def volume_patches(c: Config, name: str, width: int, *, bias: bool = True) -> PatchEmbedding:
    """A convolution over patches of a few frames."""
    return convolution(name, width, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size, bias=bias)


def vectors(name: str, **shapes: tuple[int, ...]) -> VectorWeights:
    return VectorWeights(name, tuple(shapes.items()))


def two_layer_projector(name: str, inputs: int, inner: int, outputs: int, bias: bool = True) -> tuple[Part, ...]:
    return Linear(f"{name}.linear_1", inputs, inner, bias), Linear(f"{name}.linear_2", inner, outputs, bias)


def feature_layers(c: Config) -> int:
    """How many of the tower's layers are put side by side."""
    chosen = c.get("vision_feature_layer")
    return len(chosen) if isinstance(chosen, list) else 1


def patches(c: Config, name: str, *, bias: bool) -> PatchEmbedding:
    """A convolution over square patches; num_channels is 3 where the type knows no such field."""
    shape = (c.hidden_size, c.get("num_channels") or 3, c.patch_size, c.patch_size)
    return PatchEmbedding(name, prod(shape[1:]), c.hidden_size, shape, bias=bias)


def encoder_layer(
    c: Config, *, norms: tuple[str, str], attention: Half, mlp: Half, norm: MakeNorm = layer_norm
) -> Layer:
    """Pre-norm attention and MLP."""
    return pre_norm(c, attention, mlp, kind="vision", norm=norm, names=norms)


def convolution(name: str, outputs: int, inputs: int, *kernel: int, bias: bool = True) -> PatchEmbedding:
    """A convolution by its kernel [outputs, inputs of a group, ...]."""
    return PatchEmbedding(name, inputs * prod(kernel), outputs, (outputs, inputs, *kernel), bias)


def linears(root: str, *named: tuple[str, int, int], bias: bool = True) -> tuple[Part, ...]:
    """Projections by (name, inputs, outputs)."""
    return tuple(Linear(f"{root}.{name}", inputs, outputs, bias) for name, inputs, outputs in named)


def projections(
    name: str,
    width: int,
    inner: int,
    *,
    inputs: int | None = None,
    keys: int | None = None,
    out: str = "out_proj",
    key_bias: bool = False,
    bias: bool = True,
) -> tuple[Part, ...]:
    """The four projections of an attention with `inner` features of queries, and `keys` of keys and values."""
    read, kept = width if inputs is None else inputs, inner if keys is None else keys
    return (
        Linear(f"{name}.q_proj", read, inner, bias),
        Linear(f"{name}.k_proj", read, kept, bias and key_bias),
        Linear(f"{name}.v_proj", read, kept, bias),
        Linear(f"{name}.{out}", inner, width, bias),
    )


def block(width: int, norms: tuple[Part, Part], mixer: Iterable[Part], channel: Iterable[Part]) -> Layer:
    """Pre-norm attention and MLP of parts that stand alone."""
    adds = [Residual(f"{name}_residual", width) for name in ("mixer", "channel")]
    return Layer("audio", (norms[0], *mixer, adds[0], norms[1], *channel, adds[1]))


def held(root: str, shapes: Iterable[tuple[str, tuple[int, ...]]], role: str = "vector") -> VectorWeights:
    """Tensors of a module that no pass here runs, by name and shape."""
    return VectorWeights(root, tuple(shapes), "vision", role)


def batch_norm(name: str, width: int) -> tuple[Part, ...]:
    """A scale and a shift, and the running statistics, which no count of parameters includes."""
    root, _, last = name.rpartition(".")
    statistics: tuple[tuple[str, tuple[int, ...]], ...] = (
        (f"{last}.running_mean", (width,)),
        (f"{last}.running_var", (width,)),
        (f"{last}.num_batches_tracked", ()),
    )
    return layer_norm(name, width), held(root, statistics, role="buffer")


Shapes = Iterator[tuple[str, tuple[int, ...]]]


def conv(name: str, outputs: int, inputs: int, kernel: int, *, bias: int | None = None) -> Shapes:
    """A one-dimensional convolution, or with `bias` features a transposed one [inputs, outputs, kernel]."""
    yield f"{name}.weight", (outputs, inputs, kernel)
    yield f"{name}.bias", (outputs if bias is None else bias,)
