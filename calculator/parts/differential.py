"""Differential attention (arXiv:2410.05258): the difference of two attention maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend, rotate
from calculator.parts.base import Part, project
from calculator.parts.heads import Heads
from calculator.parts.norm import Norm
from calculator.parts.symbols import OF_HEADS, ROTATED
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW


@dataclass(frozen=True)
class DifferentialAttention(Part):
    """Grouped-query attention whose heads work in pairs: both attend to the pair's two value heads, and a learned
    scalar times the second's result is taken from the first's, before a norm without weights.

    Every map is applied to each half of the values in a pass of its own, with its scores computed anew, because fast
    kernels want values as wide as keys (transformers' modeling_diffllama.py, the paper's flashdiff_2).
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    bias: bool = False
    rotary: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = OF_HEADS | {"rotary": ROTATED}

    def write(self, run: Run) -> None:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        for name, width in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            project(
                run,
                self.path(name),
                self.hidden,
                width,
                component="attention",
                bias=self.bias,
                saves_input=name == "q_proj",
            )
        rotate(run, self.path("rotary"), (self.heads + self.kv_heads) * self.rotary)
        for half in (1, 2):
            # The keys are read by both passes, each half of the values by one.
            attend(
                run,
                self.path(f"attention.{half}"),
                Heads(
                    self.heads,
                    self.kv_heads,
                    self.head_dim,
                    self.head_dim,
                    cached_dim=2 * keys if half == 1 else keys,
                    fresh_dim=2 * keys if half == 1 else keys,
                ),
                caches=half == 1,
            )
        names = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")
        elements = 2 * run.tokens * queries
        run.add(
            self.path("difference"),
            "attention",
            "elementwise",
            flops=elements,
            reads=elements * run.width,
            writes=elements // 2 * run.width,
            weights=tuple(Weight(self.path(name), (self.head_dim,), "vector") for name in names),
            saved=elements * run.width,
            split=HEAD,
            stream=0,
        )
        Norm(self.path("groupnorm"), 2 * self.head_dim, groups=self.heads // 2, affine=False).write(run)
        project(run, self.path("o_proj"), queries, self.hidden, component="attention", bias=self.bias, split=ROW)
