"""What a model whose hidden states have length 1 has in place of a residual stream (nGPT, arXiv:2410.01131)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part
from calculator.parts.symbols import HIDDEN
from calculator.record.run import Run
from calculator.record.split import JOIN

INTERPOLATION_FLOPS = 3  # per element: subtract the stream, scale by the rate, add


@dataclass(frozen=True)
class Interpolation(Part):
    """A step of the stream towards a branch, at a learned rate for each feature; `name` is the tensor of the rates. The
    rates' gradient needs both the stream and the branch."""

    size: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.size
        run.add(
            self.name,
            "norm",
            "elementwise",
            flops=INTERPOLATION_FLOPS * elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            weights=(Weight(self.name, (self.size,), "vector"),),
            saved=2 * elements * run.width,
            stream=0,
            split=JOIN,
        )
