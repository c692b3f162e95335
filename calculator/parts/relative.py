"""XLNet's attention (arXiv:1906.08237), whose scores take in an encoded distance, as Transformer-XL's do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import Part
from calculator.parts.heads import Heads
from calculator.parts.symbols import HEAD_DIM, HEADS, HIDDEN
from calculator.record.run import Run
from calculator.record.split import HEAD


@dataclass(frozen=True)
class RelativeAttention(Part):
    """Projections stored as [width, heads, head], scores of queries with keys and with the projected distances: twice
    as many as tokens, or with `one_way` one more than tokens. Every sequence projects them anew."""

    hidden: int
    heads: int
    head_dim: int
    one_way: bool = False
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "heads": HEADS, "head_dim": HEAD_DIM}

    def write(self, run: Run) -> None:
        distances = run.batch * (run.queries + 1 if self.one_way else 2 * run.queries)
        for name in ("q", "k", "v", "r"):
            self._project(run, name, distances if name == "r" else run.tokens, first=name in "qr")
        inner = self.heads * self.head_dim
        vectors = tuple(
            Weight(self.path(n), (self.heads, self.head_dim), "vector") for n in ("r_r_bias", "r_s_bias", "r_w_bias")
        )
        kinds = Weight(self.path("seg_embed"), (2, self.heads, self.head_dim), "vector")
        run.add(
            self.path("biases"),
            "attention",
            "elementwise",
            flops=2 * run.tokens * inner,
            weights=(*vectors, kinds),
            split=HEAD,
            stream=0,
        )
        scores = distances * run.queries * self.heads
        run.add(
            self.path("distances"),
            "attention",
            "attention",
            flops=2 * scores * self.head_dim,
            reads=(run.tokens + distances) * inner * run.width,
            writes=scores * run.width,
            saved=(run.tokens + distances) * inner * run.width,
            split=HEAD,
        )
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.heads, self.head_dim, self.head_dim),
            dropout=self.dropout,
        )
        self._project(run, "o", run.tokens, first=True)

    def _project(self, run: Run, name: str, rows: Number, *, first: bool) -> None:
        inner = self.heads * self.head_dim
        made, given = (self.hidden, inner) if name == "o" else (inner, self.hidden)
        run.add(
            self.path(name),
            "attention",
            "matmul",
            flops=2 * rows * self.hidden * inner,
            reads=rows * given * run.width,
            writes=rows * made * run.width,
            weights=(Weight(self.path(name), (self.hidden, self.heads, self.head_dim), "linear"),),
            saved=rows * given * run.width if first else 0,
            # The encoded distances are no function of the weights, so no gradient goes to them.
            input_gradient=name != "r",
        )
