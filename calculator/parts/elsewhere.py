"""Layers that share tensors: what one layer holds and another runs, with a gradient or without."""

from __future__ import annotations

from dataclasses import dataclass, replace

from calculator.parts.basic import Part
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
        if self.held:
            run.out[first:] = [op for op in run.out[first:] if op.weights]
        for i in range(first, len(run.out)):
            op = run.out[i]
            if self.held:
                op = replace(
                    op,
                    flops=0,
                    weight_reads=0,
                    reads=0,
                    writes=0,
                    cache_bytes=0,
                    cache_reads=0,
                    cache_writes=0,
                    saved=0,
                    live=0,
                    kept=None,
                    active=op.active if self.active else 0,
                )
            else:
                op = replace(op, stored=0)
            run.out[i] = op


@dataclass(frozen=True)
class WithoutGradient(Part):
    """A part whose pass is not differentiated in pretraining: it runs forward and keeps nothing (HRM's first runs)."""

    part: Part

    def write(self, run: Run) -> None:
        if not run.training:
            self.part.write(run)
            return
        forward = replace(run, workload=replace(run.workload, mode="prefill"), out=[])
        self.part.write(forward)
        run.out += [replace(op, cache_bytes=0, cache_reads=0, cache_writes=0) for op in forward.out]
