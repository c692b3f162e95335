"""Streams that predict the tokens after the next one (ProphetNet, arXiv:2001.04063)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import Part, project
from calculator.parts.heads import Heads
from calculator.parts.symbols import HEAD_DIM, HEADS, HIDDEN
from calculator.record.run import Run
from calculator.record.split import ROW
from calculator.record.tokens import Reach


@dataclass(frozen=True)
class NgramAttention(Part):
    """Attention of the tokens, and of `streams` predicting streams that read the tokens and themselves. A projection of
    the input makes the positions' bias for every bucket of distances and head. Only the tokens are cached."""

    hidden: int
    heads: int
    head_dim: int
    streams: int
    buckets: int
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "streams": Symbol("n_st", "streams of tokens that ProphetNet runs"),
    }

    def write(self, run: Run) -> None:
        inner, rows = self.heads * self.head_dim, run.tokens * (1 + self.streams)
        outputs = {"query_proj": inner, "key_proj": inner, "value_proj": inner}
        for name, width in {**outputs, "relative_pos_embeddings": self.buckets * self.heads}.items():
            project(
                run,
                self.path(name),
                self.hidden,
                width,
                component="attention",
                bias=True,
                tokens=rows,
                saves_input=name == "query_proj",
            )
        attend(
            replace(run, queries=run.queries * (1 + self.streams)),
            self.path("attention"),
            Heads(self.heads, self.heads, self.head_dim, self.head_dim),
            dropout=self.dropout,
            seen=self._reach(run),
        )
        project(
            run, self.path("out_proj"), inner, self.hidden, component="attention", bias=True, tokens=rows, split=ROW
        )

    def _reach(self, run: Run) -> Reach:
        seen, own = run.reach(None, None), run.queries if run.decoding else run.queries * run.queries
        # Every stream reads what the tokens read, and as many of its own; when generating, itself.
        mine = 2 * own if run.decoding else seen.doubled_pairs
        doubled = seen.doubled_pairs * (1 + self.streams) + mine * self.streams
        scored = seen.scored * (1 + self.streams) + own * self.streams
        return seen._replace(doubled_pairs=doubled, scored=scored, fresh=seen.fresh * (1 + self.streams))


@dataclass(frozen=True)
class Streams(Part):
    """A part that runs on so many streams of tokens."""

    part: Part
    streams: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"streams": Symbol("n_st", "streams of tokens that ProphetNet runs")}

    def write(self, run: Run) -> None:
        self.part.write(replace(run, batch=run.batch * self.streams))


@dataclass(frozen=True)
class StreamedQueries(Streams):
    """Attention to the encoder from so many streams, which share its keys and values."""

    def write(self, run: Run) -> None:
        first = len(run.out)
        self.part.write(replace(run, queries=run.queries * self.streams))
        for i, op in enumerate(run.out[first:], first):
            if run.decoding and op.kind == "attention":
                run.out[i] = replace(op, cache_reads=op.cache_reads // self.streams)
