"""The recurrent block of Griffin: a gated linear recurrence with one state element a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, Part, elementwise, project
from calculator.parts.recurrent import scan, short_convolution
from calculator.parts.symbols import HEADS, HIDDEN
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW

# Per channel: c·r·softplus(Λ) (2), a = exp (1), a² (1), √(1 − a²) (2), i·x (1), √·(i·x) (1), a·h (1), their sum (1);
# arXiv:2402.19427, equations 1 to 4.
RGLRU_FLOPS = 10


@dataclass(frozen=True)
class GatedLinearRecurrence(Part):
    """Two branches of `inner` features: one through a short convolution and the RG-LRU, whose two gates are
    block-diagonal projections, the other a GELU gate (Griffin, arXiv:2402.19427). The state is kept in 32 bit."""

    hidden: int
    inner: int
    blocks: int
    kernel: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "inner": Symbol("d_rnn", "inner width of a gated linear recurrence"),
        "blocks": HEADS,
    }

    def write(self, run: Run) -> None:
        elements = run.tokens * self.inner
        for name in ("linear_y", "linear_x"):
            project(
                run,
                self.path(name),
                self.hidden,
                self.inner,
                component="recurrent",
                bias=True,
                saves_input=name == "linear_y",
            )
        short_convolution(
            run, self.path("conv_1d"), self.inner, self.kernel, bias=True, activated=False, beside=self.inner
        )
        for name in ("input_gate", "recurrent_gate"):
            self._block_diagonal(run, name, saves_input=name == "input_gate")
        run.add(
            self.path("rg_lru.gates"),
            "recurrent",
            "elementwise",
            flops=2 * ACTIVATION_FLOPS * elements,
            saved=2 * elements * run.width,
            split=HEAD,
            stream=0,
        )
        scan(
            run,
            self.path("rg_lru"),
            self.inner,
            RGLRU_FLOPS,
            3 * self.inner,
            self.inner,
            4,
            (Weight(self.path("rg_lru.recurrent_param"), (self.inner,), "vector"),),
            beside=self.inner,
        )
        elementwise(
            run,
            self.path("gate"),
            "recurrent",
            elements,
            ACTIVATION_FLOPS + 1,
            inputs=2,
            split=HEAD,
        )
        project(run, self.path("linear_out"), self.inner, self.hidden, component="recurrent", bias=True, split=ROW)

    def _block_diagonal(self, run: Run, name: str, *, saves_input: bool) -> None:
        size: Number = self.inner // self.blocks
        elements = run.tokens * self.inner * run.width
        run.add(
            self.path(f"rg_lru.{name}"),
            "recurrent",
            "matmul",
            flops=2 * run.tokens * self.inner * size,
            reads=elements,
            writes=elements,
            weights=(
                Weight(self.path(f"rg_lru.{name}_weight"), (self.blocks, size, size), "linear"),
                Weight(self.path(f"rg_lru.{name}_bias"), (self.blocks, size), "vector"),
            ),
            saved=elements if saves_input else 0,
            split=HEAD,
        )
