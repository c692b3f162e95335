"""The pieces of a vision transformer: patches in, merged tokens out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend, rotate
from calculator.parts.base import LAYER_NORM_FLOPS, Part, activation, elementwise, project
from calculator.parts.heads import Heads
from calculator.parts.symbols import HIDDEN
from calculator.record.run import Run
from calculator.record.split import ROW


@dataclass(frozen=True)
class PatchEmbedding(Part):
    """A convolution whose stride is its kernel: one matrix product of `inputs` pixels per patch."""

    inputs: int  # channels × patch volume
    hidden: int
    shape: tuple[int, ...] = ()  # the kernel as stored, [hidden, channels, ...]
    bias: bool = True
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "inputs": Symbol("p", "values in a patch"),
        "hidden": Symbol("d_t", "width of a tower"),
    }

    def write(self, run: Run) -> None:
        weights: tuple[Weight, ...] = (
            Weight(f"{self.name}.weight", self.shape or (self.hidden, self.inputs), "convolution"),
        )
        if self.bias:
            weights += (Weight(f"{self.name}.bias", (self.hidden,), "vector"),)
        read = run.tokens * self.inputs * run.width
        run.add(
            self.name,
            "vision",
            "convolution",
            flops=2 * run.tokens * self.inputs * self.hidden,
            reads=read,
            writes=run.tokens * self.hidden * run.width,
            weights=weights,
            saved=read,
            input_gradient=False,
            stream=0,
        )


@dataclass(frozen=True)
class VisionAttention(Part):
    """Bidirectional attention with one packed projection; keeps no cache."""

    hidden: int
    heads: int
    head_dim: int
    bias: bool = True
    rotary: bool = True
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": Symbol("d_t", "width of a tower"),
        "heads": Symbol("n_t", "heads of a tower"),
        "head_dim": Symbol("d_th", "size of a tower's head"),
    }

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        project(run, self.path("qkv"), self.hidden, 3 * inner, component="vision", bias=self.bias)
        if self.rotary:
            rotate(run, self.path("rotary"), 2 * inner)
        attend(run, self.path("attention"), Heads(self.heads, self.heads, self.head_dim, self.head_dim))
        project(run, self.path("proj"), inner, self.hidden, component="vision", bias=self.bias, split=ROW)


@dataclass(frozen=True)
class PatchMerger(Part):
    """Joins `merge` neighbouring patches and projects them to the language model's width.

    Attributes:
        norm_after: the LayerNorm runs over the joined patches, not over each (Qwen3-VL's deepstack mergers).
    """

    hidden: int
    merge: int
    outputs: int
    norm_after: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": Symbol("d_t", "width of a tower"), "outputs": HIDDEN}

    def write(self, run: Run) -> None:
        joined = self.hidden * self.merge
        rows = run.tokens // self.merge
        size = joined if self.norm_after else self.hidden
        elements = run.tokens * self.hidden
        weights = tuple(Weight(self.path(f"norm.{n}"), (size,), "norm") for n in ("weight", "bias"))
        elementwise(run, self.path("norm"), "vision", elements, LAYER_NORM_FLOPS, weights=weights, stream=0)
        project(run, self.path("linear_fc1"), joined, joined, component="vision", bias=True, tokens=rows)
        activation(run, self.path("activation"), rows, joined, gated=False, component="vision", stream=0)
        project(
            run, self.path("linear_fc2"), joined, self.outputs, component="vision", bias=True, tokens=rows, split=ROW
        )
