"""Layers that share tensors: what one layer holds and another runs, with a gradient or without."""

from __future__ import annotations

from dataclasses import dataclass, replace

from calculator.parts.base import Part
from calculator.record.operation import Operation
from calculator.record.run import Run


@dataclass(frozen=True)
class Elsewhere(Part):
    """A part whose tensors another layer holds (Zamba 2 runs one attention block in many layers), or, with `held`, one
    whose tensors are held here but run in another layer, or in none (a decoder's cross-attention without an encoder).

    Attributes:
        active: False where no token ever reaches what is held (MiMo's prediction layers).
    """

    part: Part
    held: bool = False
    active: bool = True

    def write(self, run: Run) -> None:
        first = len(run.out)
        self.part.write(run)
        for i, op in enumerate(run.out[first:], first):
            run.out[i] = self._idle(op) if self.held else op.stored_as(0)
        if self.held:
            run.out[first:] = [op for op in run.out[first:] if op.weights]

    def _idle(self, op: Operation) -> Operation:
        """What the operation holds, without what it does."""
        return Operation(replace(op.step, active=op.active if self.active else 0, differentiated="none"))


@dataclass(frozen=True)
class CacheElsewhere(Part):
    """A part that reads what another of its runs keeps of the past, and keeps nothing (Dory's loops but for the
    last)."""

    part: Part

    def write(self, run: Run) -> None:
        first = len(run.out)
        self.part.write(run)
        for i, op in enumerate(run.out[first:], first):
            run.out[i] = replace(op, cache_bytes=0, cache_writes=0, kept=None)


@dataclass(frozen=True)
class WithoutGradient(Part):
    """A part whose pass is not differentiated in pretraining: it runs forward and keeps nothing (HRM's first runs)."""

    part: Part

    def write(self, run: Run) -> None:
        self.part.write(replace(run, differentiated=False))
