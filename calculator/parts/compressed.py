"""Attention over a short window and over a compressed past, and the streams around it (DeepSeek-V4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.cache import ENTRY
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, ceil_div, half, maximum, minimum
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend, rotate
from calculator.parts.base import SOFTMAX_FLOPS, Part, project
from calculator.parts.heads import Heads, Shared
from calculator.parts.norm import Norm
from calculator.parts.sparse import INDEX_BLOCK
from calculator.parts.symbols import (
    HEAD_DIM,
    HEADS,
    HIDDEN,
    INDEX_DIM,
    INDEX_HEADS,
    QUERY_RANK,
    RATIO,
    ROTATED,
    SELECTED,
    STREAMS,
    WINDOW,
)
from calculator.record.caches import Cache, Compressed
from calculator.record.run import Run
from calculator.record.split import HEAD, REPLICATED, ROW


def entries(tokens: Number, ratio: Number) -> Number:
    """Compressed entries that `tokens` tokens have completed: one for every `ratio` of them."""
    return ceil_div(tokens - ratio + 1, ratio)


def entries_sum(count: Number, ratio: Number) -> Number:
    """⌊0/r⌋ + ⌊1/r⌋ + … over `count` terms."""
    whole = entries(count, ratio)
    return ratio * whole * (whole - 1) // 2 + (count - whole * ratio) * whole


def doubled_pairs(run: Run, ratio: Number, most: Number = 0) -> Number:
    """Pairs of a prefill's new tokens and the entries that each sees, times two; `most` entries each where not 0. A
    causal count takes the triangle under n tokens and r entries, n·r − m·r²/2, without that of the past."""
    if run.workload.attention_flops != "causal":
        return 2 * run.queries * entries(run.past + run.queries, ratio)

    def area(tokens: Number) -> Number:
        reach = entries(tokens, ratio)
        reach = minimum(reach, most) if most else reach
        return 2 * tokens * reach - ratio * reach * reach

    return area(run.past + run.queries) - area(run.past) if run.past else area(run.queries)


@dataclass(frozen=True)
class CompressedAttention(Part):
    """Multi-query attention whose keys are its values, over the last `window` tokens and over one entry for every
    `ratio` tokens before them.

    Attributes:
        ratio: tokens per compressed entry; 0 where there is only the window.
        overlap: each entry blends two windows, so its projections are twice as wide (compressed sparse attention).
        index_heads, index_dim, selected: an indexer with a smaller compressor of its own picks `selected` entries for
            each query; 0 where all are read (heavily compressed attention).
        groups, out_rank: the output projection is low-rank, block-diagonal in its first half.
    """

    hidden: int
    heads: int
    head_dim: int
    query_rank: int
    window: int
    groups: int
    out_rank: int
    rotary: int = 0
    ratio: int = 0
    overlap: bool = False
    index_heads: int = 0
    index_dim: int = 0
    selected: int = 0
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "query_rank": QUERY_RANK,
        "window": WINDOW,
        "out_rank": Symbol("r_o", "rank of a grouped output projection"),
        "rotary": ROTATED,
        "ratio": RATIO,
        "index_heads": INDEX_HEADS,
        "index_dim": INDEX_DIM,
        "selected": SELECTED,
    }

    def write(self, run: Run) -> None:
        queries = self.heads * self.head_dim
        project(run, self.path("wq_a"), self.hidden, self.query_rank, component="attention", split=REPLICATED)
        Norm(self.path("q_norm"), self.query_rank).write(run)
        project(run, self.path("wq_b"), self.query_rank, queries, component="attention")
        Norm(self.path("q_b_norm"), self.head_dim, groups=self.heads, affine=False).write(run)
        project(
            run,
            self.path("wkv"),
            self.hidden,
            self.head_dim,
            component="attention",
            saves_input=False,
            split=REPLICATED,
        )
        Norm(self.path("kv_norm"), self.head_dim).write(run)
        # Queries and keys, and the output back again: keys are values, so the output comes out rotated.
        rotate(run, self.path("rotary"), (2 * self.heads + 1) * self.rotary)
        attend(
            run,
            self.path("attention"),
            Heads(
                self.heads,
                1,
                self.head_dim,
                self.head_dim,
                cached_dim=self.head_dim,
                fresh_dim=self.head_dim,
                shared=Shared(self.rotary, ENTRY),
            ),
            window=self.window,
            dropout=self.dropout,
        )
        if self.ratio:
            self._compress(run, self.path("compressor"), self.head_dim)
            if self.index_heads:
                self._index(run)
            self._attend_entries(run)
        run.add(
            self.path("attn_sink"),
            "attention",
            "elementwise",
            flops=run.tokens * self.heads,
            weights=(Weight(self.path("attn_sink"), (self.heads,), "vector"),),
            split=HEAD,
            stream=0,
        )
        read = run.tokens * queries * run.width
        grouped = self.groups * self.out_rank
        run.add(
            self.path("wo_a"),
            "attention",
            "matmul",
            flops=2 * run.tokens * queries * self.out_rank,
            reads=read,
            writes=run.tokens * grouped * run.width,
            saved=read,
            weights=(Weight(self.path("wo_a.weight"), (grouped, queries // self.groups), "linear"),),
        )
        project(run, self.path("wo_b"), grouped, self.hidden, component="attention", split=ROW)

    def _compress(self, run: Run, name: str, size: Number) -> None:
        """Every token makes an entry and its gate; each window's are summed under a softmax of the gates."""
        wide = 2 * size if self.overlap else size
        for child in ("wkv", "wgate"):
            project(
                run, f"{name}.{child}", self.hidden, wide, component="attention", saves_input=False, split=REPLICATED
            )
        made = run.tokens * wide
        pooled = entries(run.past + run.queries, self.ratio) - entries(run.past, self.ratio)
        run.add(
            f"{name}.pool",
            "attention",
            "elementwise",
            flops=(SOFTMAX_FLOPS + 3) * made,
            reads=2 * made * run.width,
            writes=run.batch * pooled * size * run.width,
            saved=2 * made * run.width,
            weights=(
                Weight(f"{name}.ape", (self.ratio, wide), "vector"),
                Weight(f"{name}.norm.weight", (size,), "norm"),
            ),
        )

    def _index(self, run: Run) -> None:
        name = self.path("indexer")
        self._compress(run, f"{name}.compressor", self.index_dim)
        project(
            run,
            f"{name}.wq_b",
            self.query_rank,
            self.index_heads * self.index_dim,
            component="attention",
            saves_input=False,
        )
        project(
            run,
            f"{name}.weights_proj",
            self.hidden,
            self.index_heads,
            component="attention",
            saves_input=False,
            split=REPLICATED,
        )
        doubled = run.batch * self._doubled_pairs(run, 0)
        every = self._read(run, 0) if run.decoding else run.queries * entries(run.past + run.queries, self.ratio)
        scores = run.batch * every * 4  # one 32-bit score a pair, summed over the heads
        # Kept as the indexers of DeepSeek-V3.2 keep theirs: FP8 with a 32-bit scale per 128 elements.
        key = self.index_dim + 4 * ceil_div(self.index_dim, INDEX_BLOCK)
        query = run.tokens * self.index_heads * self.index_dim * run.width
        run.add(
            f"{name}.scores",
            "attention",
            "attention",
            flops=doubled * self.index_heads * self.index_dim,
            reads=query,
            writes=scores,
            cache=self._cache(run, Compressed(key, elements=self.index_dim, ratio=self.ratio), 0),
            saved=query,
        )
        run.add(
            f"{name}.top_k",
            "attention",
            "elementwise",
            flops=half(doubled * (2 * self.index_heads + 1)),
            reads=scores,
            stream=0,
        )

    def _attend_entries(self, run: Run) -> None:
        doubled = run.batch * self._doubled_pairs(run, self.selected)
        query = run.tokens * self.heads * self.head_dim * run.width
        matrix = run.batch * self._scored(run) * self.heads * run.width if run.eager else 0
        run.add(
            self.path("compressed_attention"),
            "attention",
            "attention",
            flops=doubled * self.heads * 2 * self.head_dim,
            reads=query + matrix,
            writes=query + matrix,
            saved=query + matrix,
            split=HEAD,
            cache=self._cache(run, self._entry(run), self.selected),
        )
        run.add(
            f"{self.path('compressed_attention')}.softmax",
            "attention",
            "elementwise",
            split=HEAD,
            flops=half(SOFTMAX_FLOPS * doubled * self.heads),
            stream=0,
        )

    def _doubled_pairs(self, run: Run, most: Number) -> Number:
        """Query-entry pairs of a sequence, times two; `most` entries a query where that is not 0."""
        if run.decoding:
            return 2 * self._read(run, most)
        return doubled_pairs(run, self.ratio, most)

    def _scored(self, run: Run) -> Number:
        """Query-entry scores per sequence and head that an unfused kernel writes."""
        if run.decoding:
            return self._read(run, self.selected)
        return run.queries * entries(run.past + run.queries, self.ratio)

    def _read(self, run: Run, most: Number) -> Number:
        """Entries that the decode steps read, summed: step i sees those that past + i + 1 tokens have completed."""
        first = run.past + 1
        if run.steps == 1:
            seen = entries(first, self.ratio)
            return minimum(seen, most) if most else seen
        growing = minimum(maximum(most * self.ratio - first, 0), run.steps) if most else run.steps
        seen = entries_sum(first + growing, self.ratio) - entries_sum(first, self.ratio)
        return seen + (run.steps - growing) * most if most else seen

    def _entry(self, run: Run) -> Compressed:
        """What an entry of the past is, and how many bytes it takes."""
        size = run.cache_format.vector(self.head_dim, self.rotary, ENTRY)
        plain = self.head_dim - self.rotary
        return Compressed(size, elements=self.head_dim, values=plain, ratio=self.ratio)

    def _cache(self, run: Run, kept: Compressed, most: Number) -> Cache:
        """Bytes held, read and written by a cache of such entries."""
        size = kept.per_token
        held = run.batch * entries(run.held_tokens(None), self.ratio) * size if not run.training else 0
        if not run.decoding:
            before = run.batch * entries(run.past, self.ratio) * size if run.past else 0
            return Cache(held, before, held - before, kept)
        written = entries(run.past + run.steps, self.ratio) - entries(run.past, self.ratio)
        read = run.batch * self._read(run, most) * size
        return Cache(held, read, run.batch * written * size, kept)


