"""What sparse attention adds: an indexer that picks, for each query, the tokens the attention proper will read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.numbers.symbolic import Number, ceil_div, half
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import rotate
from calculator.parts.base import Part, project
from calculator.parts.norm import Norm
from calculator.parts.symbols import HIDDEN, INDEX_DIM, INDEX_HEADS, QUERY_RANK, ROTATED
from calculator.record.caches import Cache, IndexKeys
from calculator.record.run import Run
from calculator.record.split import COLUMN, REPLICATED

INDEX_BLOCK = 128  # elements of an index key that share one 32-bit scale


@dataclass(frozen=True)
class Indexer(Part):
    """The lightning indexer (DeepSeek-V3.2, arXiv:2512.02556): every query scores every token with `heads` small heads.

    Its keys are one vector per token. Published engines keep them in FP8 with a 32-bit scale per 128 elements whatever
    the format of the cache, 132 bytes a token for 128 elements.
    """

    hidden: int
    query_rank: int
    heads: int
    head_dim: int
    rope_dim: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "query_rank": QUERY_RANK,
        "heads": INDEX_HEADS,
        "head_dim": INDEX_DIM,
        "rope_dim": ROTATED,
    }

    def write(self, run: Run) -> None:
        project(
            run,
            self.path("wq_b"),
            self.query_rank,
            self.heads * self.head_dim,
            component="attention",
            saves_input=False,
        )
        project(
            run,
            self.path("wk"),
            self.hidden,
            self.head_dim,
            component="attention",
            saves_input=False,
            split=REPLICATED,
        )
        Norm(self.path("k_norm"), self.head_dim, "layer", True).write(run)
        project(
            run,
            self.path("weights_proj"),
            self.hidden,
            self.heads,
            component="attention",
            saves_input=False,
            split=REPLICATED,
        )
        rotate(run, self.path("rotary"), (self.heads + 1) * self.rope_dim)
        doubled_pairs = run.batch * run.attended(None)
        scores = run.batch * run.scored(None) * 4  # one 32-bit score a pair, summed over the heads
        key = self.head_dim + 4 * ceil_div(self.head_dim, INDEX_BLOCK)  # bytes
        held = run.batch * run.held_tokens(None) * key
        written = run.tokens * key
        run.add(
            self.path("scores"),
            "attention",
            "attention",
            flops=doubled_pairs * self.heads * (self.head_dim + 1),
            reads=run.tokens * (self.heads + 1) * self.head_dim * run.width,
            writes=scores,
            cache=Cache(held, run.batch * run.cached_read(None) * key, written, IndexKeys(key, elements=self.head_dim)),
            saved=run.tokens * (self.heads + 1) * self.head_dim * run.width,
        )
        run.add(
            self.path("top_k"),
            "attention",
            "elementwise",
            flops=half(doubled_pairs),
            reads=scores,
        )


@dataclass(frozen=True)
class BlockIndexer(Part):
    """MiniMax-M3's indexer: `heads` small query heads and one key a token score all pairs; for each head the blocks of
    `block` tokens with the largest scores are read. Its keys are cached in the format of the other keys."""

    hidden: int
    heads: int
    head_dim: int
    block: int
    rotary: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": INDEX_HEADS,
        "head_dim": INDEX_DIM,
        "rotary": ROTATED,
    }

    def write(self, run: Run) -> None:
        for name, width in (("q_proj", self.heads * self.head_dim), ("k_proj", self.head_dim)):
            split = COLUMN if name == "q_proj" else REPLICATED
            path = self.path(name)
            project(run, path, self.hidden, width, component="attention", saves_input=False, split=split)
        Norm(self.path("q_norm"), self.head_dim, groups=self.heads).write(run)
        Norm(self.path("k_norm"), self.head_dim).write(run)
        rotate(run, self.path("rotary"), (self.heads + 1) * self.rotary)
        doubled_pairs = run.batch * run.attended(None) * self.heads
        scores = run.batch * ceil_div(run.scored(None), self.block) * self.heads * 4  # the largest of each block
        read = run.tokens * (self.heads + 1) * self.head_dim * run.width
        key = run.cache_format.keys.row(1, self.head_dim)
        held, cached = (run.batch * n * key for n in self._cached(run))
        written = run.tokens * key
        run.add(
            self.path("scores"),
            "attention",
            "attention",
            flops=doubled_pairs * self.head_dim,
            reads=read,
            writes=scores,
            cache=Cache(held, cached, written, IndexKeys(key, elements=self.head_dim)),
            saved=read,
        )
        run.add(
            self.path("top_k"),
            "attention",
            "elementwise",
            flops=half(doubled_pairs),
            reads=scores,
        )

    def _cached(self, run: Run) -> tuple[Number, Number]:
        """Tokens per sequence whose keys are held, and read."""
        return run.held_tokens(None), run.cached_read(None)
