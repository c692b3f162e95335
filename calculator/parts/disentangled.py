"""DeBERTa's disentangled attention (arXiv:2006.03654): scores between contents, and between contents and distances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, minimum
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import LAYER_NORM_FLOPS, Part, elementwise, project
from calculator.parts.heads import Heads
from calculator.parts.symbols import HEAD_DIM, HEADS, HIDDEN
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW


@dataclass(frozen=True)
class DistanceTable(Part):
    """The embedding of 2·span distances that all layers project anew, perhaps normalised first (DeBERTa-v2)."""

    span: int
    size: int
    normed: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "span": Symbol("k_r", "distances to either side that have an embedding (DeBERTa)"),
        "size": HIDDEN,
    }

    def write(self, run: Run) -> None:
        shape = (2 * self.span, self.size)
        table = (Weight(self.path("rel_embeddings.weight"), shape, "embedding"),)
        run.add(self.path("rel_embeddings"), "embedding", "lookup", weights=table, stream=0)
        if self.normed:
            elements = 2 * self.span * self.size if run.active else 0
            scale = tuple(Weight(self.path(f"LayerNorm.{n}"), (self.size,), "norm") for n in ("weight", "bias"))
            elementwise(run, self.path("LayerNorm"), "norm", elements, LAYER_NORM_FLOPS, weights=scale, stream=0)


@dataclass(frozen=True)
class DisentangledAttention(Part):
    """Attention whose scores add those of each query with the distances' keys ("c2p") and of each key with the
    distances' queries ("p2c"). Distances are embedded up to `span` to either side and projected once a layer, not once
    a sequence.

    Attributes:
        clipped: only the distances that a sequence has, at most `span`, are projected (DeBERTa; its successor takes
            all).
        shared: the projections of the contents serve the distances too.
        packed: one projection without bias, and biases of the queries and values alone (DeBERTa).
        talking: the heads are mixed before and after the softmax (arXiv:2003.02436).
    """

    hidden: int
    heads: int
    head_dim: int
    span: int
    to_position: bool = False
    from_position: bool = False
    clipped: bool = False
    shared: bool = False
    packed: bool = False
    talking: bool = False
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "span": Symbol("k_r", "distances to either side that have an embedding (DeBERTa)"),
    }

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        if self.packed:
            project(run, self.path("self.in_proj"), self.hidden, 3 * inner, component="attention")
            biases = tuple(Weight(self.path(f"self.{n}"), (inner,), "vector") for n in ("q_bias", "v_bias"))
            run.add(
                self.path("self.biases"),
                "attention",
                "elementwise",
                flops=2 * run.tokens * inner,
                weights=biases,
                stream=0,
            )
        else:
            for name in ("query_proj", "key_proj", "value_proj"):
                saves = name == "query_proj"
                path = self.path(f"self.{name}")
                project(run, path, self.hidden, inner, component="attention", bias=True, saves_input=saves)
        if self.span:
            self._positions(run)
        for name in ("head_logits_proj", "head_weights_proj") if self.talking else ():
            project(
                run,
                self.path(f"self.{name}"),
                self.heads,
                self.heads,
                component="attention",
                tokens=run.tokens * run.queries,
            )
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.heads, self.head_dim, self.head_dim),
            dropout=self.dropout,
        )
        project(run, self.path("output.dense"), inner, self.hidden, component="attention", bias=True, split=ROW)

    def _positions(self, run: Run) -> None:
        rows = (2 * (minimum(run.queries, self.span) if self.clipped else self.span)) if run.active else 0
        inner = self.heads * self.head_dim
        names = ("pos_proj", "pos_q_proj") if self.packed else ("pos_key_proj", "pos_query_proj")
        for name, wanted, kind in zip(names, (self.to_position, self.from_position), ("c2p", "p2c"), strict=True):
            if self.shared:
                self._shared(run, kind, rows, wanted)
            elif wanted:
                bias = not self.packed or kind == "p2c"
                path = self.path(f"self.{name}")
                project(run, path, self.hidden, inner, component="attention", bias=bias, tokens=rows)
            if wanted:
                self._scores(run, kind, rows)

    def _shared(self, run: Run, kind: str, rows: Number, wanted: bool) -> None:
        """The content's projection of the distances: the weights are held, and listed, with the content's."""
        flops = 2 * rows * self.hidden * self.heads * self.head_dim
        inner = replace(run, differentiated=run.differentiated and wanted)
        size = rows * self.hidden * run.width
        name = self.path(f"self.{kind}_projection")
        inner.add(name, "attention", "matmul", flops=flops, reads=size, writes=size, stream=0)

    def _scores(self, run: Run, kind: str, rows: Number) -> None:
        scores = run.tokens * self.heads * rows * run.width
        picked = run.tokens * self.heads * run.queries * run.width
        contents = run.tokens * self.heads * self.head_dim * run.width
        distances = rows * self.heads * self.head_dim * run.width
        run.add(
            self.path(f"self.{kind}"),
            "attention",
            "attention",
            flops=2 * run.tokens * self.heads * self.head_dim * rows,
            reads=contents + distances,
            writes=scores,
            saved=distances,
            split=HEAD,
        )
        # Each pair takes the score of its distance and adds it to its own.
        run.add(
            self.path(f"self.{kind}_picked"),
            "attention",
            "elementwise",
            flops=run.tokens * self.heads * run.queries,
            reads=picked,
            writes=picked,
            split=HEAD,
        )
