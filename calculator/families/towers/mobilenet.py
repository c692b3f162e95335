"""MobileNet-V5 (the `mobilenetv5_300m_enc` of timm's mobilenetv5.py), the eye of Gemma 3n: convolutions, then inverted
residuals between attentions of one key head."""

from __future__ import annotations

from collections.abc import Iterator

from calculator.limits import times
from calculator.parts import Norm, Part, PatchEmbedding, VectorWeights

STEM, FUSED = 64, 2048


def convolution(name: str, outputs: int, inputs: int, kernel: int = 1, *, bias: bool = False) -> PatchEmbedding:
    return PatchEmbedding(name, inputs * kernel * kernel, outputs, (outputs, inputs, kernel, kernel), bias)


def normed(name: str, outputs: int, inputs: int, kernel: int = 1, *, bias: bool = False) -> tuple[Part, ...]:
    return convolution(f"{name}.conv", outputs, inputs, kernel, bias=bias), Norm(f"{name}.bn", outputs)


def layer_scale(name: str, width: int) -> VectorWeights:
    return VectorWeights(f"{name}.layer_scale", (("gamma", (width,)),), "vision")


def edge_residual(name: str, inputs: int, outputs: int) -> Iterator[Part]:
    """A full convolution to four times the channels, and back."""
    wide = 4 * inputs
    yield convolution(f"{name}.conv_exp", wide, inputs, 3)
    yield Norm(f"{name}.bn1", wide)
    yield convolution(f"{name}.conv_pwl", outputs, wide)
    yield Norm(f"{name}.bn2", outputs)


def inverted_residual(
    name: str, inputs: int, outputs: int, *, ratio: int, start: int = 0, middle: int = 0, scaled: bool = True
) -> Iterator[Part]:
    """Out to `ratio` times the channels and back, with depthwise convolutions of these kernels before and between."""
    wide = ratio * inputs
    if start:
        yield from normed(f"{name}.dw_start", inputs, 1, start)
    yield from normed(f"{name}.pw_exp", wide, inputs)
    if middle:
        yield from normed(f"{name}.dw_mid", wide, 1, middle)
    yield from normed(f"{name}.pw_proj", outputs, wide)
    if scaled:
        yield layer_scale(name, outputs)


def attention(name: str, width: int, *, heads: int, size: int, thinned: bool) -> Iterator[Part]:
    """Multi-query attention, its keys and values perhaps over every other row and column."""
    yield Norm(f"{name}.norm", width)
    yield convolution(f"{name}.attn.query.proj", heads * size, width)
    for kind in ("key", "value"):
        if thinned:
            yield convolution(f"{name}.attn.{kind}.down_conv", width, 1, 3)
            yield Norm(f"{name}.attn.{kind}.norm", width)
        yield convolution(f"{name}.attn.{kind}.proj", size, width)
    yield convolution(f"{name}.attn.output.proj", width, heads * size)
    yield layer_scale(name, width)


def attentive(name: str, first: int, width: int, pairs: int, *, heads: int, size: int, thinned: bool) -> Iterator[Part]:
    """Attention and an inverted residual in turn, from block `first` of the stage on."""
    for i in range(first, first + 2 * times(pairs), 2):
        yield from attention(f"{name}.{i}", width, heads=heads, size=size, thinned=thinned)
        yield from inverted_residual(f"{name}.{i + 1}", width, width, ratio=2)


def mobilenet_v5(root: str) -> Iterator[Part]:
    """The stem, four stages, and the adapter that fuses the last two stages."""
    yield from normed(f"{root}.conv_stem", STEM, 3, 3, bias=True)
    for i in range(3):
        yield from edge_residual(f"{root}.blocks.0.{i}", 128 if i else STEM, 128)
    stage = f"{root}.blocks.1"
    yield from inverted_residual(f"{stage}.0", 128, 256, ratio=6, start=3, middle=5)
    for i in range(1, 5):
        yield from inverted_residual(f"{stage}.{i}", 256, 256, ratio=4, start=5 if i % 2 else 3)
    stage = f"{root}.blocks.2"
    yield from inverted_residual(f"{stage}.0", 256, 640, ratio=6, start=5, middle=5)
    for i in range(1, 8):
        yield from inverted_residual(f"{stage}.{i}", 640, 640, ratio=4, start=5)
    yield from inverted_residual(f"{stage}.8", 640, 640, ratio=1)
    yield from attentive(stage, 9, 640, 14, heads=12, size=64, thinned=True)
    stage = f"{root}.blocks.3"
    yield from inverted_residual(f"{stage}.0", 640, 1280, ratio=6, start=5, middle=5)
    yield from attentive(stage, 1, 1280, 19, heads=16, size=96, thinned=False)
    yield from inverted_residual(f"{root}.msfa.ffn", 640 + 1280, FUSED, ratio=2, scaled=False)
    yield Norm(f"{root}.msfa.norm", FUSED)
