"""What Qwen4-Exp adds: gated residual streams, embeddings of n-grams inside layers, and an indexer of key blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, half
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import rotate
from calculator.parts.base import ACTIVATION_FLOPS, RMS_NORM_FLOPS, Part, elementwise, project
from calculator.parts.compressed import doubled_pairs, entries, entries_sum
from calculator.parts.norm import Norm
from calculator.parts.recurrent import state_bytes
from calculator.parts.symbols import HIDDEN, INDEX_DIM, INDEX_HEADS, RATIO, STREAMS, UNROTATED
from calculator.record.caches import Cache, IndexKeys
from calculator.record.run import Run
from calculator.record.split import REPLICATED


@dataclass(frozen=True)
class GatedResidual(Part):
    """`streams` residual streams, each normed and gated by a low-rank product of all, averaged into a layer's input;
    its output is added to each with a gate of its own. `closing` only averages them, before the head."""

    hidden: int
    streams: int
    rank: int
    closing: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "streams": STREAMS,
        "rank": Symbol("r_h", "rank of the residual's gate"),
    }

    def write(self, run: Run) -> None:
        wide = self.streams * self.hidden
        elements = run.tokens * wide
        Norm(self.path("hc_norm"), self.hidden, groups=self.streams, weight_shape=(wide,)).write(run)
        for name, inputs, outputs in (
            ("input_mix_weight_down", wide, self.rank),
            ("input_mix_weight_up", self.rank, wide),
            ("block_inject_weight", wide, self.streams),
        ):
            if name == "block_inject_weight" and self.closing:
                continue
            project(
                run,
                self.path(name),
                inputs,
                outputs,
                component="norm",
                split=REPLICATED,
                saves_input=name != "block_inject_weight",
            )
        run.add(
            self.path("mix"),
            "norm",
            "elementwise",
            flops=(ACTIVATION_FLOPS + 2) * elements + ACTIVATION_FLOPS * run.tokens * self.rank,
            reads=2 * elements * run.width,
            writes=run.tokens * self.hidden * run.width,
            saved=elements * run.width,
        )
        if not self.closing:
            run.add(
                self.path("inject"),
                "norm",
                "elementwise",
                flops=2 * elements + ACTIVATION_FLOPS * run.tokens * self.streams,
                reads=(elements + run.tokens * self.hidden) * run.width,
                writes=elements * run.width,
                saved=run.tokens * self.hidden * run.width,
                stream=0,
            )


@dataclass(frozen=True)
class NGramEmbedding(Part):
    """Rows of a table of hashed n-grams, `heads` a token, projected to a value and to a key for each residual stream,
    by which the stream gates the value; then a dilated convolution. Decode keeps the last tokens' ids and the
    convolution's inputs.

    Attributes:
        pieces: rows of each piece that the checkpoint holds the table in.
        size: features of a token's rows together.
    """

    hidden: int
    streams: int
    pieces: tuple[int, ...]
    heads: int
    size: int
    ngram: int
    kernel: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "streams": STREAMS, "size": UNROTATED}

    def write(self, run: Run) -> None:
        wide = self.streams * self.hidden
        elements, rows = run.tokens * wide, run.tokens * self.size * run.width
        table = self.path("ple_embedding.ngram_embedding")
        first = self.pieces[0]
        whole = self.pieces.count(first)
        matrix: tuple[Weight, ...] = (
            Weight(f"{table}.shard_*.weight", (first, self.size // self.heads), "embedding", whole),
        )
        matrix += tuple(
            Weight(f"{table}.shard_{whole + i}.weight", (rest, self.size // self.heads), "embedding")
            for i, rest in enumerate(self.pieces[whole:])
        )
        ids = state_bytes(run, self.ngram - 1, 8)
        run.add(
            table,
            "embedding",
            "lookup",
            writes=rows,
            weights=matrix,
            active_share=(self.heads, sum(self.pieces)),
            weight_reads=rows,
            cache=ids,
            stream=0,
        )
        project(run, self.path("key_proj"), self.size, wide, component="embedding", split=REPLICATED)
        project(
            run,
            self.path("value_proj"),
            self.size,
            self.hidden,
            component="embedding",
            split=REPLICATED,
            saves_input=False,
        )
        for name in ("norm_key", "norm_query", "norm_conv"):
            Norm(self.path(name), self.hidden, groups=self.streams, weight_shape=(wide,)).write(run)
        elementwise(run, self.path("gate"), "embedding", elements, 3, inputs=3)
        run.add(
            self.path("conv1d"),
            "embedding",
            "convolution",
            flops=2 * elements * self.kernel,
            reads=elements * run.width,
            writes=elements * run.width,
            weights=(Weight(self.path("conv1d.weight"), (wide, 1, self.kernel), "convolution"),),
            cache=state_bytes(run, wide * (self.kernel - 1) * self.ngram, run.width),
            saved=elements * run.width,
        )
        run.add(
            self.path("add"),
            "embedding",
            "elementwise",
            flops=(ACTIVATION_FLOPS + 2) * elements,
            reads=3 * elements * run.width,
            writes=elements * run.width,
            saved=elements * run.width,
            stream=0,
        )


@dataclass(frozen=True)
class MeanBlockIndexer(Part):
    """An indexer whose queries score blocks of `ratio` tokens, each by the mean of its keys, normed and rotated. The
    cache holds every token's key, not the means."""

    hidden: int
    heads: int
    head_dim: int
    ratio: int
    rotary: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": INDEX_HEADS,
        "head_dim": INDEX_DIM,
        "ratio": RATIO,
    }

    def write(self, run: Run) -> None:
        project(
            run,
            self.path("index_qk_proj"),
            self.hidden,
            (self.heads + 1) * self.head_dim,
            component="attention",
            saves_input=False,
            split=REPLICATED,
        )
        Norm(self.path("q_layernorm"), self.head_dim, groups=self.heads).write(run)
        made = entries(run.past + run.queries, self.ratio) - (entries(run.past, self.ratio) if run.past else 0)
        pooled = run.batch * made * self.head_dim
        run.add(
            self.path("k_layernorm"),
            "norm",
            "elementwise",
            flops=pooled * (self.ratio + RMS_NORM_FLOPS),
            reads=run.batch * made * self.ratio * self.head_dim * run.width,
            writes=pooled * run.width,
            weights=(Weight(self.path("k_layernorm.weight"), (self.head_dim,), "norm"),),
            stream=0,
        )
        rotate(run, self.path("rotary"), self.heads * self.rotary)
        doubled = run.batch * self._doubled_pairs(run)
        query = run.tokens * self.heads * self.head_dim * run.width
        key = run.cache_format.keys.row(1, self.head_dim)
        held = run.batch * run.held_tokens(None) * key
        run.add(
            self.path("scores"),
            "attention",
            "attention",
            flops=doubled * self.heads * self.head_dim,
            reads=query,
            writes=half(doubled) * 4,  # one 32-bit score a pair, summed over the heads
            cache=Cache(
                held,
                run.batch * run.cached_read(None) * key,
                run.tokens * key,
                IndexKeys(key, elements=self.head_dim),
            ),
            saved=query,
        )
        run.add(
            self.path("top_k"),
            "attention",
            "elementwise",
            flops=half(doubled * (2 * self.heads + 1)),
            reads=half(doubled) * 4,
            stream=0,
        )

    def _doubled_pairs(self, run: Run) -> Number:
        """Pairs of a query and a whole block of a sequence, times two."""
        if run.decoding:
            first = run.past + 1
            return 2 * (entries_sum(first + run.steps, self.ratio) - entries_sum(first, self.ratio))
        return doubled_pairs(run, self.ratio)
