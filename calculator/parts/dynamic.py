"""What Doge adds (transformers' modeling_doge.py): a mask computed from the values, and experts of one neuron each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, SOFTMAX_FLOPS, Part, elementwise, project
from calculator.parts.symbols import EXPERTS, HEAD_DIM, HIDDEN, KV_HEADS, TOP_K, WINDOW
from calculator.record.run import Run
from calculator.record.split import EXPERT, HEAD, REPLICATED


@dataclass(frozen=True)
class DynamicMask(Part):
    """A bias on the scores of every key head, projected from the values of all keys, cached ones included."""

    kv_heads: int
    head_dim: int
    window: int | None = None
    bias: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "window": WINDOW}

    def write(self, run: Run) -> None:
        rows = run.batch * (run.keys(self.window) if run.decoding else run.past + run.queries)
        project(
            run,
            self.path("dt_proj"),
            self.kv_heads * self.head_dim,
            self.kv_heads,
            component="attention",
            bias=self.bias,
            tokens=rows,
        )
        scores = rows * self.kv_heads
        elementwise(
            run,
            self.path("dynamic_mask"),
            "attention",
            scores,
            ACTIVATION_FLOPS,
            weights=(Weight(self.path("A"), (self.kv_heads,), "vector"),),
            split=HEAD,
            stream=0,
        )


@dataclass(frozen=True)
class RetrievalExperts(Part):
    """Experts that are one row into and one row out of a hidden neuron, looked up like embeddings. Two halves of the
    router's scores, one for each of two sets of √experts keys, make the score of every pair."""

    hidden: int
    experts: int
    keys: int
    top_k: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "experts": EXPERTS, "top_k": TOP_K}

    def write(self, run: Run) -> None:
        project(
            run,
            self.path("router_gate"),
            self.hidden,
            2 * self.keys,
            component="router",
            role="router",
            split=REPLICATED,
            saves_input=False,
        )
        scores = run.tokens * self.keys * self.keys
        run.add(
            self.path("top_k"),
            "router",
            "elementwise",
            flops=SOFTMAX_FLOPS * run.tokens * self.top_k + scores,
            reads=run.tokens * 2 * self.keys * run.width,
            writes=scores * run.width,
            saved=run.tokens * self.top_k * run.width,
            stream=0,
        )
        rows = run.tokens * self.top_k
        for name in ("down_embed", "up_embed"):
            weights = (Weight(f"{self.path(name)}.weight", (self.experts, self.hidden), "experts"),)
            row = run.bytes_of(weights[0]) // self.experts
            run.add(
                self.path(name),
                "experts",
                "matmul",
                flops=2 * rows * self.hidden,
                reads=run.tokens * self.hidden * run.width if name == "down_embed" else rows * run.width,
                writes=rows * run.width if name == "down_embed" else run.tokens * self.hidden * run.width,
                weights=weights,
                active_share=(self.top_k, self.experts),
                weight_reads=row * run.experts_touched(self.experts, self.top_k),
                # The looked-up rows are tensors of their own, kept for the backward pass.
                saved=rows * (self.hidden + 1) * run.width,
                split=EXPERT,
                stream=0,
            )
