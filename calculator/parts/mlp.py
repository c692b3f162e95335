"""Channel mixers: the MLP and the mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, activation, project
from calculator.parts.norm import Norm
from calculator.parts.symbols import HIDDEN, MLP_WIDTH
from calculator.record.run import Run
from calculator.record.split import ROW


@dataclass(frozen=True)
class MLP(Part):
    """Two projections around a nonlinearity, or three with a gate (arXiv:2002.05202).

    Attributes:
        fused: name of one projection that holds gate and up ("gate_up_proj"); None for two.
        shares_input: another part keeps the same input for the backward pass.
        inner_norm: an RMSNorm before the last projection (BitNet).
        down_bias: the last projection has a bias, whether or not the others have (GTE, TeleChat).
    """

    hidden: int
    intermediate: int
    gated: bool = True
    bias: bool = False
    down_bias: bool = False
    up: str = "up_proj"
    gate: str = "gate_proj"
    down: str = "down_proj"
    fused: str | None = None
    shares_input: bool = False
    inner_norm: str = ""
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "intermediate": MLP_WIDTH}

    def write(self, run: Run) -> None:
        if self.fused:
            projections: tuple[tuple[str, Number], ...] = ((self.fused, 2 * self.intermediate),)
        elif self.gated:
            projections = ((self.gate, self.intermediate), (self.up, self.intermediate))
        else:
            projections = ((self.up, self.intermediate),)
        for name, width in projections:
            project(
                run,
                self.path(name),
                self.hidden,
                width,
                component="mlp",
                bias=self.bias,
                saves_input=name == projections[0][0] and not self.shares_input,
                kernel=self.path("gate_up"),
            )
        activation(
            run,
            self.path("activation"),
            run.tokens,
            self.intermediate,
            gated=self.gated,
            component="mlp",
        )
        if self.inner_norm:
            Norm(self.path(self.inner_norm), self.intermediate).write(run)
        project(
            run,
            self.path(self.down),
            self.intermediate,
            self.hidden,
            component="mlp",
            bias=self.bias or self.down_bias,
            split=ROW,
            stream=False,
        )
