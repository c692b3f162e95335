"""Attention of an encoder within blocks of its tokens, whose cost grows linearly with the sequence: the products of
whole blocks, as they are computed, or counting what is masked out, those of the tokens that are seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from calculator.numbers.symbolic import Number, ceil_div, maximum, minimum
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import Part, project
from calculator.parts.heads import SEPARATE, Heads, Names
from calculator.parts.norm import Norm
from calculator.parts.symbols import BLOCK, HEAD_DIM, HEADS, HIDDEN
from calculator.record.run import Run
from calculator.record.split import ROW
from calculator.record.tokens import Reach


@dataclass(frozen=True)
class LocalAttention(Part):
    """Each block of tokens attends to itself and its two neighbours (LongT5, arXiv:2112.07916). The last block is
    padded; a mask leaves each token the `block` − 1 tokens to either side.

    Attributes:
        block: tokens of a block.
        summed: tokens whose sum is one more key and value for all ("transient global"); 0 for none.
    """

    hidden: int
    heads: int
    head_dim: int
    block: int
    summed: int = 0
    names: Names = SEPARATE
    bias: bool = False
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "block": BLOCK,
        "summed": Symbol("b_g", "tokens whose sum is one more key (LongT5)"),
    }

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        # Whole blocks only: rounded down, which symbols know as rounding up.
        sums = ceil_div(run.queries - self.summed + 1, self.summed) if self.summed else 0
        if self.summed:
            self._sum(run, run.batch * sums)
        for name in (self.names.query, self.names.key, self.names.value):
            more = 0 if name == self.names.query else run.batch * sums
            project(
                run,
                self.path(name),
                self.hidden,
                inner,
                component="attention",
                bias=self.bias,
                tokens=run.tokens + more,
                saves_input=name == self.names.query,
            )
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.heads, self.head_dim, self.head_dim),
            dropout=self.dropout,
            seen=self._reach(run, sums),
        )
        project(run, self.path(self.names.out), inner, self.hidden, component="attention", bias=self.bias, split=ROW)

    def _sum(self, run: Run, rows: Number) -> None:
        """The sums of the blocks' tokens, and their norm."""
        read, write = run.tokens * self.hidden, rows * self.hidden * run.width
        run.add(
            self.path("sum"),
            "attention",
            "elementwise",
            flops=read,
            reads=read * run.width,
            writes=write,
            saved=write,
            stream=0,
        )
        norm = Norm(self.path("global_input_layer_norm"), self.hidden)
        norm.write_rows(run, rows)

    def _reach(self, run: Run, sums: Number) -> Reach:
        """The tokens of three blocks and the sums."""
        pairs = ceil_div(run.queries, self.block) * self.block * (3 * self.block + sums)
        band = 2 * self.block - 1
        causal = run.workload.attention_flops == "causal"
        doubled = run.attended(band) + 2 * run.queries * sums if causal else 2 * pairs
        return Reach(doubled, pairs, run.queries + sums, 0, 0, 0, band)


@dataclass(frozen=True)
class SlidingAttention(LocalAttention):
    """A token attends to `block` tokens to either side (Longformer, arXiv:2004.05150): scores within chunks of two
    blocks that overlap by one, sums over three blocks."""

    def _reach(self, run: Run, sums: Number) -> Reach:
        seen, size = 2 * self.block + 1, self.block
        scores, context = 4 * size * (run.queries - size), 3 * size * run.queries
        causal = run.workload.attention_flops == "causal"
        doubled = run.attended(seen) if causal else scores + context  # scores and context have as many features
        return Reach(doubled, scores, run.queries, 0, 0, 0, seen)


@dataclass(frozen=True)
class GlobalLocalAttention(LocalAttention):
    """Each block attends to itself and to `beside` tokens, which attend to all (Pegasus-X, arXiv:2208.04347); they are
    among the tokens of the pass."""

    beside: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        **LocalAttention.SYMBOLS,
        "beside": Symbol("n_gl", "tokens beside the sequence that attend to all of it (Pegasus-X)"),
    }

    def _reach(self, run: Run, sums: Number) -> Reach:
        tokens = run.queries - self.beside
        pairs = tokens * (self.block + self.beside) + self.beside * run.queries
        return Reach(2 * pairs, pairs, run.queries, 0, 0, 0)


@dataclass(frozen=True)
class SparseAttention(LocalAttention):
    """The first and the last block attend to all, and all to them; every block attends to itself, its neighbours and
    `random` others (BigBird, arXiv:2007.14062). Sequences of less than about twice that many attend to all."""

    random: int = 0

    @property
    def shortest(self) -> int:
        """Tokens up to which all attend to all."""
        return (5 + 2 * self.random) * self.block

    def _reach(self, run: Run, sums: Number) -> Reach:
        tokens, block = run.queries, self.block
        ends = 2 * block * tokens + 2 * block * block * (4 + self.random)
        sparse = ends + (tokens - 4 * block) * block * (5 + self.random)
        pairs = tokens * tokens + longer(tokens, self.shortest) * (sparse - tokens * tokens)
        return Reach(2 * pairs, pairs, tokens, 0, 0, 0)


def longer(tokens: Number, limit: Number) -> Number:
    """1 for more tokens than the limit, otherwise 0."""
    return minimum(maximum(tokens - limit, 0), 1)


@dataclass(frozen=True)
class Padded(Part):
    """A part that runs on the sequence filled up to whole blocks, and on `beside` tokens more; without a block, on
    those alone. Sequences no longer than `unless` are not filled up."""

    part: Part
    block: int
    beside: int = 0
    unless: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "block": BLOCK,
        "beside": Symbol("n_gl", "tokens beside the sequence that attend to all of it (Pegasus-X)"),
    }

    def write(self, run: Run) -> None:
        filled: Number = 0
        if self.block:
            filled = ceil_div(run.queries, self.block) * self.block
        if self.unless:
            filled = run.queries + longer(run.queries, self.unless) * (filled - run.queries)
        self.part.write(replace(run, queries=filled + self.beside))
