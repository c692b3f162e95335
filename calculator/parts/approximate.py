"""Attention that scores fewer pairs than all: in blocks (BigBird), through landmarks (Nyströmformer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, maximum, minimum
from calculator.numbers.symbols import Symbol
from calculator.parts.base import SOFTMAX_FLOPS, Part, project
from calculator.parts.symbols import BLOCK, HEAD_DIM, HEADS, HIDDEN, KERNEL, WINDOW
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW

INVERSE_STEPS, INVERSE_PRODUCTS = 6, 4  # of the iteration for the landmarks' inverse (arXiv:2102.03902, section 3.2)


def scored_pairs(run: Run, name: str, heads: Number, head_dim: Number, pairs: Number, keys: Number) -> None:
    """Scores and weighted sums of so many query-key pairs of each sequence, and their softmax."""
    query = run.tokens * heads * head_dim * run.width
    fresh = 2 * run.batch * keys * heads * head_dim * run.width
    doubled = 2 * run.batch * pairs * heads
    run.add(
        name,
        "attention",
        "attention",
        flops=2 * doubled * head_dim,
        reads=query + fresh,
        writes=query,
        saved=query + fresh,
        split=HEAD,
    )
    run.add(f"{name}.softmax", "attention", "elementwise", flops=SOFTMAX_FLOPS * doubled // 2, split=HEAD, stream=0)


@dataclass(frozen=True)
class BlockSparseAttention(Part):
    """BigBird's attention (arXiv:2007.14062): the first and last block see all tokens and are seen by all, the others
    see three neighbouring blocks and `random` more. A sequence that is not longer than what a token would see, and as
    many random blocks again, is attended to in full."""

    hidden: int
    heads: int
    head_dim: int
    block: int
    random: int
    bias: bool = True
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "block": BLOCK,
        "random": Symbol("r", "random blocks that a block sees (BigBird)"),
    }

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        for name in ("query", "key", "value"):
            path = self.path(f"self.{name}")
            project(run, path, self.hidden, inner, component="attention", bias=self.bias, saves_input=name == "query")
        scored_pairs(run, self.path("attention"), self.heads, self.head_dim, self._pairs(run), run.queries)
        project(run, self.path("output.dense"), inner, self.hidden, component="attention", bias=True, split=ROW)

    def _pairs(self, run: Run) -> Number:
        length, block = run.queries, self.block
        # Two blocks see everything, two beside them four blocks and the random ones, the rest five and the random ones.
        ends = 2 * block * length + 2 * (4 + self.random) * block * block
        sparse = ends + (length - 4 * block) * (5 + self.random) * block
        longer = minimum(maximum(length - (5 + 2 * self.random) * block, 0), 1)
        return length * length + longer * (sparse - length * length)


@dataclass(frozen=True)
class LandmarkAttention(Part):
    """Nyström attention (arXiv:2102.03902): queries to landmarks, landmarks to keys, and the inverse of the landmarks'
    own scores between them; a depthwise convolution of the values is added where there is a `kernel`. Without
    `landmarks` it is full attention."""

    hidden: int
    heads: int
    head_dim: int
    landmarks: int
    kernel: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "head_dim": HEAD_DIM,
        "landmarks": Symbol("n_l", "landmarks (Nyströmformer)"),
        "kernel": KERNEL,
    }

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        for name in ("query", "key", "value"):
            path = self.path(f"self.{name}")
            project(run, path, self.hidden, inner, component="attention", bias=True, saves_input=name == "query")
        if self.landmarks:
            self._landmarks(run)
        else:
            name = self.path("attention")
            scored_pairs(run, name, self.heads, self.head_dim, run.queries * run.queries, run.queries)
        if self.kernel:
            weight = Weight(self.path("self.conv.weight"), (self.heads, 1, self.kernel, 1), "convolution")
            size = run.tokens * inner
            run.add(
                self.path("self.conv"),
                "attention",
                "convolution",
                flops=2 * size * self.kernel,
                reads=size * run.width,
                writes=size * run.width,
                weights=(weight,),
                split=HEAD,
                stream=0,
            )
        project(run, self.path("output.dense"), inner, self.hidden, component="attention", bias=True, split=ROW)

    def _landmarks(self, run: Run) -> None:
        few, size = self.landmarks, self.head_dim
        rows = run.batch * self.heads
        products = {
            "query_scores": run.queries * few * size,
            "landmark_scores": few * few * size,
            "key_scores": few * run.queries * size,
            "inverse": INVERSE_STEPS * INVERSE_PRODUCTS * few * few * few,
            "probabilities": run.queries * few * few,
            "values": few * run.queries * size,
            "context": run.queries * few * size,
        }
        matrix = rows * run.queries * few * run.width
        for name, product in products.items():
            run.add(
                self.path(f"attention.{name}"),
                "attention",
                "attention",
                flops=2 * rows * product,
                reads=matrix,
                writes=matrix,
                saved=matrix,
                split=HEAD,
            )


@dataclass(frozen=True)
class WindowAttention(Part):
    """Longformer's attention (arXiv:2004.05150): each token sees half a window to either side, whatever the counting of
    other models' windows. `everywhere` tokens of each sequence see all and are seen by all, through projections of
    their own, which are held in any case."""

    hidden: int
    heads: int
    head_dim: int
    window: int
    everywhere: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "heads": HEADS, "head_dim": HEAD_DIM, "window": WINDOW}

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        for name in ("query", "key", "value"):
            path = self.path(f"self.{name}")
            project(run, path, self.hidden, inner, component="attention", bias=True, saves_input=name == "query")
        for name in ("query_global", "key_global", "value_global"):
            rows = run.batch * self.everywhere if name == "query_global" else run.tokens
            project(
                run,
                self.path(f"self.{name}"),
                self.hidden,
                inner,
                component="attention",
                bias=True,
                tokens=rows if self.everywhere else 0,
                saves_input=False,
                idle=not self.everywhere,
            )
        half = minimum(self.window // 2, run.queries - 1)
        pairs = run.queries + 2 * run.queries * (half + self.everywhere) - half * half - half
        scored_pairs(run, self.path("attention"), self.heads, self.head_dim, pairs, run.queries)
        project(run, self.path("output.dense"), inner, self.hidden, component="attention", bias=True, split=ROW)
