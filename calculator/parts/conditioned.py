"""What depends on a condition of the whole pass and not on its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, elementwise
from calculator.parts.symbols import HIDDEN
from calculator.record.run import Run


@dataclass(frozen=True)
class ConditionedScale(Part):
    """A scale of the residual stream that two projections make of one vector for all tokens and sequences: the delay
    that Voxtral Realtime listens ahead."""

    size: int
    rank: int
    names: tuple[str, str] = ("linear1", "linear2")
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN, "rank": Symbol("r_s", "rank of a conditioned scale")}

    def write(self, run: Run) -> None:
        shapes = ((self.rank, self.size), (self.size, self.rank))
        for i, (name, shape) in enumerate(zip(self.names, shapes, strict=True)):
            read = shape[1] * run.width * run.steps
            run.add(
                self.path(name),
                "norm",
                "matmul",
                flops=2 * shape[0] * shape[1] * run.steps,
                reads=read,
                writes=shape[0] * run.width * run.steps,
                weights=(Weight(f"{self.path(name)}.weight", shape, "linear"),),
                saved=read,
                input_gradient=i > 0,
                stream=0,
            )
        elements = run.tokens * self.size
        elementwise(run, self.path("scale"), "norm", elements, 2, stream=0)
