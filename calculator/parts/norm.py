"""Norms: RMSNorm, LayerNorm, and one that a small MLP scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import (
    LAYER_NORM_FLOPS,
    RMS_NORM_FLOPS,
    SCALE_FLOPS,
    Part,
    activation,
    elementwise,
    project,
)
from calculator.parts.symbols import HIDDEN
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import REPLICATED


@dataclass(frozen=True)
class Norm(Part):
    """RMSNorm (arXiv:1910.07467) or LayerNorm over `size` features, `groups` times per token (per-head norms); of the
    kind "scale" only its weight and bias (MobileBERT's NoNorm).

    Attributes:
        weight_shape: shape of the scale where it is not [size] (Cohere keeps one scale per head).
        copies: tensors of that shape the scale is stored as.
        shares_input: another part keeps the same input for the backward pass.
        kernel: the kernel it runs in with others (the norms of queries and keys).
    """

    size: int
    kind: str = "rms"
    bias: bool = False
    groups: int = 1
    affine: bool = True
    weight_shape: tuple[int, ...] | None = None
    shares_input: bool = False
    copies: int = 1
    kernel: str = ""
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "size": HIDDEN,
        "groups": Symbol("n", "normalised groups of a per-head norm"),
    }

    def write(self, run: Run) -> None:
        self.write_rows(run, run.tokens)

    def write_rows(self, run: Run, rows: Number) -> None:
        """The norm of so many rows, where they are not the pass's tokens."""
        elements = rows * self.groups * self.size * run.width
        weights: tuple[Weight, ...] = ()
        if self.affine and self.name not in run.steps_made:
            shape = self.weight_shape or (self.size,)
            weights = (Weight(f"{self.name}.weight", shape, "norm", self.copies),)
            if self.bias:
                weights += (Weight(f"{self.name}.bias", shape, "norm"),)
        per_element = {"rms": RMS_NORM_FLOPS, "scale": SCALE_FLOPS}.get(self.kind, LAYER_NORM_FLOPS)
        run.add(
            self.name,
            "norm",
            "elementwise",
            flops=per_element * rows * self.groups * self.size,
            reads=elements,
            writes=elements,
            weights=weights,
            saved=self._kept(run, rows * self.groups) if run.saving else 0,
            stream=0,
            kernel=self.kernel,
        )

    def _kept(self, run: Run, rows: Number) -> tuple[Saved, ...]:
        """Its input, the statistics of each row in 32 bit and, of modules that compute an RMSNorm on a 32-bit copy,
        what the scale's gradient needs."""
        once = 0 if self.shares_input else rows * self.size
        if self.kind != "rms":
            copy = (0, 8 * rows, 8 * rows, 8 * rows) if self.kind == "layer" else (0, 0, 0, 0)
            width = run.width * once
            return (Saved(f"{self.name}.input", width, width, width, 4 * once), Saved(f"{self.name}.statistics", *copy))
        found = [
            Saved(f"{self.name}.input", once * run.width, once * run.width, 4 * rows * self.size, 4 * rows * self.size),
            Saved(f"{self.name}.statistics", 0, 4 * rows, 4 * rows, 4 * rows),
        ]
        if not self.affine:
            return tuple(found)
        scaled, narrow = rows * self.size, run.modules.norms == "narrow"
        # Under autocast the residual stream is in 32 bit, what a projection made in 16.
        stream = self.groups == 1 and self.size == run.residual
        plain, cast = (run.width, 4 if stream else 2) if narrow else (4, 4)
        found.append(Saved(f"{self.name}.normalised", 0, 0, scaled * plain, scaled * cast, need="weight"))
        if run.modules.norms == "one plus":  # 1 + w in 32 bit
            found.append(Saved(f"{self.name}.scale", 0, 0, 4 * self.size, 4 * self.size, need="input", fixed=True))
        return tuple(found)


@dataclass(frozen=True)
class GatedNorm(Part):
    """RMSNorm whose output is scaled by the sigmoid of a small MLP of it, two matrices of `rank` (A.X-K2)."""

    size: int
    rank: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN, "rank": Symbol("r_n", "rank of a norm's gate")}

    def write(self, run: Run) -> None:
        Norm(self.path("norm"), self.size).write(run)
        project(run, self.path("W_down"), self.size, self.rank, component="norm", split=REPLICATED)
        activation(run, self.path("act"), run.tokens, self.rank, gated=False, component="norm")
        project(run, self.path("W_up"), self.rank, self.size, component="norm", split=REPLICATED, saves_input=False)
        elements = run.tokens * self.size
        elementwise(run, self.path("gate"), "norm", elements, 5, inputs=2, stream=0)
