"""What sparse attention adds: an indexer that picks, for each query, the tokens the attention proper will read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.operation import Cache, Kept
from calculator.parts.attention import rotate
from calculator.parts.basic import Norm, Part, project
from calculator.run import Run
from calculator.symbolic import ceil_div, half

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
    SYMBOLS: ClassVar[dict[str, str]] = {
        "hidden": "d",
        "query_rank": "r_q",
        "heads": "n_i",
        "head_dim": "d_i",
        "rope_dim": "d_r",
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
            split="replicated",
        )
        Norm(self.path("k_norm"), self.head_dim, "layer", True).write(run)
        project(
            run,
            self.path("weights_proj"),
            self.hidden,
            self.heads,
            component="attention",
            saves_input=False,
            split="replicated",
        )
        rotate(run, self.path("rotary"), (self.heads + 1) * self.rope_dim)
        doubled_pairs = run.batch * run.attended(None)
        scores = run.batch * run.scored(None) * 4  # one 32-bit score a pair, summed over the heads
        key = self.head_dim + 4 * ceil_div(self.head_dim, INDEX_BLOCK)  # bytes
        held = run.batch * run.held_tokens(None) * key
        written = run.tokens * key if run.decoding else held
        run.add(
            self.path("scores"),
            "attention",
            "attention",
            flops=doubled_pairs * self.heads * (self.head_dim + 1),
            reads=run.tokens * (self.heads + 1) * self.head_dim * run.width,
            writes=scores,
            cache=Cache(held, run.batch * run.cached_read(None) * key, written, Kept("index keys", key)),
            saved=run.tokens * (self.heads + 1) * self.head_dim * run.width,
            stream=run.stream,
        )
        run.add(
            self.path("top_k"), "attention", "elementwise", flops=half(doubled_pairs), reads=scores, stream=run.stream
        )
