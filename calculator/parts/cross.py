"""What joins a decoder to an encoder: the encoder's output, attention over it, positions learned as a bias, and heads
that read one token of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import Part, project
from calculator.parts.heads import UNBIASED, Biases, Heads, Names
from calculator.parts.symbols import HEADS, HIDDEN, INPUTS, OF_HEADS, OUTPUTS
from calculator.record.run import Run
from calculator.record.split import HEAD, REPLICATED, ROW

BARTS = Names(out="out_proj")


@dataclass(frozen=True)
class CrossAttention(Part):
    """Attention of the decoder's tokens over the encoder's (arXiv:1706.03762, section 3.2.3). The keys and values of
    the encoder's tokens are projected once, in the pass that reads the prompt, and kept for every decode step.

    Attributes:
        source: features of the encoder's output.
        names: of three projections and the output's; none is fused.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    source: int
    names: Names = BARTS
    biases: Biases = UNBIASED
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = OF_HEADS | {"source": Symbol("d_x", "width of the encoder's output")}

    def write(self, run: Run) -> None:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        cached = bool(run.decoding or run.past)
        made = 0 if cached else run.batch * run.source
        project(run, self.path(self.names.query), self.hidden, queries, component="attention", bias=self.biases.qkv)
        for name, bias in ((self.names.key, self.biases.of_keys), (self.names.value, self.biases.qkv)):
            # The encoder's output is one tensor for all layers; the encoder's last operation keeps it.
            project(
                run,
                self.path(name),
                self.source,
                keys,
                component="attention",
                bias=bias,
                tokens=made,
                saves_input=False,
                idle=cached,
            )
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.kv_heads, self.head_dim, self.head_dim),
            dropout=self.dropout,
            across=True,
        )
        project(
            run, self.path(self.names.out), queries, self.hidden, component="attention", bias=self.biases.out, split=ROW
        )


@dataclass(frozen=True)
class RelativeBias(Part):
    """A learned bias for each head and bucket of distances, added to the scores of every layer (T5,
    arXiv:1910.10683)."""

    buckets: int
    heads: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"heads": HEADS}

    def write(self, run: Run) -> None:
        weight = Weight(f"{self.name}.weight", (self.buckets, self.heads), "embedding")
        run.add(self.name, "attention", "elementwise", weights=(weight,), split=HEAD, stream=0)


@dataclass(frozen=True)
class EncoderOutput(Part):
    """The output of the encoder: one tensor that the keys and values of every decoder layer are projected from, so kept
    once for the backward pass."""

    size: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": Symbol("d_x", "width of the encoder's output")}

    def write(self, run: Run) -> None:
        run.add(self.name, "attention", "elementwise", saved=run.tokens * self.size * run.width, stream=0)


@dataclass(frozen=True)
class PooledHead(Part):
    """A classifier over one token of each sequence: a projection, tanh, and the labels' projection."""

    hidden: int
    inner: int
    labels: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "inner": INPUTS, "labels": OUTPUTS}

    def write(self, run: Run) -> None:
        rows = run.batch * run.steps
        for name, inputs, outputs in (("dense", self.hidden, self.inner), ("out_proj", self.inner, self.labels)):
            project(run, self.path(name), inputs, outputs, component="head", bias=True, tokens=rows, split=REPLICATED)