@dataclass(frozen=True)
class HyperConnection(Part):
    """Manifold-constrained hyper-connections (arXiv:2512.24880): `streams` residual streams, mixed into one for the
    layer's input, and its output mixed back into all. `closing` is the mixer before the final norm, which only
    collapses them. `independent` ones do not mix the streams with one another (Hy4)."""

    hidden: int
    streams: int
    iterations: int = 0
    closing: bool = False
    independent: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "streams": STREAMS}

    def write(self, run: Run) -> None:
        wide, n = self.streams * self.hidden, self.streams
        outputs = n if self.closing else 2 * n if self.independent else (2 + n) * n
        scales = 1 if self.closing else 2 if self.independent else 3
        read = run.tokens * wide * run.width
        vectors = (
            Weight(f"{self.name}_base", (outputs,), "vector"),
            Weight(f"{self.name}_scale", (scales,), "vector"),
        )
        # The mixing weights are computed in 32 bit, from all streams at once.
        weights = (Weight(f"{self.name}_fn", (outputs, wide), "vector"), *vectors)
        run.add(
            f"{self.name}_fn",
            "norm",
            "matmul",
            flops=2 * run.tokens * wide * outputs,
            reads=read,
            writes=run.tokens * outputs * 4,
            weights=weights,
            saved=read,
            stream=0,
        )
        run.add(
            f"{self.name}_weights",
            "norm",
            "elementwise",
            flops=run.tokens * n * n * 4 * self.iterations + 5 * run.tokens * outputs,
            stream=0,
        )
        run.add(
            f"{self.name}_collapse",
            "norm",
            "elementwise",
            flops=2 * run.tokens * wide,
            reads=read,
            writes=run.tokens * self.hidden * run.width,
            saved=read,
            stream=0,
        )
        if self.closing:
            return
        if not self.independent:
            mixing = 2 * run.tokens * wide * n
            run.add(f"{self.name}_mix", "norm", "matmul", flops=mixing, reads=read, writes=read, saved=read, stream=0)
        run.add(
            f"{self.name}_expand", "norm", "elementwise", flops=2 * run.tokens * wide, reads=read, writes=read, stream=0
        )
