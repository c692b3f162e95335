"""Matrices by their tensors' names, as a checkpoint's headers give them, and attention without its projections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.cache import LATENT
from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import Part
from calculator.parts.heads import Heads, Shared
from calculator.parts.symbols import (
    HEAD_DIM,
    HEADS,
    INPUTS,
    KV_HEADS,
    KV_RANK,
    OUTPUTS,
    ROTATED,
    UNROTATED,
    VALUE_DIM,
    WINDOW,
)
from calculator.record.run import Run
from calculator.record.split import COLUMN, EXPERT, REPLICATED


@dataclass(frozen=True)
class Matrix(Part):
    """A product of every token with a matrix.

    Attributes:
        tensor, bias: the tensors' names inside the layer; no bias where it is "".
    """

    tensor: str
    outputs: int
    inputs: int
    bias: str = ""
    component: str = "mlp"
    role: str = "linear"
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"inputs": INPUTS, "outputs": OUTPUTS}

    def write(self, run: Run) -> None:
        weights: tuple[Weight, ...] = (Weight(self.tensor, (self.outputs, self.inputs), self.role),)
        if self.bias:
            weights += (Weight(self.bias, (self.outputs,), "vector"),)
        read = run.tokens * self.inputs * run.width
        run.add(
            self.name,
            self.component,
            "matmul",
            flops=2 * run.tokens * self.inputs * self.outputs,
            reads=read,
            writes=run.tokens * self.outputs * run.width,
            weights=weights,
            saved=read,
            split=REPLICATED if self.role == "router" else COLUMN,
        )


@dataclass(frozen=True)
class RoutedMatrix(Part):
    """A matrix of each routed expert, `top_k` of which a token visits.

    Attributes:
        tensor: with a star for the expert's number where each has a tensor of its own; else one tensor holds all.
    """

    tensor: str
    experts: int
    top_k: int
    outputs: int
    inputs: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"inputs": INPUTS, "outputs": OUTPUTS}

    def write(self, run: Run) -> None:
        matrix = (self.outputs, self.inputs)
        apart = "*" in self.tensor
        weight = (
            Weight(self.tensor, matrix, "experts", self.experts)
            if apart
            else Weight(self.tensor, (self.experts, *matrix), "experts")
        )
        rows = run.expert_rows(self.experts, self.top_k)
        held = run.bytes_of(weight)
        read = rows * self.inputs * run.width
        run.add(
            self.name,
            "experts",
            "matmul",
            flops=2 * rows * self.inputs * self.outputs,
            reads=read,
            writes=rows * self.outputs * run.width,
            weights=(weight,),
            active_share=(self.top_k, self.experts),
            weight_reads=held * run.experts_touched(self.experts, self.top_k) // self.experts,
            saved=read,
            split=EXPERT,
        )


@dataclass(frozen=True)
class Tensors(Part):
    """Tensors that take part in no matrix product: biases, scalars, buffers, and kernels of a depthwise convolution.

    Attributes:
        weights: (name, shape, role). kernel: each element of them is multiplied with every token.
        share: (used, of) where they are of experts of which a token visits some.
    """

    weights: tuple[tuple[str, tuple[int, ...], str], ...]
    component: str = "mlp"
    kernel: bool = False
    share: tuple[int, int] | None = None

    def write(self, run: Run) -> None:
        weights = tuple(Weight(*w) for w in self.weights)
        flops = 2 * run.tokens * sum(w.elements() for w in weights) if self.kernel else 0
        kind = "convolution" if self.kernel else "elementwise"
        run.add(self.name, self.component, kind, flops=flops, weights=weights, active_share=self.share, stream=0)


@dataclass(frozen=True)
class StoredAttention(Part):
    """Scores, softmax and weighted sum of grouped-query attention, with the cache; the projections stand beside it
    (as a checkpoint's headers name them, or SqueezeBERT's convolutions).

    Attributes:
        caches: the layer keeps keys and values of its own. chunked: the window is a chunk, which does not slide.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None = None
    caches: bool = True
    dropout: bool = False
    chunked: bool = False
    MEASURED: ClassVar[bool] = True
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "heads": HEADS,
        "kv_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "value_dim": VALUE_DIM,
        "window": WINDOW,
    }

    def write(self, run: Run) -> None:
        attend(
            run,
            self.name,
            Heads(self.heads, self.kv_heads, self.head_dim, self.value_dim),
            window=self.window,
            caches=self.caches,
            dropout=self.dropout,
            chunked=self.chunked,
        )


@dataclass(frozen=True)
class StoredLatent(Part):
    """The same for multi-head latent attention, whose cache is one vector a token (see LatentAttention)."""

    heads: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "heads": HEADS,
        "kv_rank": KV_RANK,
        "rope_dim": ROTATED,
        "nope_dim": UNROTATED,
        "value_dim": VALUE_DIM,
    }

    def write(self, run: Run) -> None:
        latent = self.kv_rank + self.rope_dim
        decoding = run.decoding
        attend(
            run,
            self.name,
            Heads(
                self.heads,
                1 if decoding else self.heads,
                latent if decoding else self.nope_dim + self.rope_dim,
                self.kv_rank if decoding else self.value_dim,
                cached_dim=latent,
                fresh_dim=latent if decoding else None,
                shared=Shared(self.rope_dim, LATENT),
            ),
        )
